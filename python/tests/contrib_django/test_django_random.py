"""Random writes, reads, transactions and savepoints: what is cached is always what the database holds."""

import contextlib

import pytest
from django.db import transaction
from django.db.models import Count, Sum
from django_shop.models import Author, Book, Tag
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zoocache


class _Undo(Exception):
    pass


number = st.integers(1, 4)
write = st.one_of(
    st.tuples(st.just("save"), number, st.integers(0, 9)),
    st.tuples(st.just("create"), number, st.integers(0, 9)),
    st.tuples(st.just("delete"), number),
    st.tuples(st.just("update"), number, st.integers(0, 9)),
    st.tuples(st.just("bulk"), number, st.integers(0, 9)),
    st.tuples(st.just("tag"), number, number),
    st.tuples(st.just("untag"), number),
    st.tuples(st.just("author"), number),
)
read = st.tuples(st.just("read"), number)
step = st.deferred(
    lambda: st.one_of(
        write, read, st.tuples(st.just("atomic"), st.booleans(), st.booleans(), st.lists(step, max_size=5))
    )
)


def run(kind, *args):
    author = Author.objects.get(name="ann")
    if kind == "save":
        book = Book.objects.filter(pk=args[0]).first()
        if book:
            book.ratio = args[1]
            book.save()
    elif kind == "create":
        Book.objects.get_or_create(pk=args[0], defaults={"author": author, "ratio": args[1]})
    elif kind == "delete":
        Book.objects.filter(pk=args[0]).delete()
    elif kind == "update":
        Book.objects.filter(pk__gte=args[0]).update(ratio=args[1])
    elif kind == "bulk":
        Book.objects.bulk_create([Book(author=author, ratio=args[1]) for _ in range(args[0])])
    elif kind in {"tag", "untag"}:
        book = Book.objects.filter(pk=args[0]).first()
        if book and kind == "tag":
            book.tags.add(Tag.objects.get_or_create(pk=args[1], word=str(args[1]))[0])
        elif book:
            book.tags.clear()
    elif kind == "author":
        Book.objects.filter(pk=args[0]).update(author=Author.objects.get_or_create(name=f"a{args[0]}")[0])


READS = (
    lambda manager, _n: list(manager.values_list("pk", "ratio", "author__name")),
    lambda manager, n: list(manager.filter(pk=n).values_list("pk", "ratio")),
    lambda manager, n: manager.filter(tags__pk=n).count(),
    lambda manager, _n: manager.aggregate(Sum("ratio"), Count("tags")),
    lambda manager, n: manager.filter(ratio=n).exists(),
    lambda manager, _n: [
        (book.pk, [tag.pk for tag in book.tags.all()]) for book in manager.prefetch_related("tags")
    ],
)


def check(n):
    for question in READS:
        assert question(Book.cached, n) == question(Book.objects, n)


def execute(steps):
    for kind, *args in steps:
        if kind == "read":
            check(*args)
        elif kind == "atomic":
            savepoint, undone, inner = args
            # Without a savepoint an exception undoes the outer transaction, too.
            with contextlib.suppress(_Undo), transaction.atomic(savepoint=savepoint or undone):
                execute(inner)
                if undone:
                    raise _Undo
        else:
            run(kind, *args)
            check(args[0])


@pytest.fixture
def author(db):
    return Author.objects.create(name="ann")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, min_size=1, max_size=8))
def test_what_is_cached_is_what_the_database_holds(author, steps):
    zoocache.clear()
    with transaction.atomic():
        Book.objects.all().delete()
        Tag.objects.all().delete()
    # Let there be something to become stale.
    for n in range(1, 5):
        check(n)
    execute(steps)
    for n in range(1, 5):
        check(n)

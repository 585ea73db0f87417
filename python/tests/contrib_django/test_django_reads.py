"""What a cached queryset returns is what a plain one returns; the second time without any SQL."""

import asyncio
import contextlib
import datetime as dt
import pickle
import uuid
from decimal import Decimal

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections, models, transaction
from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    FilteredRelation,
    Max,
    Min,
    OuterRef,
    Prefetch,
    Q,
    StdDev,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import (
    Coalesce,
    Concat,
    ExtractYear,
    Length,
    Lower,
    Now,
    Random,
    Rank,
    TruncMonth,
    Upper,
)
from django_shop.models import (
    Author,
    Book,
    Category,
    Classic,
    Note,
    Place,
    Profile,
    Review,
    Shop,
    Tag,
    Token,
    Word,
)

import zoocache
from zoocache.contrib.django import ZooCacheManager, instance_tag, model_tag
from zoocache.testing import frozen_time

UID = uuid.UUID(int=7)


@pytest.fixture
def rows(on):
    """Rows of each model in one of the databases."""
    with transaction.atomic(on):
        _fill(on)
    zoocache.clear()
    return on


def _fill(on):
    objects = {model: model.objects.using(on) for model in (Author, Book, Tag, Review, Category, Place, Shop)}
    ann, bob, cid = (objects[Author].create(name=name) for name in ("ann", "bob", "cid"))
    Profile(author=ann, bio="long").save(using=on)
    red, blue = (objects[Tag].create(word=word) for word in ("red", "blue"))
    when = dt.datetime(2024, 3, 4, 5, 6, 7, 890, tzinfo=dt.timezone.utc)
    for number in range(6):
        book = objects[Book].create(
            title=f"book {number}",
            author=(ann, bob)[number % 2],
            co_author=cid if number < 2 else None,
            price=Decimal(f"{number}.50"),
            ratio=number / 3,
            published=dt.date(2020 + number, 1, 2) if number else None,
            seen=when + dt.timedelta(days=40 * number),
            at=dt.time(1, 2, number),
            took=dt.timedelta(days=number, microseconds=3),
            uid=uuid.UUID(int=number),
            data={"n": number, "list": [1, None, "x"]},
            blob=bytes([number, 0, 255]),
            is_new=number % 2 == 0,
        )
        book.tags.add(*([red, blue] if number % 3 == 0 else [red]))
        for stars in range(number % 3):
            objects[Review].create(book=book, text=f"review {stars}", stars=stars)
    kind = ContentType.objects.db_manager(on).get_for_model(Book)
    Note(content_type=kind, object_id=objects[Book].first().pk, text="noted").save(using=on)
    top = objects[Category].create(name="top")
    objects[Category].create(name="below", parent=top)
    objects[Shop].create(name="corner", rooms=2)
    objects[Place].create(name="park")
    Token(id=UID, text="t").save(using=on)
    Word(text="a:b*..", count=1).save(using=on)


#: Each gets `q`, which makes a queryset of a model, and returns a result.
QUERIES = {
    "all": lambda q: list(q(Book)),
    "filter": lambda q: list(q(Book).filter(author__name="ann", price__gt=1)),
    "exclude": lambda q: list(q(Book).exclude(tags__word="blue")),
    "q objects": lambda q: list(q(Book).filter(Q(price__lt=2) | ~Q(co_author=None) & Q(is_new=True))),
    "xor": lambda q: list(q(Book).filter(Q(price__lt=2) ^ Q(is_new=True))),
    "f": lambda q: list(q(Book).filter(price__gt=F("ratio") * 2)),
    "get": lambda q: q(Book).get(title="book 1"),
    "get pk": lambda q: q(Book).get(pk=q(Book).first().pk),
    "get uuid": lambda q: q(Token).get(pk=UID),
    "get uuid text": lambda q: q(Token).get(pk=str(UID)),
    "get text": lambda q: q(Word).get(pk="a:b*.."),
    "get one to one": lambda q: q(Profile).get(author__pk__gt=0),
    "first": lambda q: q(Book).first(),
    "first of none": lambda q: q(Book).filter(title="no").first(),
    "last": lambda q: q(Book).last(),
    "earliest": lambda q: q(Book).earliest("seen"),
    "latest": lambda q: q(Book).latest("seen"),
    "count": lambda q: q(Book).count(),
    "count distinct": lambda q: q(Book).filter(tags__word__in=["red", "blue"]).distinct().count(),
    "count slice": lambda q: q(Book)[1:3].count(),
    "exists": lambda q: q(Book).filter(title="book 1").exists(),
    "exists not": lambda q: q(Book).filter(title="no").exists(),
    "contains": lambda q: q(Book).contains(q(Book).first()),
    "len": lambda q: len(q(Book)),
    "bool": lambda q: bool(q(Book)),
    "index": lambda q: q(Book)[2],
    "slice": lambda q: list(q(Book)[1:4]),
    "slice step": lambda q: list(q(Book)[0:5:2]),
    "slice none": lambda q: list(q(Book)[3:3]),
    "values": lambda q: list(q(Book).values()),
    "values some": lambda q: list(q(Book).values("title", "author__name", upper=Upper("title"))),
    "values_list": lambda q: list(q(Book).values_list()),
    "values_list flat": lambda q: list(q(Book).values_list("data", flat=True)),
    "values_list named": lambda q: [
        (*row, row._fields) for row in q(Book).values_list("id", "title", named=True)
    ],
    "values_list order": lambda q: list(q(Book).annotate(n=Count("reviews")).values_list("n", "title")),
    "group": lambda q: list(
        q(Book).values("author__name").annotate(n=Count("id"), top=Max("price")).order_by("n")
    ),
    "aggregate": lambda q: q(Book).aggregate(
        Sum("price"), Avg("ratio"), last=Max("seen"), first=Min("published")
    ),
    "aggregate none": lambda q: q(Book).filter(title="no").aggregate(s=Sum("price"), n=Count("id")),
    "aggregate empty": lambda q: q(Book).none().aggregate(n=Count("id"), s=Sum("price")),
    "aggregate annotation": lambda q: q(Book).annotate(n=Count("tags")).aggregate(Sum("n"), StdDev("price")),
    "aggregate distinct": lambda q: q(Book).values("author").distinct().aggregate(n=Count("*")),
    "in_bulk": lambda q: q(Book).in_bulk(),
    "in_bulk ids": lambda q: q(Book).in_bulk([book.pk for book in q(Book)[:2]]),
    "dates": lambda q: list(q(Book).dates("published", "year")),
    "datetimes": lambda q: list(q(Book).datetimes("seen", "month")),
    "datetimes zone": lambda q: list(q(Book).datetimes("seen", "day", tzinfo=dt.timezone.utc)),
    "iterator": lambda q: list(q(Book).iterator()),
    "iterator chunks": lambda q: list(q(Book).iterator(chunk_size=2)),
    "iterator values": lambda q: list(q(Book).values_list("id").iterator(chunk_size=2)),
    "select_related": lambda q: list(q(Book).select_related("author", "co_author")),
    "select_related all": lambda q: list(q(Review).select_related("book__author")),
    "select_related reverse": lambda q: list(q(Author).select_related("profile")),
    "select_related self": lambda q: list(q(Category).select_related("parent")),
    "prefetch": lambda q: list(q(Book).prefetch_related("tags", "reviews")),
    "prefetch deep": lambda q: list(q(Author).prefetch_related("books__reviews", "co_books__tags")),
    "prefetch objects": lambda q: list(
        q(Author).prefetch_related(
            Prefetch("books", q(Book).filter(price__gt=1).prefetch_related("tags"), to_attr="dear")
        )
    ),
    "prefetch plain": lambda q: list(
        q(Author).prefetch_related(
            Prefetch("books", Book.objects.order_by("-id").select_related("co_author"))
        )
    ),
    "prefetch generic": lambda q: list(q(Book).prefetch_related("notes")),
    "prefetch generic key": lambda q: list(q(Note).prefetch_related("about")),
    "annotate": lambda q: list(q(Book).annotate(n=Count("reviews"), name=Concat("title", Value("!")))),
    "annotate having": lambda q: list(q(Book).annotate(n=Count("reviews")).filter(n__gt=1)),
    "alias": lambda q: list(q(Book).alias(n=Count("reviews")).filter(n=1)),
    "case": lambda q: list(
        q(Book).annotate(c=Case(When(price__lt=2, then=Value("low")), default=Value("high")))
    ),
    "window": lambda q: list(q(Book).annotate(r=Window(Rank(), partition_by="author", order_by="ratio"))),
    "functions": lambda q: list(
        q(Book).annotate(
            y=ExtractYear("seen"),
            m=TruncMonth("seen"),
            t=Length("title"),
            c=Coalesce("co_author__name", Lower("title")),
        )
    ),
    "exists subquery": lambda q: list(q(Book).filter(Exists(Review.objects.filter(book=OuterRef("pk"))))),
    "subquery": lambda q: list(
        q(Book).annotate(
            stars=Subquery(Review.objects.filter(book=OuterRef("pk")).order_by("-stars").values("stars")[:1])
        )
    ),
    "in subquery": lambda q: list(q(Author).filter(pk__in=Book.objects.filter(price__lt=1).values("author"))),
    "filtered relation": lambda q: list(
        q(Author)
        .annotate(cheap=FilteredRelation("books", condition=Q(books__price__lt=3)))
        .values_list("name", "cheap__title")
        .order_by("name", "cheap__title")
    ),
    "only": lambda q: list(q(Book).only("title")),
    "only related": lambda q: list(q(Book).select_related("author").only("title", "author__name")),
    "defer": lambda q: list(q(Book).defer("data", "blob")),
    "distinct": lambda q: list(q(Author).filter(books__price__gt=0).distinct()),
    "order": lambda q: list(q(Book).order_by("-author__name", F("published").desc(nulls_last=True))),
    "reverse": lambda q: list(q(Book).reverse()),
    "union": lambda q: list(
        q(Author).filter(name="ann").order_by().union(q(Author).filter(name="bob").order_by(), all=True)
    ),
    "union values": lambda q: list(
        q(Author).order_by().values_list("name").union(q(Tag).order_by().values_list("word")).order_by("name")
    ),
    "intersection": lambda q: list(
        q(Author).order_by().intersection(q(Author).order_by().filter(name="ann"))
    ),
    "difference count": lambda q: (
        q(Author).order_by().difference(q(Author).order_by().filter(name="ann")).count()
    ),
    "or": lambda q: list(q(Author).filter(name="ann") | q(Author).filter(name="bob")),
    "and": lambda q: list(q(Author).filter(name="ann") & q(Author).filter(pk__gt=0)),
    "extra": lambda q: list(q(Author).extra(select={"twice": "id * 2"}, where=["id > 0"])),
    "extra tables": lambda q: q(Author).extra(tables=["django_shop_tag"]).count(),
    "raw sql": lambda q: list(q(Author).annotate(n=RawSQL("select count(*) from django_shop_book", ()))),
    "none": lambda q: list(q(Book).none()),
    "in nothing": lambda q: list(q(Book).filter(pk__in=[])),
    "json": lambda q: list(q(Book).filter(data__n__gte=2).values_list("data__list", flat=True)),
    "json equal": lambda q: list(q(Book).filter(data={"n": 1, "list": [1, None, "x"]})),
    "bytes": lambda q: list(q(Book).filter(blob=b"\x01\x00\xff")),
    "uuid": lambda q: list(q(Book).filter(uid=uuid.UUID(int=3))),
    "times": lambda q: list(
        q(Book).filter(at__lt=dt.time(1, 2, 3), took__gt=dt.timedelta(0), seen__year=2024)
    ),
    "inheritance": lambda q: list(q(Shop)),
    "inheritance get": lambda q: q(Shop).get(name="corner"),
    "inheritance parent": lambda q: list(q(Place).select_related("shop")),
    "proxy": lambda q: list(q(Classic)),
    "method": lambda q: (
        list(q(Book).cheap()) if hasattr(q(Book), "cheap") else list(q(Book).filter(price__lt=5))
    ),
    "through": lambda q: sorted(q(Tag).filter(books__author__name="ann").values_list("word", "books__title")),
}


#: What is shown otherwise, and what pickling adds.
_UNSHOWN = {"_state", "_prefetched_objects_cache", "_django_version"}


def described(value, within=()):
    """Return all that there is to a result, in values that can be compared."""
    if isinstance(value, models.Model):
        if value in within:
            return type(value), value.pk
        within = (*within, value)
        state = {name: held for name, held in vars(value).items() if name not in _UNSHOWN}
        prefetched = {
            name: [described(item, within) for item in found]
            for name, found in getattr(value, "_prefetched_objects_cache", {}).items()
        }
        cached = {
            name: described(held, within)
            for name, held in value._state.fields_cache.items()
            if name != "about"
        }
        about = value._state.fields_cache.get("about")
        return (
            type(value),
            {name: described(held, within) for name, held in state.items()},
            (value._state.db, value._state.adding),
            prefetched,
            cached,
            about and about.pk,
            value.get_deferred_fields(),
        )
    if isinstance(value, (list, tuple)):
        return type(value), [described(item, within) for item in value]
    if isinstance(value, dict):
        return type(value), [(key, described(item, within)) for key, item in value.items()]
    if isinstance(value, memoryview):
        return memoryview, bytes(value)
    return type(value), value


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_results_are_those_of_a_plain_queryset(query, rows, sql):
    def cached(model):
        return model.cached.using(rows)

    plain = described(query(lambda model: model.objects.using(rows)))
    assert described(query(cached)) == plain
    sent, hit = sql(query, cached, using=rows)
    assert sent == 0
    assert described(hit) == plain
    # Also by whoever else asks, after a write of something that it does not depend on.
    assert described(pickle.loads(pickle.dumps(query(cached)))) == plain  # noqa: S301 - our own


def change(alias, model):
    first = model.objects.using(alias).order_by("pk").first()
    name = {Book: "title", Author: "name", Tag: "word", Review: "text"}[model]
    setattr(first, name, "changed")
    first.save(using=alias)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_results_are_fresh_after_a_write(query, rows):
    def is_fresh():
        plain = described(query(lambda model: model.objects.using(rows)))
        return described(query(lambda model: model.cached.using(rows))) == plain

    assert is_fresh()
    for model in (Author, Book, Tag, Review):
        change(rows, model)
        assert is_fresh()
    for model in (Review, Tag, Book):
        model.objects.using(rows).order_by("-pk").first().delete()
        assert is_fresh()


ASYNC = {
    "aget": lambda q: q.aget(title="book 1"),
    "afirst": lambda q: q.afirst(),
    "alast": lambda q: q.alast(),
    "acount": lambda q: q.acount(),
    "aexists": lambda q: q.aexists(),
    "aaggregate": lambda q: q.aaggregate(Sum("price")),
    "ain_bulk": lambda q: q.ain_bulk(),
    "alatest": lambda q: q.alatest("seen"),
}


@pytest.mark.parametrize("query", ASYNC.values(), ids=ASYNC)
def test_async_results_are_those_of_a_plain_queryset(query, rows, sql):
    async def both():
        return await query(Book.objects.using(rows)), await query(Book.cached.using(rows))

    plain, cached = asyncio.run(both())
    assert described(cached) == described(plain)

    async def again():
        return await query(Book.cached.using(rows))

    assert described(asyncio.run(again())) == described(plain)


def test_async_for(rows):
    async def names(queryset):
        return [book.title async for book in queryset], [
            book.title async for book in queryset.all().aiterator()
        ]

    plain = asyncio.run(names(Book.objects.using(rows)))
    before = zoocache.stats()["misses"]
    assert asyncio.run(names(Book.cached.using(rows))) == plain
    assert asyncio.run(names(Book.cached.using(rows))) == plain
    assert zoocache.stats()["misses"] == before + 1


def test_nobody_shares_an_instance(rows):
    first, second = Book.cached.using(rows).first(), Book.cached.using(rows).first()
    first.data["n"] = "changed"
    first.title = "changed"
    assert first is not second
    assert second.data["n"] == 0
    third = Book.cached.using(rows).first()
    assert (third.title, third.data["n"]) == ("book 0", 0)


def test_a_row_that_is_not_there_is_asked_for_until_it_is(rows):
    with pytest.raises(Author.DoesNotExist):
        Author.cached.using(rows).get(pk=77)
    Author.objects.using(rows).create(pk=77, name="eve")
    assert Author.cached.using(rows).get(pk=77).name == "eve"
    Author.objects.using(rows).filter(pk=77).delete()
    with pytest.raises(Author.DoesNotExist):
        Author.cached.using(rows).get(pk=77)


def test_one_row_depends_on_that_row_only(rows, sql):
    first, second = (author.pk for author in Author.objects.using(rows)[:2])

    def get(pk):
        return Author.cached.using(rows).get(pk=pk)

    get(first), get(second)
    Author.objects.using(rows).filter(pk=first).update(name="changed")
    assert sql(get, second, using=rows)[0] == 0
    assert get(first).name == "changed"
    zoocache.invalidate(f"django_shop.author:{second}")
    assert sql(get, first, using=rows)[0] == 0
    assert sql(get, second, using=rows)[0] == 1
    zoocache.invalidate(model_tag(Author))
    assert sql(get, first, using=rows)[0] == 1


@pytest.mark.parametrize(
    "query",
    [
        lambda: list(Book.cached.order_by("?")),
        lambda: list(Book.cached.annotate(r=Random())),
        lambda: list(Book.cached.filter(seen__lt=Now())),
        lambda: list(Book.cached.filter(pk__in=Book.objects.order_by("?").values("pk")[:1])),
        lambda: list(Book.cached.extra(where=["published < date('now')"])),
        lambda: list(Book.cached.select_for_update()),
        Book.cached.explain,
        lambda: list(Book.cached.raw("select * from django_shop_book")),
    ],
)
def test_what_is_another_result_each_time_is_not_cached(query, db, sql):
    for _ in range(2):
        assert sql(query)[0] >= 1


def test_prefixes_keep_results_apart(db):
    assert Word.cached.count() == 0
    tenant = "a"
    manager = ZooCacheManager(prefix=lambda: tenant)
    manager.contribute_to_class(Tag, "by_tenant")
    try:
        before = zoocache.stats()["misses"]
        for tenant in "abab":  # noqa: B007 - the prefix
            assert Tag.by_tenant.count() == 0
        assert zoocache.stats()["misses"] == before + 2
    finally:
        del Tag.by_tenant
        Tag._meta.local_managers.remove(manager)
        Tag._meta._expire_cache()


def test_a_manager_has_a_ttl(db, sql):
    with frozen_time() as clock:
        list(Word.cached.all())
        clock.advance(59)
        assert sql(lambda: list(Word.cached.all()))[0] == 0
        clock.advance(61)
        assert sql(lambda: list(Word.cached.all()))[0] == 1


def test_a_cached_function_depends_on_what_it_read(rows):
    @zoocache.cacheable
    def titles():
        return [book.title for book in Book.cached.using(rows).filter(tags__word="red")]

    for _ in range(2):
        before = titles()
        Book.objects.using(rows).filter(title=before[0]).update(title=before[0] + "!")
        assert titles() != before


def test_a_cached_function_depends_on_what_cannot_be_cached(rows):
    @zoocache.cacheable
    def shuffled():
        return {book.title for book in Book.cached.using(rows).order_by("?")}

    shuffled()
    Book.objects.using(rows).update(title="same")
    assert shuffled() == {"same"}


def test_databases_have_results_of_their_own(db):
    Author.objects.create(name="here")
    Author.objects.using("other").create(name="there")
    for _ in range(2):
        assert Author.cached.get().name == "here"
        assert Author.cached.using("other").get().name == "there"
        assert Author.cached.db_manager("other").get()._state.db == "other"


def test_a_write_by_one_alias_is_seen_by_another_one_of_the_same_database(db, monkeypatch):
    settings = {**connections["default"].settings_dict}
    monkeypatch.setitem(connections.databases, "replica", settings)
    try:
        author = Author.objects.create(name="before")
        assert Author.cached.using("replica").get().name == "before"
        author.name = "after"
        author.save()
        assert Author.cached.using("replica").get().name == "after"
    finally:
        connections["replica"].close()
        del connections["replica"]


def test_relations_can_use_the_manager(rows, sql):
    author = Author.objects.using(rows).get(name="ann")
    query = lambda: [book.title for book in author.books(manager="cached").all()]  # noqa: E731
    plain = [book.title for book in author.books.all()]
    assert query() == plain
    assert sql(query, using=rows) == (0, plain)


def test_an_instance_tag_of_a_row_that_is_read(rows):
    book = Book.cached.using(rows).first()
    assert instance_tag(book) == f"django_shop.book:{book.pk}"


def test_a_cached_function_depends_on_what_plain_querysets_read(on):
    _fill(on)
    first, second = Author.objects.using(on).order_by("pk")[:2]

    @zoocache.cacheable
    def name(pk):
        calls.append(pk)
        return Author.objects.using(on).get(pk=pk).name

    @zoocache.cacheable
    def names():
        calls.append("all")
        return [author.name for author in Author.objects.using(on).order_by("pk").iterator()]

    calls = []
    before = name(first.pk), name(second.pk), names()
    assert (name(first.pk), name(second.pk), names()) == before
    assert calls == [first.pk, second.pk, "all"]
    first.name = "changed"
    first.save(using=on)
    assert (name(first.pk), name(second.pk)) == ("changed", before[1])
    assert names()[0] == "changed"
    assert calls == [first.pk, second.pk, "all", first.pk, "all"]


def test_a_cached_function_of_another_cache_keeps_nothing_that_was_not_committed(on):
    _fill(on)
    author = Author.objects.using(on).first()
    cache = zoocache.Cache()

    @cache.cacheable
    def name():
        return Author.objects.using(on).get(pk=author.pk).name

    with transaction.atomic(using=on):
        Author.objects.using(on).filter(pk=author.pk).update(name="not committed")
        assert name() == "not committed"
        transaction.set_rollback(True, using=on)
    assert name() == author.name
    cache.close()


def _in_a_transaction(alias, read):
    with transaction.atomic(alias):
        return read()


UNCACHED = {
    "not stable": lambda alias: {author.name for author in Author.cached.using(alias).order_by("?")},
    "locked": lambda alias: _in_a_transaction(
        alias, lambda: {author.name for author in Author.cached.using(alias).select_for_update()}
    ),
    "iterator": lambda alias: {author.name for author in Author.objects.using(alias).iterator()},
    "raw": lambda alias: {
        author.name for author in Author.objects.using(alias).raw("SELECT * FROM django_shop_author")
    },
}


@pytest.mark.parametrize("read", UNCACHED.values(), ids=UNCACHED)
def test_what_queries_that_are_not_cached_read_of_a_transaction_is_for_itself(rows, read):
    names = zoocache.cacheable(lambda: read(rows))

    with contextlib.suppress(ZeroDivisionError), transaction.atomic(rows):
        Author.objects.using(rows).create(name="ghost")
        assert "ghost" in names()
        raise ZeroDivisionError
    assert "ghost" not in names()


@pytest.mark.parametrize("read", UNCACHED.values(), ids=UNCACHED)
def test_queries_that_are_not_cached_are_dependencies(rows, read):
    names = zoocache.cacheable(lambda: read(rows))

    names()
    Author.objects.using(rows).create(name="new")
    assert "new" in names()

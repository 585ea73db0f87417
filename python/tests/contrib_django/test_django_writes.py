# ruff: noqa: DJ008, PT012, SIM117 - blocks that are rolled back have several statements
"""Every write of the ORM makes what was cached stale, once it is committed; a rollback does not."""

import unittest

import django
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, IntegrityError, connections, models, transaction
from django.db.models import F
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.test import TestCase
from django.test.utils import isolate_apps
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
from helpers import Running

import zoocache
from zoocache.contrib.django import instance_tag, model_tag
from zoocache.contrib.django._writes import tags_of

MODELS = (Author, Book, Book.tags.through, Category, Note, Place, Profile, Review, Shop, Tag, Token, Word)


class Shelf:
    """What the database holds, and what the cache says of it."""

    def __init__(self, alias):
        self.alias = alias
        self.author = self.of(Author).create(name="ann")
        self.other = self.of(Author).create(name="bob")
        self.book = self.of(Book).create(title="one", author=self.author, co_author=self.other)
        self.second = self.of(Book).create(title="two", author=self.other)
        self.tag = self.of(Tag).create(word="red")
        self.blue = self.of(Tag).create(word="blue")
        self.book.tags.add(self.tag)
        self.review = self.of(Review).create(book=self.book)
        self.of(Profile).create(author=self.author)
        kind = ContentType.objects.db_manager(alias).get_for_model(Book)
        self.note = self.of(Note).create(content_type=kind, object_id=self.book.pk, text="n")
        self.shop = self.of(Shop).create(name="corner")
        self.top = self.of(Category).create(name="top")
        self.below = self.of(Category).create(name="below", parent=self.top)
        self.token = self.of(Token).create(text="t")
        self.word = self.of(Word).create(text="w:*")

    def of(self, model):
        return model.objects.using(self.alias)

    def plain(self):
        return {model: sorted(self.of(model).values_list(), key=repr) for model in MODELS}

    def cached(self):
        """Return the same by lists, and each row by its key."""
        result = {}
        for model in MODELS:
            queryset = getattr(model, "cached", model.objects).using(self.alias)
            keys = self.of(model).values_list("pk", flat=True)
            listed = sorted(queryset.values_list(), key=repr)
            single = sorted((queryset.values_list().get(pk=key) for key in keys), key=repr)
            assert single == listed
            assert queryset.count() == len(listed)
            result[model] = listed
        return result

    def is_fresh(self):
        return self.cached() == self.plain()


@pytest.fixture
def shelf(on):
    with transaction.atomic(on):
        return Shelf(on)


WRITES = {
    "save": lambda s: s.save(s.book, title="new"),
    "save some": lambda s: s.book.save(using=s.alias, update_fields=["title"], **s.set(s.book, title="new")),
    "create": lambda s: s.of(Book).create(title="three", author=s.author),
    "create with key": lambda s: s.of(Book).create(pk=900, title="three", author=s.author),
    "create text key": lambda s: s.of(Word).create(text="W:*"),
    "delete": lambda s: s.review.delete(),
    "delete cascade": lambda s: s.author.delete(),
    "delete set null": lambda s: s.other.delete(),
    "delete self": lambda s: s.top.delete(),
    "delete generic": lambda s: s.book.delete(),
    "delete child": lambda s: s.shop.delete(),
    "delete parent": lambda s: s.of(Place).get().delete(),
    "queryset delete": lambda s: s.of(Book).filter(title="one").delete(),
    "queryset fast delete": lambda s: s.of(Review).filter(stars__gt=0).delete(),
    "queryset update": lambda s: s.of(Book).filter(title="one").update(price=F("price") + 1),
    "queryset update one": lambda s: s.of(Book).filter(pk=s.book.pk).update(title="new"),
    "queryset update joined": lambda s: s.of(Book).filter(author__name="ann").update(title="new"),
    "queryset update parent": lambda s: s.of(Shop).filter(rooms=1).update(name="new"),
    "queryset update both": lambda s: s.of(Shop).update(name="new", rooms=7),
    "update the parent": lambda s: s.of(Place).update(name="new"),
    "update the key": lambda s: s.of(Review).filter(pk=s.review.pk).update(id=77),
    "update text key": lambda s: s.of(Word).filter(pk="w:*").update(count=7),
    "update by cached": lambda s: Book.cached.using(s.alias).filter(title="one").update(title="new"),
    "update child by cached": lambda s: Shop.cached.using(s.alias).filter(name="corner").update(name="new"),
    "delete by cached": lambda s: Book.cached.using(s.alias).filter(title="one").delete(),
    "save child": lambda s: s.save(s.shop, name="new", rooms=8),
    "save proxy": lambda s: s.save(Classic.objects.using(s.alias).get(title="one"), title="new"),
    "save uuid": lambda s: s.save(s.token, text="new"),
    "save text": lambda s: s.save(s.word, count=9),
    "bulk_create": lambda s: s.of(Tag).bulk_create([Tag(word="a"), Tag(word="b")]),
    "bulk_create conflict": lambda s: s.of(Tag).bulk_create(
        [Tag(pk=s.tag.pk, word="new")], update_conflicts=True, update_fields=["word"], unique_fields=["id"]
    ),
    "bulk_create ignore": lambda s: s.of(Tag).bulk_create([Tag(word="x")], ignore_conflicts=True),
    "bulk_create many": lambda s: s.of(Tag).bulk_create([Tag(word=str(n)) for n in range(1500)]),
    "bulk_update": lambda s: s.of(Book).bulk_update([s.set_all(s.book, title="new")], ["title"]),
    "get_or_create": lambda s: s.of(Tag).get_or_create(word="green"),
    "update_or_create": lambda s: s.of(Tag).update_or_create(word="red", defaults={"word": "dark red"}),
    "get_or_create by cached": lambda s: Tag.cached.using(s.alias).get_or_create(word="green"),
    "update_or_create by cached": lambda s: Tag.cached.using(s.alias).update_or_create(word="red"),
    "many add": lambda s: s.book.tags.add(s.blue),
    "many add reverse": lambda s: s.blue.books.add(s.second),
    "many remove": lambda s: s.book.tags.remove(s.tag),
    "many set": lambda s: s.book.tags.set([s.blue]),
    "many clear": lambda s: s.book.tags.clear(),
    "many create": lambda s: s.book.tags.create(word="green"),
    "related add": lambda s: s.other.books.add(s.book),
    "related create": lambda s: s.other.books.create(title="x"),
    "related update": lambda s: s.author.books.update(title="x"),
    "related remove": lambda s: s.other.co_books.remove(s.book),
    "related clear": lambda s: s.other.co_books.clear(),
    "related set": lambda s: s.author.co_books.set([s.second]),
    "related delete": lambda s: s.author.books.all().delete(),
    "generic create": lambda s: s.book.notes.create(text="x"),
    "generic clear": lambda s: s.book.notes.clear(),
    "raw delete": lambda s: s.of(Review)._raw_delete(s.alias),
}


def _set_all(_shelf, instance, **values):
    vars(instance).update(values)
    return instance


def _set(_shelf, instance, **values):
    vars(instance).update(values)
    return {}


def _save(shelf, instance, **values):
    vars(instance).update(values)
    instance.save(using=shelf.alias)


Shelf.set_all, Shelf.set, Shelf.save = _set_all, _set, _save


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_writes_are_seen(write, shelf):
    assert shelf.is_fresh()
    write(shelf)
    assert shelf.is_fresh()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_rollback_invalidates_nothing_and_leaks_nothing(write, shelf):
    before = shelf.cached()
    told = []
    with zoocache.on_invalidate(lambda tags, _position: told.extend(tags)):
        with pytest.raises(ZeroDivisionError), transaction.atomic(shelf.alias):
            write(shelf)
            assert shelf.is_fresh()
            raise ZeroDivisionError
    assert told == []
    assert shelf.cached() == before == shelf.plain()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_others_see_a_commit_and_nothing_before(write, on):
    with transaction.atomic(on):
        shelf = Shelf(on)
    before = shelf.cached()

    def elsewhere(function):
        def run():
            try:
                return function()
            finally:
                connections.close_all()

        return Running(run).result()

    with transaction.atomic(on):
        write(shelf)
        if on == "postgres":  # SQLite's readers would wait for the commit
            assert elsewhere(shelf.cached) == before
    assert elsewhere(shelf.is_fresh)


def test_a_savepoint_is_rolled_back_alone(shelf):
    shelf.cached()
    told = []
    with zoocache.on_invalidate(lambda tags, _position: told.extend(tags)), transaction.atomic(shelf.alias):
        shelf.of(Tag).create(word="kept")
        with pytest.raises(ZeroDivisionError), transaction.atomic(shelf.alias):
            shelf.of(Review).create(book=shelf.book)
            assert shelf.is_fresh()
            raise ZeroDivisionError
        assert shelf.is_fresh()
        with transaction.atomic(shelf.alias):
            shelf.of(Author).create(name="kept")
    assert shelf.is_fresh()
    assert sorted(tag.partition(":")[0] for tag in told) == ["django_shop.author", "django_shop.tag"]


def test_what_is_read_in_a_transaction_that_has_written_is_not_kept(shelf):
    @zoocache.cacheable
    def titles():
        return sorted(book.title for book in Book.cached.using(shelf.alias))

    with pytest.raises(ZeroDivisionError), transaction.atomic(shelf.alias):
        shelf.of(Book).update(title="never")
        assert titles() == ["never", "never"]
        raise ZeroDivisionError
    assert titles() == ["one", "two"]


def test_a_transaction_whose_data_are_old_fills_nothing(on):
    """It began to read before a commit that the cache has seen, and reads what was there before."""
    with transaction.atomic(on):
        shelf = Shelf(on)
    alias = "repeatable" if on == "postgres" else "default"

    def others_write():
        try:
            Author.objects.using(on).filter(name="ann").update(name="new")
        finally:
            connections.close_all()

    if on == "default":
        connections["default"].cursor().execute("PRAGMA journal_mode = WAL")
    names = Author.cached.using(alias).values_list("name", flat=True)

    @zoocache.cacheable
    def outer():
        return list(names.all())

    with transaction.atomic(alias):
        shelf_names = list(Author.objects.using(alias).values_list("name", flat=True))
        Running(others_write).result()
        assert list(names.all()) == outer() == shelf_names == ["ann", "bob"]
    assert list(names.all()) == outer() == ["bob", "new"]
    connections["repeatable"].close() if on == "postgres" else None
    assert shelf.is_fresh()


def test_a_transaction_fills_the_cache_if_it_reads_what_is_committed(on, sql):
    with transaction.atomic(on):
        shelf = Shelf(on)
    with transaction.atomic(on):
        before = shelf.of(Author).count()
        Author.cached.using(on).count()
    # SQLite's read what there was when they began.
    assert sql(Author.cached.using(on).count, using=on) == (0 if on == "postgres" else 1, before)


def test_hits_are_for_transactions_too(shelf, sql):
    shelf.cached()
    with transaction.atomic(shelf.alias):
        assert sql(Author.cached.using(shelf.alias).count, using=shelf.alias) == (0, 2)
        shelf.of(Tag).create(word="x")
        assert sql(Author.cached.using(shelf.alias).count, using=shelf.alias) == (0, 2)
        assert sql(Tag.cached.using(shelf.alias).count, using=shelf.alias) == (1, 3)


def test_a_broken_transaction_stays_broken(shelf):
    shelf.cached()
    with pytest.raises(IntegrityError), transaction.atomic(shelf.alias):
        try:
            with transaction.atomic(shelf.alias, savepoint=False):
                shelf.of(Tag).create(pk=shelf.tag.pk, word="x")
        except IntegrityError:
            with pytest.raises(transaction.TransactionManagementError):
                Author.cached.using(shelf.alias).count()
            raise


def test_functions_that_wait_for_the_commit_find_it_invalidated(shelf):
    seen = []
    shelf.cached()
    with transaction.atomic(shelf.alias):
        transaction.on_commit(
            lambda: seen.append(Tag.cached.using(shelf.alias).filter(word="new").count()), using=shelf.alias
        )
        shelf.of(Tag).create(word="new")
    assert seen == [1]


def test_one_transaction_is_one_invalidation(shelf):
    told = []
    with zoocache.on_invalidate(lambda tags, _position: told.append(tags)):
        with transaction.atomic(shelf.alias):
            for number in range(3):
                shelf.of(Tag).create(pk=100 + number, word="new")
            shelf.author.save(using=shelf.alias)
    assert [sorted(tags) for tags in told] == [
        [f"django_shop.author:{shelf.author.pk}", *(f"django_shop.tag:{100 + number}" for number in range(3))]
    ]


def test_a_program_that_commits_by_itself(shelf):
    shelf.cached()
    connection = connections[shelf.alias]
    connection.set_autocommit(False)
    try:
        shelf.of(Tag).create(word="never")
        assert shelf.is_fresh()
        connection.rollback()
        assert shelf.is_fresh()
        shelf.of(Tag).create(word="new")
        assert shelf.is_fresh()
        connection.commit()
        assert Tag.cached.using(shelf.alias).count() == 3
    finally:
        connection.rollback()
        connection.set_autocommit(True)
    assert shelf.is_fresh()


def test_nothing_is_invalidated_where_nothing_was_written(shelf):
    told = []
    with zoocache.on_invalidate(lambda tags, _position: told.append(tags)):
        shelf.of(Tag).filter(pk=-1).update(word="x")
        shelf.of(Tag).filter(pk__in=[]).update(word="x")
        shelf.of(Review).filter(pk=-1).delete()
    assert told == []


def test_deleting_reads_the_database(shelf):
    """Rows that the cache knows nothing of, since something else than the ORM wrote them."""
    cached = Tag.cached.using(shelf.alias)
    assert len(cached.all()) == 2
    with connections[shelf.alias].cursor() as cursor:
        cursor.execute("INSERT INTO django_shop_tag (word) VALUES ('raw')")
    assert len(cached.all()) == 2
    assert cached.get_or_create(word="raw")[1] is False
    cached.all().delete()
    assert shelf.of(Tag).count() == 0


@pytest.mark.parametrize("send", ["save", "delete", "m2m"])
def test_signals_that_programs_send(send, db):
    author = Author.objects.create(name="ann")
    book = Book.objects.create(title="one", author=author)
    tag = Tag.objects.create(word="red")
    kinds = {
        "save": lambda: post_save.send(Book, instance=book, created=False, using="default"),
        "delete": lambda: post_delete.send(Book, instance=book, using="default"),
        "m2m": lambda: m2m_changed.send(
            Book.tags.through, instance=book, action="post_add", model=Tag, pk_set={tag.pk}, using="default"
        ),
    }
    before = zoocache.get_tag_version(instance_tag(book))
    kinds[send]()
    assert zoocache.get_tag_version(instance_tag(book)) > before


def test_many_to_many_changes_invalidate_both_sides(shelf):
    versions = [zoocache.get_tag_version(instance_tag(it)) for it in (shelf.book, shelf.blue)]
    shelf.book.tags.add(shelf.blue)
    assert all(
        zoocache.get_tag_version(instance_tag(it)) > before
        for it, before in zip((shelf.book, shelf.blue), versions, strict=True)
    )


def test_a_test_case_of_django(db):
    class Case(TestCase):
        databases = ("default",)

        def runTest(self):  # noqa: N802
            Tag.objects.create(word="red")
            assert [tag.word for tag in Tag.cached.all()] == ["red"]
            before = zoocache.get_tag_version(model_tag(Tag))
            with self.captureOnCommitCallbacks(execute=True):
                Tag.objects.update(word="blue")
            assert zoocache.get_tag_version(model_tag(Tag)) > before
            assert [tag.word for tag in Tag.cached.all()] == ["blue"]

    result = unittest.TestResult()
    unittest.TestSuite([Case()]).run(result)
    assert (result.testsRun, result.errors, result.failures) == (1, [], [])
    assert list(Tag.cached.all()) == []


@isolate_apps("django_shop")
def test_rows_that_the_database_deletes(db):
    if django.VERSION < (6, 1):
        return

    class Parent(models.Model):
        class Meta:
            app_label = "django_shop"

    class Child(models.Model):
        parent = models.ForeignKey(Parent, models.DB_CASCADE)

        class Meta:
            app_label = "django_shop"

    assert tags_of(Parent, [1], deleted=True) == {"django_shop.parent:1", "django_shop.child"}
    assert tags_of(Parent, [1]) == {"django_shop.parent:1"}


def test_a_connection_that_breaks_at_the_commit(shelf, monkeypatch):
    """Nobody knows whether it was made."""
    connection = connections[shelf.alias]
    before = zoocache.get_tag_version("django_shop.tag:5")

    def broken():
        raise django.db.OperationalError("gone")

    monkeypatch.setattr(connection, "_commit", broken)
    with pytest.raises(DatabaseError), transaction.atomic(shelf.alias):
        shelf.of(Tag).update(word="x")
    assert zoocache.get_tag_version("django_shop.tag:5") > before

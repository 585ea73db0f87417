"""A folder that two processes share: what one of them writes, the other one sees."""

import json
import sys

import pytest
from django.conf import settings
from django.db import connections
from django_shop.models import Author, Book, Token, Word
from other_process import Other
from test_django_reads import QUERIES, _fill, described

import zoocache

#: What the other process begins with: the same project.
_PROJECT = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path, PosixPath
from django.conf import settings
settings.configure(**{settings!r})
import django
django.setup()
from django_shop.models import *
"""


@pytest.fixture
def folder(tmp_path, db, monkeypatch):
    """A folder as `settings.ZOOCACHE` names it."""
    zoocache.reset()
    monkeypatch.setattr(settings, "ZOOCACHE", {"storage_url": f"lmdb://{tmp_path}"}, raising=False)
    return tmp_path


@pytest.fixture
def other(folder):
    names = ("INSTALLED_APPS", "DEFAULT_AUTO_FIELD", "USE_TZ", "MIGRATION_MODULES")
    given = {name: getattr(settings, name) for name in names}
    databases = {
        alias: {
            "ENGINE": connections[alias].settings_dict["ENGINE"],
            "NAME": str(connections[alias].settings_dict["NAME"]),
        }
        for alias in ("default", "other")
    }
    with Other(folder) as other:
        other.run(_PROJECT.format(path=sys.path, settings={**given, "DATABASES": databases}))
        yield other


def test_settings_configure_the_cache(folder):
    list(Author.cached.all())
    assert any(folder.iterdir())
    assert zoocache.stats()["entries"] >= 1


def test_who_configures_the_cache_by_itself_knows_better(tmp_path, db, monkeypatch):
    zoocache.configure(max_entries=5)
    monkeypatch.setattr(settings, "ZOOCACHE", {"storage_url": f"lmdb://{tmp_path}"}, raising=False)
    list(Author.cached.all())
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", ["lmdb:///x", {"storage": "x"}, {"max_entries": 0}])
def test_wrong_settings(wrong, db, monkeypatch):
    zoocache.reset()
    monkeypatch.setattr(settings, "ZOOCACHE", wrong, raising=False)
    with pytest.raises(Exception, match=r"ZOOCACHE|max_entries") as error:
        list(Author.cached.all())
    assert type(error.value).__name__ in {"ImproperlyConfigured", "ConfigError"}


def test_two_processes(other, sql):
    author = Author.objects.create(name="ann")
    assert list(Author.cached.values_list("name", flat=True)) == ["ann"]
    names = "list(Author.cached.values_list('name', flat=True))"
    other.run("from django.db import connection; connection.force_debug_cursor = True")
    assert other(names) == ["ann"]
    assert other("len(connection.queries)") == 0
    author.name = "bob"
    author.save()
    assert other(names) == ["bob"]
    other.run("Author.objects.update(name='cid')")
    assert list(Author.cached.values_list("name", flat=True)) == ["cid"]
    other.run("Author.objects.all().delete()")
    assert list(Author.cached.all()) == []
    assert json.dumps(other(names)) == "[]"


def test_results_from_the_folder_are_those_of_a_plain_queryset(folder, on, sql):
    """What went through bytes has the same types."""
    _fill(on)
    for name, query in QUERIES.items():
        plain = described(query(lambda model: model.objects.using(on)))
        query(lambda model: model.cached.using(on))
        # Forget what this process holds in memory.
        zoocache.reset()
        sent, hit = sql(query, lambda model: model.cached.using(on), using=on)
        assert (name, sent, described(hit)) == (name, 0, plain)
    assert Token.objects.using(on).count() == Word.objects.using(on).count() == 1
    assert Book.objects.using(on).count() == 6

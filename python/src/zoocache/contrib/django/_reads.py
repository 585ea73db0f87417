"""Cached queries: the rows of the database, under the SQL that reads them.

Django makes of rows what it makes of them without a cache: values of the right types, instances that no
other caller has, prefetched and deferred ones.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models.sql.constants import MULTI, SINGLE

import zoocache
from zoocache.context import keep_private
from zoocache.contrib.django._database import identity, in_transaction, sees_latest, sees_uncommitted
from zoocache.contrib.django._queries import is_stable, models_read, row_read, tables_read
from zoocache.contrib.django._writes import models_written
from zoocache.contrib.django.conf import configure_from_settings
from zoocache.contrib.django.tags import row_tag, subtrees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

_ABSENT = object()


class Caching(NamedTuple):
    """How the results of a query are cached."""

    ttl: float | str | timedelta | None = None
    prefix: str | Callable[[], str] | None = None


#: What queries that are not marked are cached like: those that fill the caches of `prefetch_related`.
_around: ContextVar[Caching | None] = ContextVar("zoocache_django_caching", default=None)


@contextmanager
def caching_all(caching: Caching | None) -> Iterator[None]:
    """Make a block all of whose queries are cached like one."""
    token = _around.set(caching)
    try:
        yield
    finally:
        _around.reset(token)


def mark(query: Any, caching: Caching | None) -> None:
    """Let a query, and what is made of it, be cached; or not any more."""
    query.zoocache = caching


def caching_of(query: Any) -> Caching | None:
    """Return how a query is cached, `None` if it is not."""
    # An aggregate over a subquery is another query around it.
    marked: Caching | None = getattr(query, "zoocache", None)
    if marked is None and hasattr(query, "inner_query"):
        marked = getattr(query.inner_query, "zoocache", None)
    return marked or _around.get()


@functools.cache
def rows_for(ttl: float | str | timedelta | None) -> Any:
    """Return the cached function of all queries with this lifetime.

    Raises:
        ConfigError: `ttl` makes no sense.
    """

    def rows(read: _Read, *key: object) -> Any:  # noqa: ARG001 - the key is what identifies the call
        result = read.execute()
        zoocache.add_deps(read.dependencies(result))
        return result

    return zoocache.cacheable(
        rows, namespace="zoocache.contrib.django", ttl=ttl, ignore=("read",), on_unserializable="return"
    )


class _Read:
    """A query that is about to be executed."""

    def __init__(self, compiler: Any, original: Any, result_type: str) -> None:
        self._compiler, self._original, self._type = compiler, original, result_type
        self.sql, self.params = compiler.as_sql()

    def execute(self) -> Any:
        """Return the rows from the database: all of them as a tuple, or the first one."""
        compiler = self._compiler
        # What has been compiled is not compiled again.
        compiler.as_sql = lambda: (self.sql, self.params)
        try:
            result = self._original(compiler, self._type)
        finally:
            del compiler.as_sql
        return tuple(row for chunk in result for row in chunk) if self._type == MULTI else result

    def key(self, prefix: str | None) -> tuple[object, ...]:
        place = identity(self._compiler.connection)
        return prefix, place, self._type, self.sql, _plain(self.params)

    def models(self) -> set[str]:
        return models_read(self._compiler.query, self.sql, self._compiler.connection)

    def dependencies(self, result: Any) -> list[str]:
        """Return the tags of a result: of a row if it is all about this one, or of whole models."""
        labels = self.models()
        row = row_read(self._compiler.query, self.sql, labels) if result else None
        return subtrees(labels) if row is None else [row_tag(label, row) for label in labels]


def _plain(value: Any) -> Any:
    """Make a parameter of a query something that can be part of a key."""
    cls = type(value)
    if cls in {list, tuple}:
        return cls(map(_plain, value))
    if cls is not str and issubclass(cls, str):
        return str.__str__(value)
    if cls is memoryview:
        return bytes(value)
    if cls.__module__.partition(".")[0] in {"psycopg", "psycopg2"}:
        # Its marks on what is to become JSON, or bytes.
        marked = getattr(value, "obj", getattr(value, "adapted", value))
        return value if marked is value else (cls.__name__, _plain(marked))
    return value


def can_be_cached(compiler: Any, result_type: str) -> bool:
    """Whether a query is one whose rows can come from the cache."""
    query = compiler.query
    return (
        result_type in {MULTI, SINGLE}
        and not query.select_for_update
        and not query.explain_info
        and not compiler.connection.needs_rollback
    )


def read(original: Any, compiler: Any, result_type: str, caching: Caching) -> Any:
    """Do what `SQLCompiler.execute_sql` does, with the rows from the cache if they are there."""
    connection = compiler.connection
    try:
        prepared = _Read(compiler, original, result_type)
    except EmptyResultSet:
        return original(compiler, result_type)
    result = _rows(prepared, connection, caching) if prepared.sql else original(compiler, result_type)
    return [result] if result_type == MULTI and prepared.sql else result


def _rows(read: _Read, connection: Any, caching: Caching) -> Any:
    prefix = caching.prefix() if callable(caching.prefix) else caching.prefix
    rows = rows_for(caching.ttl)
    key = read.key(prefix)
    if not is_stable(read.sql) or not _can_be_key(rows, key):
        _note(connection, read.models())
        return read.execute()
    configure_from_settings()
    if not in_transaction(connection):
        return _uncommitted(read) if sees_uncommitted(connection) else rows(read, *key)
    written = models_written(connection)
    if written and not written.isdisjoint(read.models()):
        return _uncommitted(read)
    if not written and sees_latest(connection):
        return rows(read, *key)
    # It must not wait for somebody who waits for this transaction, and may see older rows than others do.
    result = zoocache.get(rows.key(read, *key), _ABSENT)
    return _uncommitted(read) if result is _ABSENT else result


def _can_be_key(rows: Any, key: tuple[object, ...]) -> bool:
    try:
        rows.key(None, *key)
    except ValueError:
        return False
    return True


def _uncommitted(read: _Read) -> Any:
    """Read rows that are for this transaction only, also if they are read inside a cached function."""
    keep_private()
    zoocache.add_deps(subtrees(read.models()))
    return read.execute()


def track(original: Any, compiler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do what `SQLCompiler.execute_sql` does; what is read, the cached function around it depends on."""
    connection = compiler.connection
    result_type = args[0] if args else kwargs.get("result_type", MULTI)
    try:
        read = _Read(compiler, original, result_type)
    except EmptyResultSet:
        return original(compiler, *args, **kwargs)
    models = read.models()
    _keep_private_unless_latest(connection, models)
    if result_type == SINGLE or (result_type == MULTI and not (args[1:] or kwargs.get("chunked_fetch"))):
        result = read.execute()
        zoocache.add_deps(read.dependencies(result))
        return [result] if result_type == MULTI else result
    # Rows that are fetched in pieces, or a cursor: whichever rows.
    zoocache.add_deps(subtrees(models))
    return original(compiler, *args, **kwargs)


def track_raw(query: Any) -> None:
    """Note that SQL of the program's own is executed for a model."""
    connection = connections[query.using]
    _note(connection, tables_read(apps, str(query.sql), connection))


def _note(connection: Any, models: set[str]) -> None:
    """Note that whichever rows of models are read."""
    _keep_private_unless_latest(connection, models)
    zoocache.add_deps(subtrees(models))


def _keep_private_unless_latest(connection: Any, models: set[str]) -> None:
    """Keep what is made of rows that others do not see for the caller alone."""
    is_latest = not in_transaction(connection) or sees_latest(connection)
    if not is_latest or sees_uncommitted(connection) or not models_written(connection).isdisjoint(models):
        keep_private()

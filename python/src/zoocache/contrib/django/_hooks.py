"""Where Django is hooked: the places that all SQL of the ORM, and all commits, go through.

Signals alone would not do: bulk operations, fast deletes and updates of querysets send none. They are
listened to as well, for what programs send by themselves.
"""

from __future__ import annotations

import functools
from typing import Any

from django.apps import apps
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import m2m_changed, post_delete, post_migrate, post_save
from django.db.models.sql import RawQuery
from django.db.models.sql.compiler import SQLCompiler, SQLDeleteCompiler, SQLInsertCompiler, SQLUpdateCompiler
from django.db.models.sql.constants import MULTI

from zoocache._context import CURRENT
from zoocache.contrib.django import _reads, _writes
from zoocache.contrib.django.tags import instance_tag, model_tag, normal_key, row_tag


def _wrap(cls: type, name: str, function: Any) -> None:
    original = getattr(cls, name)

    @functools.wraps(original)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(original, self, args, kwargs)

    setattr(cls, name, wrapper)


def _select(original: Any, compiler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if isinstance(compiler, (SQLUpdateCompiler, SQLDeleteCompiler)):
        deleted = isinstance(compiler, SQLDeleteCompiler)
        return _writes.update_or_delete(original, compiler, args, kwargs, deleted=deleted)
    caching = _reads.caching_of(compiler.query)
    result_type = args[0] if args else kwargs.get("result_type", MULTI)
    if caching is not None and _reads.can_be_cached(compiler, result_type):
        return _reads.read(original, compiler, result_type, caching)
    if CURRENT.get() is None:
        return original(compiler, *args, **kwargs)
    return _reads.track(original, compiler, args, kwargs)


def _raw(original: Any, query: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if CURRENT.get() is not None:
        _reads.track_raw(query)
    return original(query, *args, **kwargs)


def _update(original: Any, compiler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    fields = args[0] if args else kwargs.get("returning_fields")
    if not fields or not compiler.connection.features.can_return_rows_from_update:
        return original(compiler, *args, **kwargs)  # by `execute_sql`
    return _writes.update_or_delete(original, compiler, args, kwargs, deleted=False)


def _commit(original: Any, connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    _writes.commit(original, connection)


_wrap(SQLCompiler, "execute_sql", _select)
_wrap(RawQuery, "_execute_query", _raw)
_wrap(SQLInsertCompiler, "execute_sql", _writes.insert)
_wrap(BaseDatabaseWrapper, "commit", _commit)
if hasattr(SQLUpdateCompiler, "execute_returning_sql"):  # Django 6.0
    _wrap(SQLUpdateCompiler, "execute_returning_sql", _update)


def _saved_or_deleted(instance: models.Model, using: str | None = None, **_signal: Any) -> None:
    tags = {instance_tag(instance)} if instance.pk is not None else {model_tag(instance)}
    _writes.changed(connections[using or "default"], tags)


def _related(
    instance: models.Model,
    model: type[models.Model],
    action: str = "",
    using: str | None = None,
    pk_set: set[Any] | None = None,
    **_signal: Any,
) -> None:
    if not action.startswith("post_"):
        return
    label = model_tag(model)
    # After `clear` nobody says which they were.
    others = {label} if pk_set is None else {row_tag(label, normal_key(model, key)) for key in pk_set}
    _writes.changed(connections[using or "default"], others | {instance_tag(instance)})


def _migrated(app_config: Any, using: str | None = None, **_signal: Any) -> None:
    # Also after the flush between tests. Columns may be of other types, and SQL of migrations is not seen.
    tags = {
        model_tag(model)
        for model in apps.get_app_config(app_config.label).get_models(include_auto_created=True)
    }
    if tags:
        _writes.changed(connections[using or "default"], tags)


post_save.connect(_saved_or_deleted, dispatch_uid="zoocache")
post_delete.connect(_saved_or_deleted, dispatch_uid="zoocache")
m2m_changed.connect(_related, dispatch_uid="zoocache")
post_migrate.connect(_migrated, dispatch_uid="zoocache")

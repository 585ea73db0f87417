"""What the ORM writes, and its invalidation after the commit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import InterfaceError, OperationalError
from django.db.models.sql.constants import CURSOR

import zoocache
from zoocache.contrib.django._database import in_transaction
from zoocache.contrib.django._queries import also_changed, rows_inserted, rows_written
from zoocache.contrib.django.conf import configure_from_settings
from zoocache.contrib.django.tags import model_tag, row_tag

if TYPE_CHECKING:
    from collections.abc import Iterable

#: How newer versions of Django ask for the number of rows.
ROW_COUNT = "row count"
_log = logging.getLogger("zoocache")
_NOTHING: frozenset[str] = frozenset()


class Pending:
    """An invalidation that waits for the commit of its transaction, among the functions that do."""

    def __init__(self, labels: frozenset[str], tags: Iterable[str]) -> None:
        #: The models that this transaction has written so far; after a savepoint was rolled back more.
        self.labels = labels
        self.tags = frozenset(tags)

    def __call__(self) -> None:
        """Invalidate."""
        invalidate(self.tags)


def invalidate(tags: Iterable[str]) -> None:
    """Invalidate tags; what was written stays written if that fails, so it never raises."""
    try:
        configure_from_settings()
        zoocache.invalidate(*sorted(tags))
    except Exception:  # noqa: BLE001 - whatever it is, the data are written
        _log.exception("an invalidation after a commit failed; what is cached elsewhere may be stale")


def models_written(connection: Any) -> frozenset[str]:
    """Return the tags of the models that the current transaction has written."""
    # What a savepoint had written is forgotten by Django when that is rolled back.
    for _savepoints, function, *_robust in reversed(connection.run_on_commit):
        if isinstance(function, Pending):
            return function.labels
    return _NOTHING


def changed(connection: Any, tags: Iterable[str]) -> None:
    """Invalidate tags once what the connection has just written is committed."""
    tags = set(tags)
    if not in_transaction(connection):
        invalidate(tags)
        return
    labels = frozenset(tag.partition(":")[0] for tag in tags)
    before = models_written(connection)
    pending = Pending(before if labels <= before else before | labels, tags)
    if connection.in_atomic_block:
        connection.on_commit(pending, robust=True)
    else:
        # Django refuses this where the program commits by itself; our own `committed` finds it.
        connection.run_on_commit.append((set(), pending, True))


def committed(connection: Any) -> None:
    """Invalidate what waited for the commit that has just been made, before other functions that did run."""
    hooks = connection.run_on_commit
    tags = {tag for hook in hooks if isinstance(hook[1], Pending) for tag in hook[1].tags}
    if tags:
        connection.run_on_commit = [hook for hook in hooks if not isinstance(hook[1], Pending)]
        invalidate(tags)


def commit(original: Any, connection: Any) -> None:
    """Do what `BaseDatabaseWrapper.commit` does, and invalidate."""
    try:
        original(connection)
    except (OperationalError, InterfaceError):
        # Nobody knows whether the database has made the commit.
        committed(connection)
        raise
    committed(connection)


def insert(original: Any, compiler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do what `SQLInsertCompiler.execute_sql` does, and note what it has written."""
    fields = args[0] if args else kwargs.get("returning_fields")
    query = compiler.query
    rows = _noted(lambda: original(compiler, *args, **kwargs), compiler, None)
    _note(compiler, rows_inserted(query, fields, rows))
    return rows


def update_or_delete(
    original: Any, compiler: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, deleted: bool
) -> Any:
    """Do what the `execute_sql` of updates and deletes does, and note what it has written."""
    # It may read the rows that it concerns: from the database.
    compiler.query.zoocache = None
    keys = rows_written(compiler.query)
    result = _noted(lambda: original(compiler, *args, **kwargs), compiler, keys, deleted=deleted)
    counted = bool(args) and args[0] in (CURSOR, ROW_COUNT)
    if result not in (0, []) and getattr(result, "rowcount", None) != 0 and not (counted and result is None):
        _note(compiler, keys, deleted=deleted)
    return result


def _noted(execute: Any, compiler: Any, keys: list[Any] | None, *, deleted: bool = False) -> Any:
    try:
        return execute()
    except (OperationalError, InterfaceError):
        # Nobody knows whether the database has done it.
        _note(compiler, keys, deleted=deleted)
        raise


def _note(compiler: Any, keys: list[Any] | None, *, deleted: bool = False) -> None:
    changed(compiler.connection, tags_of(compiler.query.model, keys, deleted=deleted))


def tags_of(model: Any, keys: list[Any] | None, *, deleted: bool = False) -> set[str]:
    """Return the tags of what has changed.

    Args:
        model: The model that was written.
        keys: Its rows that were written, `None` if they are not known.
        deleted: Whether they were deleted.
    """
    labels = {model_tag(model): True, **also_changed(model, deleted=deleted)}
    tags = {label for label, is_same in labels.items() if keys is None or not is_same}
    tags.update(row_tag(label, key) for key in keys or () for label in labels.keys() - tags)
    return tags

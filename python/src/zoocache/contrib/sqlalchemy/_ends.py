"""Where transactions end: every COMMIT, ROLLBACK and savepoint goes through the dialect.

The events of sessions and connections do not do. That of a session's commit also comes when it has joined a
transaction of others, which ends later; that of a connection's commit comes before the commit.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from zoocache.contrib.sqlalchemy._work import Work, info_of, place
from zoocache.contrib.sqlalchemy._writes import is_done, settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Dialect

    from zoocache.contrib.sqlalchemy._attached import Settings


def _commit(
    settings: Settings,
    dialect: Any,
    original: Callable[..., None],
    connection: Any,
    *args: Any,
    **kwargs: Any,
) -> None:
    # Of two phases: a connection with more around it.
    info = info_of(connection)
    if info is None:
        original(connection, *args, **kwargs)
        return
    here = place(info)
    work, here.work = here.work, Work()
    try:
        settings.commit(dialect, work.tags(), functools.partial(original, connection, *args, **kwargs))
    finally:
        here.work = Work()


def _rollback(
    settings: Settings,
    dialect: Any,
    original: Callable[..., None],
    connection: Any,
    *args: Any,
    **kwargs: Any,
) -> None:
    info = info_of(connection)
    if info is None:
        original(connection, *args, **kwargs)
        return
    here = place(info)
    tags = here.work.tags()
    if tags and (here.work.is_lasting or is_done(dialect, _pooled(connection), here.work)):
        settings.invalidate(dialect, tags)
    original(connection, *args, **kwargs)
    here.work = Work()


def _savepoint(
    _settings: Settings, _dialect: Any, original: Callable[..., None], connection: Any, name: str
) -> None:
    original(connection, name)
    place(connection.info).work.savepoint(name)


def _roll_back_to(
    _settings: Settings, _dialect: Any, original: Callable[..., None], connection: Any, name: str
) -> None:
    original(connection, name)
    place(connection.info).work.roll_back_to(name)


def _release(
    settings: Settings, dialect: Any, original: Callable[..., None], connection: Any, name: str
) -> None:
    original(connection, name)
    work = place(connection.info).work
    work.release(name)
    # SQLite's driver begins no transaction for a savepoint, so that its end may be a commit.
    if dialect.name == "sqlite" and is_done(dialect, connection.connection, work):
        settle(settings, dialect, connection.info)


_WRAPPERS: dict[str, Callable[..., None]] = {
    "do_commit": _commit,
    "do_commit_twophase": _commit,
    "do_rollback": _rollback,
    "do_rollback_twophase": _rollback,
    "do_savepoint": _savepoint,
    "do_rollback_to_savepoint": _roll_back_to,
    "do_release_savepoint": _release,
}


def wrap(settings: Settings, dialect: Dialect) -> None:
    """Let the ends of transactions go through here."""
    for name, wrapper in _WRAPPERS.items():
        setattr(dialect, name, functools.partial(wrapper, settings, dialect, getattr(dialect, name)))


def unwrap(dialect: Dialect) -> None:
    """Undo `wrap`."""
    for name in _WRAPPERS:
        delattr(dialect, name)


def _pooled(connection: Any) -> Any:
    """The connection of the pool: of two phases it is given as one with more around it."""
    return getattr(connection, "connection", connection) if hasattr(connection, "dialect") else connection

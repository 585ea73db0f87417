"""`attach`: lets an engine tell the cache what changes, and the cache answer for the engine."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, event, exc
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import zoocache
from zoocache.contrib.sqlalchemy import _ends, _reads, _writes
from zoocache.contrib.sqlalchemy._attached import Settings
from zoocache.contrib.sqlalchemy._footprint import noting
from zoocache.contrib.sqlalchemy._objects import watch_sessions
from zoocache.contrib.sqlalchemy._tags import LONGEST_PREFIX
from zoocache.contrib.sqlalchemy._work import info_of, place

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from sqlalchemy.engine import Dialect


_lock = threading.RLock()

_DEEPEST_PREFIX = 7


class _Attached:
    """An engine that was attached, by one or several."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.settings = settings
        self.users: set[Attachment] = set()
        self._engine = engine
        dialect: Any = engine.dialect
        self._listeners: list[tuple[str, Callable[..., Any]]] = [
            ("before_cursor_execute", self._before),
            ("after_execute", self._after),
            ("handle_error", self._failed),
            ("do_execute", self._execute),
        ]
        for name, listener in self._listeners:
            event.listen(engine, name, listener)
        _ends.wrap(settings, dialect)
        dialect.statement_compiler = noting(dialect.statement_compiler)
        engine.clear_compiled_cache()

    def end(self) -> None:
        dialect: Any = self._engine.dialect
        for name, listener in self._listeners:
            event.remove(self._engine, name, listener)
        _ends.unwrap(dialect)
        del dialect.statement_compiler
        self._engine.clear_compiled_cache()

    def _before(
        self, connection: Connection, _cursor: Any, _text: Any, _values: Any, context: Any, _many: Any
    ) -> None:
        if info_of(connection) is None:
            return
        kind = _writes.kind_of(context)
        if kind is _writes.Kind.READS:
            _reads.before(self.settings, connection, context)
        elif kind is not _writes.Kind.CONTROLS:
            _reads.beside(self.settings, connection, context)
            _writes.before(self.settings, connection, context)

    def _execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        if info_of(context.root_connection) is None:
            return False
        return _reads.execute(self.settings, cursor, statement, parameters, context)

    def _after(
        self, connection: Connection, _statement: Any, _many: Any, _values: Any, _options: Any, result: Any
    ) -> None:
        context = getattr(result, "context", None)
        # A default that is executed by itself has none.
        if context is not None and info_of(connection) is not None:
            _writes.after(self.settings, connection, context)

    def _failed(self, failure: Any) -> None:
        connection = failure.connection
        if connection is None or connection.closed or connection.invalidated or info_of(connection) is None:
            return
        # A part of it may have been done.
        work = place(connection.info).work
        if work.is_autocommit and work.running:
            _writes.settle(self.settings, connection.dialect, connection.info)


_attached: weakref.WeakKeyDictionary[Dialect, _Attached] = weakref.WeakKeyDictionary()


class Attachment:
    """What `attach` returned: `detach()`, or the end of a `with` block, undoes it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engines: weakref.WeakSet[Engine] = weakref.WeakSet()
        self._sessions: Any = None

    def detach(self) -> None:
        """Let the engines be as they were. What is not committed yet is not invalidated any more."""
        with _lock:
            if self._sessions is not None:
                event.remove(self._sessions, "after_begin", self._after_begin)
                self._sessions = None
            for engine in list(self._engines):
                found = _attached[engine.dialect]
                found.users.discard(self)
                if not found.users:
                    del _attached[engine.dialect]
                    found.end()
            self._engines.clear()

    def __enter__(self) -> Attachment:  # noqa: PYI034 - `Self` is not in Python 3.10
        return self

    def __exit__(self, *_error: object) -> None:
        self.detach()

    def _attach_engine(self, engine: Engine) -> None:
        engine = _root(engine)
        if engine in self._engines:
            return
        with _lock:
            found = _attached.get(engine.dialect)
            if found is None:
                found = _attached[engine.dialect] = _Attached(engine, self._settings)
            elif found.settings != self._settings:
                raise exc.ArgumentError(
                    f"{engine!r} is attached already with other options, {found.settings}: "
                    f"detach that, or attach it with the same instead of {self._settings}"
                )
            found.users.add(self)
            self._engines.add(engine)

    def _attach_sessions(self, sessions: Any) -> None:
        event.listen(sessions, "after_begin", self._after_begin)
        self._sessions = sessions

    def _after_begin(self, _session: Session, _transaction: Any, connection: Connection) -> None:
        self._attach_engine(connection.engine)


def attach(
    target: Any,
    *,
    cache: zoocache.Cache | None = None,
    prefix: str = "",
    name: str | None = None,
    crash_safe: bool = False,
    timeout: float | timedelta | str = 30,
) -> Attachment:
    """Let an engine invalidate what it changes, after commits, and answer `cached` statements from a cache.

    Everything that uses the engine takes part, whatever was given: all of its sessions, and Core.

    Args:
        target: An engine, sync or async; or sessions, whose engines are attached when they are first used, if
            they are not known before: a `sessionmaker`, `async_sessionmaker`, `scoped_session`, a class of
            sessions or one of them.
        cache: The cache; `None` for the default one.
        prefix: What tags begin with, `"shop"` for `"shop:users:5"`: keeps databases apart that have tables of
            the same names.
        name: What the database is called in keys, the same for all that use it. By default that is the URL of
            the engine without its secrets.
        crash_safe: Invalidate with `changing(...)` around each commit, so that nothing stale is served even
            if the process dies between the two. It costs one more operation of the cache.
        timeout: Of these `changing(...)`: seconds, a `timedelta`, or a text such as `"30s"`.

    Returns:
        The attachment. The same engine may be attached several times, with the same options.

    Raises:
        ArgumentError: The target is none of these, its engine is attached with other options, or `prefix` is
            too long.
        InvalidTag: `prefix` is not a tag.
        ConfigError: `timeout` makes no sense.
    """
    if len(prefix) > LONGEST_PREFIX or prefix.count(":") > _DEEPEST_PREFIX:
        raise exc.ArgumentError(
            f"prefix may have {LONGEST_PREFIX} characters and {_DEEPEST_PREFIX + 1} levels, so that there is "
            f"room for tables and keys below it: {prefix!r}"
        )
    (zoocache.changing if cache is None else cache.changing)(prefix or "any", timeout=timeout)  # checks them
    watch_sessions()
    attachment = Attachment(Settings(cache, prefix, name, crash_safe, timeout))
    engines, sessions = _resolve(target)
    for engine in engines:
        attachment._attach_engine(engine)  # noqa: SLF001 - our own
    if sessions is not None:
        attachment._attach_sessions(sessions)  # noqa: SLF001 - our own
    return attachment


def invalidate_after_commit(
    target: Session | AsyncSession | Connection | AsyncConnection, *tags: str
) -> None:
    """Invalidate tags after the transaction has been committed: for what SQLAlchemy cannot see, such as text.

    session.execute(text("UPDATE users SET ..."))
    invalidate_after_commit(session, table_tag(User))

    Args:
        target: The session, which must have begun to use its database, or the connection.
        *tags: What changes.

    Raises:
        ArgumentError: The engine is not attached.
    """
    connection: Any = getattr(target, "sync_session", getattr(target, "sync_connection", target))
    if isinstance(connection, Session):
        connection = connection.connection()
    found = _attached.get(connection.dialect)
    if found is None:
        raise exc.ArgumentError(
            f"{connection.engine!r} is not attached; call zoocache.contrib.sqlalchemy.attach"
        )
    _writes.add_tags(found.settings, connection, tags)


def _root(engine: Engine) -> Engine:
    """The engine that one with other `execution_options` was made of: their dialect and pool are the same."""
    while (proxied := getattr(engine, "_proxied", None)) is not None:
        engine = proxied
    return engine


def _resolve(target: Any) -> tuple[list[Engine], Any]:
    """The engines that are known, and the sessions whose engines are not."""
    found: tuple[list[Engine], Any]
    if isinstance(target, Engine):
        found = [target], None
    elif isinstance(target, AsyncEngine):
        found = [target.sync_engine], None
    elif isinstance(target, (scoped_session, async_scoped_session)):
        found = _resolve(target.session_factory)
    elif isinstance(target, async_sessionmaker):
        sync_class = target.kw.get("sync_session_class", target.class_.sync_session_class)
        known = _engines(target.kw)
        # Without an engine of its own it takes those of its class.
        found = known, None if known else sync_class
    elif isinstance(target, sessionmaker):
        found = _engines(target.kw), target
    elif isinstance(target, AsyncSession):
        found = [], target.sync_session
    elif isinstance(target, Session) or (isinstance(target, type) and issubclass(target, Session)):
        found = [], target
    elif isinstance(target, type) and issubclass(target, AsyncSession):
        found = [], target.sync_session_class
    else:
        raise exc.ArgumentError(
            "attach() needs an engine, a sessionmaker, a scoped_session, a class of sessions or a session, "
            f"not {target!r}"
        )
    return found


def _engines(options: Any) -> list[Engine]:
    """The engines in the options of sessions."""
    binds = [options.get("bind"), *(options.get("binds") or {}).values()]
    found = [
        getattr(bind, "sync_engine", getattr(bind, "engine", None)) for bind in binds if bind is not None
    ]
    return [getattr(engine, "sync_engine", engine) for engine in found if engine is not None]

"""Serves statements from the cache: in place of the cursor, with the rows as the driver gave them.

Above it nothing is different. SQLAlchemy makes values, objects and collections of the rows as it always does:
types, identity map, inheritance and eager loads are its own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc
from sqlalchemy.engine.cursor import CursorFetchStrategy, FullyBufferedCursorFetchStrategy
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import await_only, greenlet_spawn

import zoocache
from zoocache._context import CURRENT
from zoocache.context import keep_private
from zoocache.contrib.sqlalchemy._cached import Cached, option
from zoocache.contrib.sqlalchemy._database import identity
from zoocache.contrib.sqlalchemy._footprint import footprint
from zoocache.contrib.sqlalchemy._objects import may_be_older
from zoocache.contrib.sqlalchemy._tags import is_exact, row_below
from zoocache.contrib.sqlalchemy._work import place

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sqlalchemy import Connection

    from zoocache.contrib.sqlalchemy._attached import Settings
    from zoocache.contrib.sqlalchemy._footprint import Footprint
    from zoocache.contrib.sqlalchemy._work import Place

    #: What a cursor describes of its columns, and the rows.
    _Rows = tuple[tuple[tuple[Any, ...], ...], tuple[tuple[Any, ...], ...]]

_NAMESPACE = "zoocache.contrib.sqlalchemy"

#: Isolation levels at which each statement reads what is committed when it begins.
_BY_STATEMENT = {"READ COMMITTED", "AUTOCOMMIT"}


@dataclass
class Plan:
    """That the statement of a context is served by the cache."""

    context: Any
    cached: Cached
    deps: list[str]
    computation: object


def before(settings: Settings, connection: Connection, context: Any) -> None:
    """Decide about a statement that changes nothing, before it runs.

    Raises:
        ArgumentError: The option `cached` cannot be followed.
    """
    here = place(connection.info)
    here.plan = None
    computation = CURRENT.get()
    cached = option(context.execution_options.get("cached"))
    if (cached is not None or computation is not None) and isinstance(context.compiled, SQLCompiler):
        noted = footprint(context.compiled)
        deps = _deps(settings, cached, noted, context)
        # For a cached function around it, whoever answers.
        zoocache.add_deps(deps)
        if computation is not None and may_be_older(here, noted, context, computation):
            keep_private()
        is_latest = not here.work.has_written and _is_latest(connection, here)
        if cached is not None and is_latest and _is_whole(context):
            here.plan = Plan(context, cached, deps, computation)
            return
        if not is_latest and (here.work.has_written or not _is_as_new(connection, here, computation)):
            # What the function around it makes of rows that others do not see is not for others.
            keep_private()
    _begin(connection, here, computation)
    if connection.dialect.name == "sqlite":
        _watch(here, context)


def beside(settings: Settings, connection: Connection, context: Any) -> None:
    """Do what `before` does for what a statement reads that may change something, too: text, and with locks.

    Its own doing is not noted yet.
    """
    here = place(connection.info)
    here.plan = None
    computation = CURRENT.get()
    if computation is not None and not context.isddl:
        is_private = here.work.has_changed
        if isinstance(context.compiled, SQLCompiler):
            noted = footprint(context.compiled)
            zoocache.add_deps(_deps(settings, None, noted, context))
            is_private |= may_be_older(here, noted, context, computation)
        is_new = _is_latest(connection, here) or _is_as_new(connection, here, computation)
        if is_private or not is_new:
            keep_private()
    _begin(connection, here, computation)


def _watch(here: Place, context: Any) -> None:
    """Know until when the rows of a statement are read: so long SQLite keeps its snapshot."""
    if _is_whole(context) and not context.is_text:
        context.cursor_fetch_strategy = _Watched(here)
    else:
        here.open.add(context)


class _Watched(CursorFetchStrategy):
    """Fetches as usual, and is among the `open` until that ends."""

    __slots__ = ("__weakref__", "_place")

    def __init__(self, here: Place) -> None:
        self._place = here
        here.open.add(self)

    def soft_close(self, result: Any, dbapi_cursor: Any) -> None:
        self._place.open.discard(self)
        super().soft_close(result, dbapi_cursor)

    def hard_close(self, result: Any, dbapi_cursor: Any) -> None:
        self._place.open.discard(self)
        super().hard_close(result, dbapi_cursor)


def _deps(settings: Settings, cached: Cached | None, noted: Footprint, context: Any) -> list[str]:
    """The tags that the rows of a statement depend on, as far as known if it is not cached itself."""
    if cached is None:
        cached = Cached(tags=[])
    if cached.tags is None and (noted.has_text or not noted.tables):
        what = "holds text, whose tables" if noted.has_text else "names no table, so that what it reads"
        raise exc.ArgumentError(
            f"a cached statement {what} cannot be seen; say what it reads beside its tables with "
            f"cached=Cached(tags=[...]), or tags=[] if nothing: {context.statement:.200}"
        )
    deps = list(cached.tags or ())
    if noted.row is not None:
        table, names = noted.row
        key = [context.compiled_parameters[0][name] for name in names]
        if all(is_exact(*pair, context.dialect) for pair in zip(table.primary_key, key, strict=True)):
            return [*deps, row_below(settings.tag(table, context), key)]
    return [*deps, *sorted({f"{settings.tag(table, context)}:*" for table in noted.tables})]


def _is_whole(context: Any) -> bool:
    """Whether all rows are wanted, and wanted now."""
    options = context.execution_options
    return not (
        context.executemany
        or options.get("stream_results")
        or options.get("yield_per")
        or options.get("no_parameters")
        or not isinstance(context.compiled, SQLCompiler)
        or context.compiled.has_out_parameters
    )


def _is_latest(connection: Connection, here: Place) -> bool:
    """Whether a statement that runs now reads what is committed now, and not what an older snapshot holds.

    What is read from a snapshot may have been changed, and invalidated, since it was taken.
    """
    level = _level(connection, here)
    if level == "READ UNCOMMITTED":
        return False
    if connection.dialect.name == "sqlite":
        # Outside of transactions each statement has its own, but for results that are being read.
        in_transaction: bool = connection.connection.driver_connection.in_transaction  # type: ignore[union-attr]
        return not here.open and not (in_transaction and here.work.has_begun)
    return level in _BY_STATEMENT or not here.work.has_begun


def _is_as_new(connection: Connection, here: Place, computation: object) -> bool:
    """Whether what a statement reads is no older than the computation of the cached function around it."""
    return here.work.began_in(computation) and _level(connection, here) != "READ UNCOMMITTED"


def _begin(connection: Connection, here: Place, computation: object) -> None:
    """Note that a statement runs; and in which computation, where a snapshot lasts for the transaction."""
    by_statement = computation is None or _level(connection, here) in _BY_STATEMENT
    here.work.begin(None if by_statement else computation)


def _level(connection: Connection, here: Place) -> str:
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        if here.level is None:
            try:
                here.level = connection.get_isolation_level()
            except NotImplementedError:  # of a dialect that has no levels, as SQLAlchemy says it
                here.level = "unknown"
        level = here.level
    return str(level).replace("_", " ").upper()


def execute(settings: Settings, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Let the cache answer instead of the cursor, if that is the plan.

    Returns:
        Whether the cursor need not execute the statement any more.
    """
    connection = context.root_connection
    here = place(connection.info)
    plan, here.plan = here.plan, None
    if plan is None or plan.context is not context:
        return False

    def run() -> _Rows:
        _begin(connection, here, plan.computation)
        context.dialect.do_execute(cursor, statement, parameters, context)
        columns = tuple((column[0], column[1], None, None, None, None, None) for column in cursor.description)
        return columns, tuple(tuple(row) for row in cursor.fetchall())

    key = (identity(connection, settings.name), plan.cached.key, statement, _stable(parameters))
    if context.dialect.is_async:
        columns, rows = await_only(_rows_async(settings.cache, plan.cached.ttl)(key, plan.deps, run))
    else:
        columns, rows = _rows(settings.cache, plan.cached.ttl)(key, plan.deps, run)
    context.cursor_fetch_strategy = FullyBufferedCursorFetchStrategy(cursor, columns, rows)
    return True


def _stable(parameters: Any) -> Any:
    """The parameters of a driver, in types that keys are made of."""
    if isinstance(parameters, dict):
        return {name: _stable(value) for name, value in parameters.items()}
    if isinstance(parameters, (list, tuple)):
        return type(parameters), [_stable(value) for value in parameters]
    if isinstance(parameters, memoryview):
        return "memoryview", bytes(parameters)
    if type(parameters).__module__.startswith("psycopg.") and hasattr(parameters, "obj"):
        # Its `Binary`, `Json` and `Jsonb`.
        return type(parameters), _stable(parameters.obj)
    return parameters


@functools.lru_cache(maxsize=256)
def _rows(cache: zoocache.Cache | None, ttl: Any) -> Callable[[Any, list[str], Callable[[], _Rows]], _Rows]:
    """The cached function that runs statements; the lifetime is the function's, so there is one for each."""
    cacheable = zoocache.cacheable if cache is None else cache.cacheable

    @cacheable(namespace=_NAMESPACE, key=lambda query: query, deps=lambda deps: deps, ttl=ttl)
    def rows(query: Any, deps: list[str], run: Callable[[], _Rows]) -> _Rows:  # noqa: ARG001 - for the cache
        return run()

    return rows


@functools.lru_cache(maxsize=256)
def _rows_async(
    cache: zoocache.Cache | None, ttl: Any
) -> Callable[[Any, list[str], Callable[[], _Rows]], Coroutine[Any, Any, _Rows]]:
    """As `_rows`. Who waits for another task's rows lets the event loop go on."""
    cacheable = zoocache.cacheable if cache is None else cache.cacheable

    @cacheable(namespace=_NAMESPACE, key=lambda query: query, deps=lambda deps: deps, ttl=ttl)
    async def rows(query: Any, deps: list[str], run: Callable[[], _Rows]) -> _Rows:  # noqa: ARG001 - for the cache
        return await greenlet_spawn(run)

    return rows

"""Notes what statements change, whoever makes them: the unit of work, bulk operations, Core."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Any

from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ReleaseSavepointClause, RollbackToSavepointClause, SavepointClause
from sqlalchemy.sql.selectable import TableClause

from zoocache.contrib.sqlalchemy._cascades import extended, extended_key
from zoocache.contrib.sqlalchemy._footprint import footprint
from zoocache.contrib.sqlalchemy._tags import is_exact, row_below
from zoocache.contrib.sqlalchemy._work import MOST_ROWS, Work, place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.engine import Dialect

    from zoocache.contrib.sqlalchemy._attached import Settings
    from zoocache.contrib.sqlalchemy._footprint import Footprint

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_READING = re.compile(r"(?:SELECT|WITH|VALUES|TABLE|SHOW|SET|EXPLAIN|PRAGMA|DESCRIBE)\b", re.IGNORECASE)
_WRITING = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE|INTO)\b(?!\s*\()", re.IGNORECASE)

_CONTROLS = (SavepointClause, RollbackToSavepointClause, ReleaseSavepointClause)


class Kind(enum.Enum):
    """What a statement does."""

    READS = enum.auto()
    CHANGES = enum.auto()
    CONTROLS = enum.auto()


def kind_of(context: Any) -> Kind:
    """What a statement that is about to run does."""
    if context.isddl:
        return Kind.CHANGES
    if not isinstance(context.compiled, SQLCompiler):
        # What begins a transaction of SQLite, as its driver needs to be told.
        is_begin = context.statement.lstrip()[:5].upper() == "BEGIN"
        return Kind.CONTROLS if is_begin else Kind.CHANGES
    if isinstance(context.compiled.statement, _CONTROLS):
        return Kind.CONTROLS
    noted = footprint(context.compiled)
    return Kind.CHANGES if noted.dml or _may_write(noted, context) else Kind.READS


def _may_write(noted: Footprint, context: Any) -> bool:
    """Whether a statement that names nothing that it writes may do so, or may let others wait for it."""
    if noted.locks:
        return True
    # Who lets text be cached says that it only reads.
    return (context.is_text or noted.is_textual) and not context.execution_options.get("cached")


def before(settings: Settings, connection: Connection, context: Any) -> None:
    """Note what a statement may change, before it runs."""
    work = place(connection.info).work
    tables: list[str] = []
    is_sure = True
    if context.isddl:
        element = getattr(context.compiled.statement, "element", None)
        if isinstance(element, TableClause):
            tables = [settings.tag(element, context)]
    elif isinstance(context.compiled, SQLCompiler) and footprint(context.compiled).dml:
        tables = _tables(settings, footprint(context.compiled), context)
    else:
        is_sure = not looks_reading(context.statement)
    work.wrote(is_sure=is_sure)
    if tables:
        work.running[context] = tables
        work.is_autocommit = is_autocommit(connection)
        # Some databases commit what changes a table's form at once, and all before it.
        work.is_lasting |= work.is_autocommit or context.isddl


def looks_reading(text: str) -> bool:
    """Whether a text changes no rows, unless functions of the database do."""
    words = _COMMENTS.sub(" ", text).lstrip(" \t\r\n(")
    return _READING.match(words) is not None and _WRITING.search(words) is None


def after(settings: Settings, connection: Connection, context: Any) -> None:
    """Note what a statement has changed, after it ran."""
    work = place(connection.info).work
    tables = work.running.pop(context, None)
    if tables is None:
        return
    if context.isddl:
        for table in tables:
            work.add(table)
    else:
        for table, rows in _changes(settings, footprint(context.compiled), context):
            work.add(table, rows)
    if is_done(connection.dialect, connection.connection, work):
        settle(settings, connection.dialect, connection.info)
    elif context.isddl:
        settings.invalidate(connection.dialect, work.tags())


def settle(settings: Settings, dialect: Dialect, info: Any) -> None:
    """Invalidate what a transaction has changed and others can see."""
    here = place(info)
    work, here.work = here.work, Work()
    here.work.has_begun = work.has_begun
    settings.invalidate(dialect, work.tags())


def is_autocommit(connection: Connection) -> bool:
    """Whether each statement of a connection is its own transaction, as far as SQLAlchemy knows."""
    dialect: Any = connection.dialect
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        level = getattr(dialect, "_on_connect_isolation_level", None)
    if level is not None:
        return str(level).replace("_", " ").upper() == "AUTOCOMMIT"
    # New in SQLAlchemy 2.0.43.
    detect = getattr(dialect, "detect_autocommit_setting", None)
    if detect is None or dialect.name == "sqlite":
        return False
    try:
        return bool(detect(connection.connection.dbapi_connection))
    except NotImplementedError:  # of a dialect that cannot tell, as SQLAlchemy says it
        return False


def is_done(dialect: Dialect, dbapi_connection: Any, work: Work) -> bool:
    """Whether what a transaction has done is there for others already."""
    if dialect.name == "sqlite":
        # It knows itself, whatever begins its transactions.
        return not dbapi_connection.driver_connection.in_transaction
    return work.is_autocommit


def _tables(settings: Settings, noted: Footprint, context: Any) -> list[str]:
    tables = [*noted.others]
    for table in noted.written:
        tables += _with_extended(table)
    return [settings.tag(table, context) for table in tables]


def _with_extended(table: TableClause | None) -> Iterator[TableClause]:
    while table is not None:
        yield table
        table = extended(table)


def _changes(settings: Settings, noted: Footprint, context: Any) -> Iterator[tuple[str, list[str] | None]]:
    """The tags of changed tables, and of their changed rows if they are known."""
    for other in noted.others:
        yield settings.tag(other, context), None
    keys = _keys(noted, context)
    for written in noted.written:
        table, rows = written, keys
        for changed in _with_extended(table):
            if changed is not table and rows is not None:
                rows = [extended_key(table, changed, key) for key in rows]  # type: ignore[arg-type]
            tag = settings.tag(changed, context)
            yield tag, None if rows is None else [row_below(tag, key) for key in rows]
            table = changed


def _keys(noted: Footprint, context: Any) -> list[tuple[Any, ...]] | None:
    """The primary keys of the rows that a statement changes; `None` if they are not known."""
    keys: Sequence[Any]
    if len(context.compiled_parameters) > MOST_ROWS:
        return None
    if noted.inserted is not None:
        table = noted.inserted
        keys = context.inserted_primary_key_rows
    elif noted.row is not None:
        table, names = noted.row
        keys = [[parameters[name] for name in names] for parameters in context.compiled_parameters]
    else:
        return None
    columns = list(table.primary_key)
    if not columns:
        return None
    for key in keys:
        if key is None or len(key) != len(columns):
            return None
        if not all(
            is_exact(column, value, context.dialect) for column, value in zip(columns, key, strict=True)
        ):
            return None
    return [tuple(key) for key in keys]


def add_tags(settings: Settings, connection: Connection, tags: tuple[str, ...]) -> None:
    """Note what a program says that it changes."""
    work = place(connection.info).work
    work.wrote()
    work.is_autocommit = is_autocommit(connection)
    work.is_lasting |= work.is_autocommit
    for tag in tags:
        work.add(tag)
    if work.is_autocommit:
        settle(settings, connection.dialect, connection.info)

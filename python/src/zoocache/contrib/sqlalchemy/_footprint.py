"""What a statement reads and writes, noted while it is compiled: there everything that it means is rendered.

Eager loads, inheritance, criteria of loaders and column properties are not in the statement, but in its SQL.
SQLAlchemy keeps compiled statements, so this is done once for each.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.dml import Delete, Insert, Update, UpdateBase
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList
from sqlalchemy.sql.schema import Table
from sqlalchemy.sql.selectable import Select, TableClause

from zoocache.contrib.sqlalchemy._cascades import changed_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.sql.compiler import SQLCompiler

#: Dialects whose UPDATE and DELETE may change several tables of a join.
_UPDATE_JOINS = {"mysql", "mariadb"}


@dataclass
class Footprint:
    """What a compiled statement reads and writes.

    Attributes:
        tables: Every table that it names in a FROM, as often as it does.
        dml: Each INSERT, UPDATE and DELETE in it.
        written: Their tables.
        others: Tables whose rows the database changes with those of `written`.
        has_text: Whether a part of it is text, which may name any table.
        is_textual: Whether all of it is.
        locks: Whether it locks the rows that it reads.
        row: The table of which it reads or changes one row, and the names of the parameters with its key.
        inserted: The table that it inserts rows into whose keys are known afterwards.
    """

    tables: list[TableClause] = field(default_factory=list)
    dml: list[Any] = field(default_factory=list)
    written: list[TableClause] = field(default_factory=list)
    others: set[TableClause] = field(default_factory=set)
    has_text: bool = False
    is_textual: bool = False
    locks: bool = False
    row: tuple[Table, list[str]] | None = None
    inserted: Table | None = None


class Noting:
    """Added to the compiler of a dialect: notes the footprint of what it compiles."""

    zoocache_complete: Footprint

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.zoocache_footprint = Footprint()
        super().__init__(*args, **kwargs)

    def visit_table(self, table: Any, *args: Any, **kwargs: Any) -> Any:
        self.zoocache_footprint.tables.append(table)
        return super().visit_table(table, *args, **kwargs)  # type: ignore[misc]

    def visit_textclause(self, *args: Any, **kwargs: Any) -> Any:
        self.zoocache_footprint.has_text = True
        return super().visit_textclause(*args, **kwargs)  # type: ignore[misc]

    def visit_tstring(self, *args: Any, **kwargs: Any) -> Any:
        self.zoocache_footprint.has_text = True
        return super().visit_tstring(*args, **kwargs)  # type: ignore[misc]

    def visit_textual_select(self, *args: Any, **kwargs: Any) -> Any:
        self.zoocache_footprint.has_text = self.zoocache_footprint.is_textual = True
        return super().visit_textual_select(*args, **kwargs)  # type: ignore[misc]

    def for_update_clause(self, *args: Any, **kwargs: Any) -> Any:
        self.zoocache_footprint.locks = True
        return super().for_update_clause(*args, **kwargs)  # type: ignore[misc]

    def visit_insert(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        self._writes(statement)
        return super().visit_insert(statement, *args, **kwargs)  # type: ignore[misc]

    def visit_update(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        self._writes(statement)
        return super().visit_update(statement, *args, **kwargs)  # type: ignore[misc]

    def visit_delete(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        self._writes(statement)
        return super().visit_delete(statement, *args, **kwargs)  # type: ignore[misc]

    def _writes(self, statement: Any) -> None:
        self.zoocache_footprint.dml.append(statement)


def noting(compiler: type[SQLCompiler]) -> type[SQLCompiler]:
    """Return the compiler, with notes."""
    return type(f"Noting{compiler.__name__}", (Noting, compiler), {})


#: Of statements that were compiled before notes were taken.
_compiled_again: weakref.WeakKeyDictionary[SQLCompiler, Footprint] = weakref.WeakKeyDictionary()


def footprint(compiled: SQLCompiler) -> Footprint:
    """Return what a compiled statement reads and writes."""
    known: Footprint | None = getattr(compiled, "zoocache_complete", None) or _compiled_again.get(compiled)
    if known is not None:
        return known
    noted: Footprint | None = getattr(compiled, "zoocache_footprint", None)
    if noted is not None:
        compiled.zoocache_complete = _complete(compiled, noted)  # type: ignore[attr-defined]
        return noted
    statement: Any = compiled.statement
    again = statement.compile(dialect=compiled.dialect, column_keys=compiled.column_keys)
    result = _complete(again, again.zoocache_footprint)
    # Parameters of the same statement have other names when it is compiled again.
    result.row = result.inserted = None
    return _compiled_again.setdefault(compiled, result)


def _complete(compiled: SQLCompiler, noted: Footprint) -> Footprint:
    statement: Any = getattr(compiled.compile_state, "statement", compiled.statement)
    is_alone = len(noted.dml) == 1
    if isinstance(statement, Insert) and is_alone and isinstance(statement.table, Table):
        if _is_plain(statement):
            noted.inserted = statement.table
    elif isinstance(statement, (Update, Delete)) and is_alone and isinstance(statement.table, Table):
        key = {column.key for column in statement.table.primary_key}
        if isinstance(statement, Delete) or not _set_columns(compiled, statement) & key:
            noted.row = _row(compiled, statement.table, statement)
    elif isinstance(statement, Select) and not noted.dml and len(noted.tables) == 1:
        (table,) = noted.tables
        if isinstance(table, Table):
            noted.row = _row(compiled, table, statement)
    for dml in noted.dml:
        noted.written += _tables_of(dml)
        noted.others |= _others(compiled, dml, is_alone=is_alone and isinstance(statement, UpdateBase))
    return noted


def _others(compiled: Any, dml: Any, *, is_alone: bool) -> set[TableClause]:
    """The tables whose rows the database changes with those of the table that a statement names."""
    deletes = True
    updates: set[str] | None = None
    if isinstance(dml, Delete):
        updates = set()
    elif isinstance(dml, Update) and is_alone:
        deletes, updates = False, _set_columns(compiled, dml)
    elif isinstance(dml, Insert) and is_alone and _is_plain(dml):
        deletes, updates = False, set()
    # Another INSERT, such as INSERT OR REPLACE, may do both.
    others: set[TableClause] = set()
    for table in _tables_of(dml):
        others |= changed_with(table, deletes=deletes, updates=updates)
    if compiled.dialect.name in _UPDATE_JOINS and isinstance(dml, (Update, Delete)):
        others.update(compiled.zoocache_footprint.tables)
    return others


def _tables_of(dml: Any) -> list[TableClause]:
    """The tables that a statement is about: one, or those of a join; as they are in their metadata."""
    # Statements of the ORM have copies with annotations, to which no foreign key refers.
    return [
        part._deannotate()  # noqa: SLF001 - it has no other name
        for part in visitors.iterate(dml.table)
        if isinstance(part, TableClause)
    ]


def _is_plain(statement: Any) -> bool:
    """Whether an INSERT inserts one row for each set of parameters, and changes no other."""
    return (
        statement._post_values_clause is None  # noqa: SLF001 - they have no other name
        and not statement._prefixes  # noqa: SLF001
        and not statement._multi_values  # noqa: SLF001
        and statement.select is None
    )


def _set_columns(compiled: SQLCompiler, statement: Any) -> set[str]:
    """The keys of the columns that an UPDATE sets, and maybe of more: of those in its parameters."""
    values = statement._values or ()  # noqa: SLF001 - it has no other name
    return {getattr(column, "key", column) for column in [*values, *(compiled.column_keys or ())]}


def _row(compiled: SQLCompiler, table: Table, statement: Any) -> tuple[Table, list[str]] | None:
    """The table, and the names of the parameters that its primary key must be equal to, if there are such."""
    found: dict[Any, str | None] = {}
    for criterion in _conjuncts(statement._where_criteria):  # noqa: SLF001 - `whereclause` is made of them
        if (
            isinstance(criterion, BinaryExpression)
            and criterion.operator is operators.eq
            and isinstance(criterion.right, BindParameter)
        ):
            found[criterion.left] = compiled.bind_names.get(criterion.right)
    names = [found.get(column) for column in table.primary_key]
    known = [name for name in names if name is not None]
    return (table, known) if known and len(known) == len(names) else None


def _conjuncts(criteria: Any) -> Iterator[Any]:
    for criterion in criteria:
        if isinstance(criterion, BooleanClauseList) and criterion.operator is operators.and_:
            yield from _conjuncts(criterion.clauses)
        else:
            yield criterion

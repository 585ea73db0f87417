"""What the database changes by itself: rows that refer to others, with ON DELETE or ON UPDATE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exc
from sqlalchemy.sql.schema import ForeignKey, Table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Column
    from sqlalchemy.sql.selectable import TableClause

_ACTIONS = {"CASCADE", "SET NULL", "SET DEFAULT"}


def changed_with(table: TableClause, *, deletes: bool, updates: Collection[str] | None) -> set[TableClause]:
    """Return the tables whose rows change when those of a table are deleted, or some of its columns set.

    Args:
        table: The table that a statement changes.
        deletes: Whether rows are deleted.
        updates: The keys of the columns that are set; `None` for any.
    """
    found: set[TableClause] = set()
    waiting: list[tuple[TableClause, bool, Collection[str] | None]] = [(table, deletes, updates)]
    seen: set[tuple[TableClause, bool, Collection[str]]] = set()
    while waiting:
        parent, are_deleted, columns = waiting.pop()
        for key in _referring(parent):
            child = key.parent.table
            by_delete = _action(key.ondelete) if are_deleted else None
            is_set = columns is None or key.column.key in columns
            by_update = _action(key.onupdate) if is_set else None
            if not by_delete and not by_update:
                continue
            found.add(child)
            step = (child, by_delete == "CASCADE", (key.parent.key,))
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    return found


def _action(rule: str | None) -> str | None:
    """The rule, if it changes rows. PostgreSQL allows `SET NULL (column)`."""
    if rule is None:
        return None
    action = " ".join(rule.upper().partition("(")[0].split())
    return action if action in _ACTIONS else None


def _referring(table: Any) -> Iterator[ForeignKey]:
    """The foreign keys of the same metadata that refer to a table."""
    if not isinstance(table, Table):
        return
    for other in list(table.metadata.tables.values()):
        for key in other.foreign_keys:
            if (column := _referred(key)) is not None and column.table is table:
                yield key


def _referred(key: ForeignKey) -> Column[Any] | None:
    try:
        return key.column
    except exc.NoReferenceError:  # to a table that nobody has described
        return None


def extended(table: TableClause) -> Table | None:
    """Return the table whose rows a table's rows extend: its primary key refers to the whole one of that.

    So it is with joined inheritance, whose objects are one row in each of several tables.
    """
    if not isinstance(table, Table) or not table.primary_key.columns:
        return None
    referred: list[set[Column[Any]]] = [
        {found for key in column.foreign_keys if (found := _referred(key)) is not None}
        for column in table.primary_key
    ]
    for parent in set.intersection(*({column.table for column in columns} for columns in referred)):
        key = set(parent.primary_key)
        if parent is not table and len(key) == len(referred) and key <= set.union(*referred):
            return parent
    return None


def extended_key(table: Table, parent: Table, key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the key of the extended row, in the order of the other table's columns."""
    values = {
        found: value
        for column, value in zip(table.primary_key, key, strict=True)
        for foreign in column.foreign_keys
        if (found := _referred(foreign)) is not None and found.table is parent
    }
    return tuple(values[column] for column in parent.primary_key)

"""Tags of tables and rows: `schema.table` and below it one level for each part of the primary key.

Every name is written in one way only: in lower case, since databases may take two cases for one, and with all
but letters, digits, `_` and `-` escaped. Long ones become digests.
"""

from __future__ import annotations

import functools
import hashlib
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import exc, inspect, types
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.sql.schema import Table
from sqlalchemy.sql.selectable import TableClause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Column
    from sqlalchemy.engine import Dialect

#: A tag has 256 characters and 16 levels at most: room for a prefix, schema, table and key.
LONGEST_PREFIX = 50
_LONGEST_PART = 48
_LONGEST_KEY = 100
_MOST_PARTS = 4

#: Texts that are equal for the database only if they are the same, on these dialects, without a collation.
_EXACT_TEXTS = {types.String, types.Text, types.Unicode, types.UnicodeText, types.VARCHAR, types.TEXT}
_EXACT_DIALECTS = {"postgresql", "sqlite"}


def _part(text: str) -> str:
    escaped = quote(text, safe="", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E")
    if not escaped:
        return "~"
    return escaped if len(escaped) <= _LONGEST_PART else _digest(text)


def _digest(text: str) -> str:
    return f"~{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


@functools.lru_cache(maxsize=10_000)
def named_tag(name: str, schema: str | None, prefix: str) -> str:
    """The tag of a table by its name."""
    table = _part(name.lower()) if schema is None else f"{_part(schema.lower())}.{_part(name.lower())}"
    return f"{prefix}:{table}" if prefix else table


def tag_of(
    table: TableClause, prefix: str, schemas: Mapping[str | None, str | None], default: str | None
) -> str:
    """The tag of a table in a database.

    Args:
        table: The table.
        prefix: What tags begin with.
        schemas: The `schema_translate_map` of the statement.
        default: The schema of tables that name none.
    """
    named = getattr(table, "schema", None)
    schema = schemas.get(named, named)
    return named_tag(table.name, None if schema == default else schema, prefix)


def row_below(table_tag: str, key: Sequence[Any]) -> str:
    """The tag of a row, below that of its table."""
    parts = [_part(str(value)) for value in key]
    row = ":".join(parts)
    if len(parts) > _MOST_PARTS or len(row) > _LONGEST_KEY:
        row = _digest(row)
    return f"{table_tag}:{row}"


def is_exact(column: Column[Any], value: Any, dialect: Dialect) -> bool:
    """Whether a value equals, in the database, only keys that are written in the same way."""
    kind = column.type
    if isinstance(kind, types.Integer):
        return type(value) is int
    if isinstance(kind, types.Uuid):
        return type(value) is uuid.UUID
    return (
        type(kind) in _EXACT_TEXTS
        and type(value) is str
        and dialect.name in _EXACT_DIALECTS
        and getattr(kind, "collation", None) is None
    )


def table_tag(table_or_model: Any, *, prefix: str = "", schema: str | None = None) -> str:
    """Return the tag of a table: `"users"`, or `"shop.users"` in a schema.

    A cached function that reads many rows depends on all below it: `deps=[f"{table_tag(User)}:*"]`.

    Args:
        table_or_model: A `Table`, a mapped class or one of its instances. The table of a class that inherits
            its columns from several tables is the first one, that of its base.
        prefix: As it was given to `attach`.
        schema: Instead of the table's own, as `schema_translate_map` would.

    Raises:
        ArgumentError: It is neither.
    """
    table = _table(table_or_model)
    return named_tag(table.name, getattr(table, "schema", None) if schema is None else schema, prefix)


def row_tag(instance_or_model: Any, *key: Any, prefix: str = "", schema: str | None = None) -> str:
    """Return the tag of a row: `row_tag(user)`, or `row_tag(User, 5)`: `"users:5"`.

    Args:
        instance_or_model: A persistent instance; or a mapped class or `Table` and its key.
        *key: The values of the primary key, in the order of its columns in the table.
        prefix: As it was given to `attach`.
        schema: Instead of the table's own, as `schema_translate_map` would.

    Raises:
        ArgumentError: There is no primary key, or it has another number of columns.
    """
    table = _table(instance_or_model)
    columns = list(getattr(table, "primary_key", ()))
    if not columns:
        raise exc.ArgumentError(f"row_tag() needs a table with a primary key, which {table.name!r} has not")
    state = inspect(instance_or_model, raiseerr=False)
    if isinstance(state, InstanceState) and not key:
        key = _identity(state, columns)
    if len(key) != len(columns):
        names = ", ".join(column.name for column in columns)
        raise exc.ArgumentError(
            f"row_tag() needs an instance, or a value for each column of the primary key of {table.name!r} "
            f"({names}), not {len(key)} values"
        )
    return row_below(table_tag(table, prefix=prefix, schema=schema), key)


def _identity(state: InstanceState[Any], columns: list[Column[Any]]) -> tuple[Any, ...]:
    mapper = state.mapper
    identity = state.identity
    if identity is None:  # pending or deleted: what its attributes say
        return tuple(state.dict.get(mapper.get_property_by_column(column).key) for column in columns)
    values = dict(zip(mapper.primary_key, identity, strict=True))
    missing = [column.name for column in columns if column not in values]
    if missing:
        raise exc.ArgumentError(
            f"{mapper.class_.__name__} is not mapped by {missing[0]!r} of its table's primary key"
        )
    return tuple(values[column] for column in columns)


def _table(table_or_model: Any) -> TableClause:
    if isinstance(table_or_model, TableClause):
        return table_or_model
    mapped = inspect(table_or_model, raiseerr=False)
    mapper = getattr(mapped, "mapper", None)
    if not isinstance(mapper, Mapper):
        raise exc.ArgumentError(
            f"a Table, a mapped class or an instance of one is needed, not {table_or_model!r}"
        )
    while mapper.inherits is not None and not mapper.concrete:
        mapper = mapper.inherits
    if not isinstance(mapper.local_table, Table):
        raise exc.ArgumentError(
            f"{mapper.class_.__name__} is not mapped to a table, but to {mapper.local_table!r}"
        )
    return mapper.local_table

# ruff: noqa: SLF001 - Django documents `_meta` and `_state`
"""What a query depends on, or changes: models, and rows where these are known."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from django.db.models.expressions import Col
from django.db.models.sql.where import AND

from zoocache.contrib.django.tags import is_plain_key, model_tag

if TYPE_CHECKING:
    from django.db.models import Model

#: Words of SQL, and what is quoted as each database does it.
_WORDS = re.compile(r'"[^"]+"|`[^`]+`|\[[^\]]+\]|[\w$]+')
#: What gives another result each time, by who asks, or changes something; also in SQL of the program's own.
_UNSTABLE = re.compile(
    r"""
    \b(?: RAND(?:OM)?(?:_NORMAL)? | DBMS_RANDOM | \w*RANDOM_?(?:UUID|BYTES|BLOB) | UUID\w* | NEWID
        | NOW | GETDATE | SYSDATE(?:TIME)? | SYSTIMESTAMP | TIMEOFDAY | UNIXEPOCH | AGE | UTC_\w+ | CURDATE
        | CURTIME
        | (?:CLOCK|STATEMENT|TRANSACTION)_TIMESTAMP | UNIX_TIMESTAMP
        | NEXTVAL | CURRVAL | SETVAL | LASTVAL | LAST_INSERT_\w+ | CHANGES | TOTAL_CHANGES
        | CURRENT_SETTING | SET_CONFIG | SYS_CONTEXT | DATABASE | CONNECTION_ID | USER | PG_\w+ | TXID_\w+
       ) \s*\(
    | \b(?: CURRENT_\w+ | LOCALTIME(?:STAMP)? | SESSION_USER | SYSDATE | SYSTIMESTAMP )\b
    | '(?: now | today | tomorrow | yesterday )'
    | \b(?: INSERT | UPDATE | DELETE )\b(?!["`\]])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_QUOTED = re.compile(r'"(?:[^"]|"")*"|`[^`]*`')


@functools.lru_cache(maxsize=4096)
def is_stable(sql: str) -> bool:
    """Whether the same SQL gives the same result as long as no table changes."""
    return _UNSTABLE.search(_QUOTED.sub('""', sql)) is None


class _Tables:
    """The models of each table, by the last part of its name as it stands in SQL."""

    def __init__(self) -> None:
        self._models: dict[tuple[int, str], tuple[list[Any], dict[str, set[str]]]] = {}

    def labels(self, apps: Any, connection: Any) -> dict[str, set[str]]:
        models = apps.get_models(include_auto_created=True, include_swapped=True)
        place = id(apps), connection.vendor
        known = self._models.get(place)
        # The registry returns another list once a model was added.
        if known is None or known[0] is not models:
            tables: dict[str, set[str]] = {}
            for model in models:
                name = _words(connection.ops.quote_name(model._meta.db_table))[-1]
                tables.setdefault(name, set()).add(model_tag(model))
            known = self._models[place] = models, tables
        return known[1]


_tables = _Tables()


def _words(sql: str) -> list[str]:
    return [word.strip('"`[]').lower() for word in _WORDS.findall(sql)]


def models_read(query: Any, sql: str, connection: Any) -> set[str]:
    """Return the tags of the models whose tables occur in a query.

    The text of the query tells: there every join, subquery, union and raw fragment is. A column that has
    the name of a table costs a dependency that would not be needed.
    """
    return tables_read(query.model._meta.apps, sql, connection) | {model_tag(query.model)}


def tables_read(apps: Any, sql: str, connection: Any) -> set[str]:
    """Return the tags of the models whose tables occur in SQL."""
    words = set(_words(sql))
    tables = _tables.labels(apps, connection)
    return {label for word in words & tables.keys() for label in tables[word]}


def row_read(query: Any, sql: str, labels: set[str]) -> Any:
    """Return the primary key of the only row that a query looks at, `None` if it looks at others, too."""
    if len(labels) > 1 or sql.count("SELECT ") != 1 or " JOIN " in sql or query.extra or query.extra_tables:
        return None
    where = query.where
    if len(where.children) != 1 or where.negated:
        return None
    keys = _keys(query, where.children[0])
    return keys[0] if keys is not None and len(keys) == 1 else None


#: Changes of more rows than this are changes of the model.
_MOST_ROWS = 1000


def rows_written(query: Any) -> list[Any] | None:
    """Return primary keys, such that an update or delete concerns no other rows; `None` if it might."""
    if any(field.primary_key for field, _model, _value in getattr(query, "values", ())):
        return None
    where = query.where
    if where.negated or (where.connector != AND and len(where.children) != 1):
        return None
    return next((keys for child in where.children if (keys := _keys(query, child)) is not None), None)


def _keys(query: Any, condition: Any) -> list[Any] | None:
    """Return the primary keys that fulfil a condition, if it says nothing but which ones they are."""
    column = getattr(condition, "lhs", None)
    name = getattr(condition, "lookup_name", None)
    if (
        not isinstance(column, Col)
        or name not in {"exact", "in"}
        or column.alias != next(iter(query.alias_map), None)
        or not column.target.primary_key
        or column.target.model._meta.concrete_model is not query.model._meta.concrete_model
        or not condition.rhs_is_direct_value()
    ):
        return None
    keys = [condition.rhs] if name == "exact" else list(condition.rhs)
    # `None` in a list is left out by Django.
    return keys if len(keys) <= _MOST_ROWS and all(map(is_plain_key, keys)) else None


def rows_inserted(query: Any, returned_fields: Any, rows: list[Any]) -> list[Any] | None:
    """Return the primary keys of the rows that were inserted, `None` if they are not known."""
    if getattr(query.on_conflict, "name", None) == "UPDATE" or len(query.objs) > _MOST_ROWS:
        return None
    keys = [obj.pk for obj in query.objs]
    key = query.get_meta().pk
    if returned_fields and len(rows) == len(keys) and key in returned_fields:
        place = list(returned_fields).index(key)
        keys = [row[place] for row in rows]
    return keys if all(map(is_plain_key, keys)) else None


def also_changed(model: type[Model], *, deleted: bool) -> dict[str, bool]:
    """Return the tags of other models that a change of one concerns, and whether their keys are the same.

    These are models that inherit from it, whose instances show its columns, and those whose rows the
    database itself changes when a row of it is deleted.
    """
    found: dict[str, bool] = {}
    _follow(model, found, deleted=deleted, is_same=True)
    found.pop(model_tag(model), None)
    return found


def _follow(model: type[Model], found: dict[str, bool], *, deleted: bool, is_same: bool) -> None:
    for relation in model._meta.get_fields(include_hidden=True):
        if (
            not relation.auto_created
            or relation.concrete
            or not (relation.one_to_many or relation.one_to_one)
        ):
            continue
        related, label = relation.related_model, model_tag(relation.related_model)
        is_child = bool(relation.parent_link)
        # `DB_CASCADE` and its like, of Django 6.1.
        by_database = deleted and type(relation.on_delete).__name__ == "DatabaseOnDelete"
        if (is_child or by_database) and label not in found:
            found[label] = is_same and is_child and relation.field.primary_key
            _follow(related, found, deleted=deleted, is_same=found[label])

"""Objects that a session had before a cached function began, which statements in it return as they were.

SQLAlchemy does not overwrite what it has loaded. So a function that is given a session may get values that
are older than itself, or were changed and never flushed, whatever its statements read.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from zoocache.contrib.sqlalchemy._work import place

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from zoocache.contrib.sqlalchemy._footprint import Footprint
    from zoocache.contrib.sqlalchemy._work import Place

    #: Schemas and names.
    _Tables = frozenset[tuple[str | None, str]]

#: How many computations that use one session are told apart; those that were forgotten see more old objects.
_MOST_COMPUTATIONS = 8

#: By session, computations that have used it, and the tables of the objects that it had before.
_seen: weakref.WeakKeyDictionary[Session, list[tuple[object, _Tables]]] = weakref.WeakKeyDictionary()


def watch_sessions() -> None:
    """Know from now on which session uses a connection."""
    if not event.contains(Session, "after_begin", _begun):
        event.listen(Session, "after_begin", _begun)


def _begun(session: Session, _transaction: Any, connection: Connection) -> None:
    place(connection.info).session = weakref.ref(session)


def may_be_older(here: Place, noted: Footprint, context: Any, computation: object) -> bool:
    """Whether a statement may return objects as they were before the computation began."""
    session = None if here.session is None else here.session()
    if session is None or not getattr(context.compiled.compile_state, "_has_mapper_entities", False):
        return False
    tables = _before(session, computation)
    if not tables or _populates(context):
        return False
    return not tables.isdisjoint((getattr(table, "schema", None), table.name) for table in noted.tables)


def _populates(context: Any) -> bool:
    options = context.execution_options.get("_sa_orm_load_options")
    return bool(getattr(options, "_populate_existing", False))


def _before(session: Session, computation: object) -> _Tables:
    """The tables of the objects that a session had when a computation began to use it."""
    known = _seen.setdefault(session, [])
    for other, tables in known:
        if other is computation:
            return tables
    found = frozenset(
        (getattr(table, "schema", None), table.name)
        for state in session.identity_map.all_states()
        # What has expired is loaded again.
        if state.modified or not state.expired
        for table in state.mapper.tables
    )
    known.append((computation, found))
    del known[:-_MOST_COMPUTATIONS]
    return found

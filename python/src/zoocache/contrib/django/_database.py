"""What a connection tells: which database it reads, and whether its transaction sees the latest commits."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

#: Databases in memory are of this process, and some are of one connection.
_PROCESS = uuid.uuid4().hex


def identity(connection: Any) -> tuple[Hashable, ...]:
    """Tell databases apart, and what makes the same SQL mean something else on one of them. No passwords."""
    settings = connection.settings_dict
    options = settings.get("OPTIONS") or {}
    return (
        connection.alias,
        connection.vendor,
        *(str(settings.get(name) or "") for name in ("NAME", "HOST", "PORT", "USER")),
        *(str(options.get(name) or "") for name in ("options", "service")),
        connection.timezone_name,
        # Packages that give each tenant a schema say here which one is in use.
        str(getattr(connection, "schema_name", "")),
        _memory(connection),
    )


def _memory(connection: Any) -> str:
    if connection.vendor != "sqlite" or not connection.is_in_memory_db():
        return ""
    if "cache=shared" in str(connection.settings_dict["NAME"]):
        return _PROCESS
    own: str = vars(connection).setdefault("_zoocache_memory", uuid.uuid4().hex)
    return own


def in_transaction(connection: Any) -> bool:
    """Whether what is read now belongs to a transaction that has begun. It opens no connection."""
    return connection.in_atomic_block or (connection.connection is not None and not connection.autocommit)


def sees_latest(connection: Any) -> bool:
    """Whether each query of a transaction sees everything that was committed before the query began.

    If not, it may see the database as it was when the transaction began, before invalidations that the
    cache has seen long ago.
    """
    if connection.vendor == "postgresql":
        level = getattr(getattr(connection, "isolation_level", None), "name", None)
        given = str((connection.settings_dict.get("OPTIONS") or {}).get("options") or "")
        return level == "READ_COMMITTED" and "isolation" not in given
    return connection.vendor == "mysql" and connection.isolation_level == "read committed"


def sees_uncommitted(connection: Any) -> bool:
    """Whether queries see what others have not committed, and may roll back."""
    return connection.vendor == "mysql" and connection.isolation_level == "read uncommitted"

"""Which database it is: results of one are never those of another."""

from __future__ import annotations

import functools
import hashlib
import platform
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from zoocache.contrib.sqlalchemy._work import place

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

#: Parameters of URLs that are secrets; what they are makes no other database.
_SECRETS = {"password", "passwd", "sslpassword", "passfile"}


def identity(connection: Connection, name: str | None) -> str:
    """Return what stands for the database of a connection, for its driver and for its user, in keys."""
    url = connection.engine.url
    driver = f"{connection.dialect.name}+{connection.dialect.driver}"
    if name is not None:
        return f"{driver} name {name}"
    if (where := _where(url)) is not None:
        return f"{driver} url {where}"
    # In memory, or wherever a `creator` leads: it may be another one with each connection.
    here = place(connection.info)
    here.name = here.name or uuid.uuid4().hex
    return f"{driver} connection {here.name}"


@functools.lru_cache(maxsize=100)
def _where(url: URL) -> str | None:
    """A digest of all in the URL that leads to the database, or `None` if it leads nowhere."""
    host, database = url.host or "", url.database or ""
    query = sorted((key, value) for key, value in url.query.items() if key.lower() not in _SECRETS)
    if url.get_backend_name() == "sqlite":
        if not database or ":memory:" in database or url.query.get("mode") == "memory":
            return None
        path = database.removeprefix("file:").partition("?")[0]
        database = str(Path(path).resolve())
    elif not database and not host and not query:
        return None
    # What is local is another database on another machine.
    machine = platform.node() if host in {"", "localhost", "::1"} or host.startswith(("127.", "/")) else ""
    parts = repr((machine, url.username, host, url.port, database, query))
    return hashlib.blake2b(parts.encode(), digest_size=32).hexdigest()

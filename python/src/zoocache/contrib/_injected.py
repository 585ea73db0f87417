"""What frameworks pass to an endpoint that says nothing about its result: sessions, connections, clients."""

from __future__ import annotations

import functools
import types
import typing
from typing import Any

#: Module and name of the classes; what derives from them counts, too. By name: none need be installed.
_CLASSES = frozenset(
    {
        "sqlalchemy.orm.session.Session",
        "sqlalchemy.orm.session.sessionmaker",
        "sqlalchemy.orm.scoping.scoped_session",
        "sqlalchemy.engine.base.Connection",
        "sqlalchemy.engine.base.Engine",
        "sqlalchemy.ext.asyncio.session.AsyncSession",
        "sqlalchemy.ext.asyncio.session.async_sessionmaker",
        "sqlalchemy.ext.asyncio.scoping.async_scoped_session",
        "sqlalchemy.ext.asyncio.engine.AsyncConnection",
        "sqlalchemy.ext.asyncio.engine.AsyncEngine",
        "sqlite3.Connection",
        "sqlite3.Cursor",
        "aiosqlite.core.Connection",
        "psycopg.Connection",
        "psycopg.AsyncConnection",
        "psycopg.Cursor",
        "psycopg.AsyncCursor",
        "psycopg_pool.pool.ConnectionPool",
        "psycopg_pool.pool_async.AsyncConnectionPool",
        "asyncpg.connection.Connection",
        "asyncpg.pool.Pool",
        "asyncpg.pool.PoolConnectionProxy",
        "redis.client.Redis",
        "redis.asyncio.client.Redis",
        "pymongo.database.Database",
        "pymongo.synchronous.database.Database",
        "pymongo.asynchronous.database.AsyncDatabase",
        "motor.motor_asyncio.AsyncIOMotorDatabase",
        "httpx.Client",
        "httpx.AsyncClient",
        "aiohttp.client.ClientSession",
        "requests.sessions.Session",
        "zoocache._cache.Cache",
    }
)


def is_session(cls: Any) -> bool:
    """Whether objects of a class are sessions, connections or clients."""
    return _is_session(cls)


@functools.lru_cache(maxsize=4096)
def _is_session(cls: type) -> bool:
    return any(f"{base.__module__}.{base.__qualname__}" in _CLASSES for base in cls.__mro__)


def is_session_annotation(annotation: object) -> bool:
    """Whether an annotation is the class of a session, also one in an `Annotated` or a union."""
    return any(is_session(cls) for cls in classes_in(annotation))


def classes_in(annotation: object) -> list[type]:
    """The classes that a value with this annotation may be of, as far as it says so."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return classes_in(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [cls for part in typing.get_args(annotation) for cls in classes_in(part)]
    named = annotation if origin is None else origin
    return [named] if isinstance(named, type) else []

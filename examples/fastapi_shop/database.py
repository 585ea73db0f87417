"""The tables of the shop, and the engine, whose commits tell the cache what has changed."""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, event
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateTable

from zoocache.contrib.sqlalchemy import attach

if TYPE_CHECKING:
    from collections.abc import Iterator

engine = create_async_engine("sqlite+aiosqlite:///shop.db")
Sessions = async_sessionmaker(engine, expire_on_commit=False)
attach(engine)


@event.listens_for(engine.sync_engine, "connect")
def _configure(connection: object, _: object) -> None:
    """Let SQLite's readers go on while somebody writes."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


class Base(DeclarativeBase):
    """What all tables share."""


class Product(Base):
    """Something to buy."""

    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[int]
    version: Mapped[int]


class Review(Base):
    """What somebody thinks of it."""

    __tablename__ = "review"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    text: Mapped[str]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let one worker after another in: SQLite lets no two begin a file at once."""
    with Path("shop.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def create() -> None:
    """Make the tables that are not there yet."""
    with alone():
        async with engine.begin() as connection:
            for table in Base.metadata.sorted_tables:
                await connection.execute(CreateTable(table, if_not_exists=True))

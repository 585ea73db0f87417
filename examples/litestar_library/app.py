"""The API of a library: Litestar, SQLite, and responses that are cached until what they show has changed.

    uvicorn --app-dir examples/litestar_library app:app --workers 2

keeps its database and its cache in the folder it is started in. The workers share both. There is no ORM here,
so reads say what they depend on, and writes what they change.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from litestar import Litestar, get, put
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.params import Parameter

from zoocache import changing
from zoocache.contrib.litestar import HttpCaching, ZooCachePlugin, cache_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator


class Book(msgspec.Struct):
    """A book, and how many copies are on the shelf."""

    id: int
    title: str
    copies: int
    version: int


class Change(msgspec.Struct):
    """What becomes of a book."""

    title: str
    copies: int = 1


@contextlib.contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """Open the database for one request."""
    with contextlib.closing(sqlite3.connect("library.db", timeout=30, isolation_level=None)) as connection:
        if os.environ.get("LIBRARY_SHOW_QUERIES"):
            connection.set_trace_callback(lambda statement: print(statement, file=sys.stderr, flush=True))
        connection.execute("PRAGMA synchronous=NORMAL")
        yield connection


def create() -> None:
    """Make the table if need be, one worker after another: SQLite lets no two begin a file at once."""
    with Path("library.lock").open("w") as lock, database() as connection:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS book ("
            "id INTEGER PRIMARY KEY, title TEXT NOT NULL, copies INTEGER NOT NULL, version INTEGER NOT NULL)"
        )


@get("/books", sync_to_thread=True)
@cache_endpoint(deps=["book:*"], http=True, cluster_lock=True)
def books() -> list[Book]:
    """List all books."""
    with database() as connection:
        found = connection.execute("SELECT id, title, copies, version FROM book ORDER BY id")
        return [Book(*row) for row in found]


@get("/books/{book_id:int}", sync_to_thread=True)
@cache_endpoint(
    deps=lambda book_id: [f"book:{book_id}"],
    http=HttpCaching(max_age=0, tag_headers=["surrogate-key"]),
    cluster_lock=True,
)
def book(book_id: int) -> Book:
    """Show a book."""
    with database() as connection:
        found = connection.execute(
            "SELECT id, title, copies, version FROM book WHERE id = ?", [book_id]
        ).fetchone()
    if found is None:
        raise NotFoundException(f"there is no book {book_id}")
    return Book(*found)


@put("/books/{book_id:int}", sync_to_thread=True)
def change(book_id: int, data: Change) -> Book:
    """Change a book, or add it.

    Should this process die between the commit and the end of the block, the others stop serving the old one
    all the same.
    """
    with changing(f"book:{book_id}"), database() as connection:
        row = connection.execute(
            "INSERT INTO book (id, title, copies, version) VALUES (?, ?, ?, 1) ON CONFLICT (id) DO UPDATE"
            " SET title = excluded.title, copies = excluded.copies, version = version + 1"
            " RETURNING id, title, copies, version",
            [book_id, data.title, data.copies],
        ).fetchone()
    return Book(*row)


@get("/loans", sync_to_thread=False)
@cache_endpoint(deps=["loans"], http=True)
def loans(member: Annotated[str | None, Parameter(header="Authorization")] = None) -> dict[str, str]:
    """Show who asks what they have borrowed. A real library would check a token."""
    if member is None:
        raise NotAuthorizedException("say who you are: Authorization: NAME")
    return {"of": member}


app = Litestar(
    [books, book, change, loans],
    plugins=[ZooCachePlugin(storage_url="lmdb://./library-cache")],
    on_startup=[create],
)

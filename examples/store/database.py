"""The shop's database: organizations own stores, stores sell products, customers review products."""

from __future__ import annotations

import random
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

ORGANIZATIONS, STORES_EACH, PRODUCTS_EACH, REVIEWS_EACH = 4, 5, 25, 5

SCHEMA = """
CREATE TABLE store   (id INTEGER PRIMARY KEY, organization INTEGER, name TEXT);
CREATE TABLE product (id INTEGER PRIMARY KEY, store INTEGER, name TEXT, cents INTEGER);
CREATE TABLE review  (id INTEGER PRIMARY KEY, product INTEGER, stars INTEGER);
CREATE INDEX store_of_organization ON store (organization);
CREATE INDEX product_of_store ON product (store);
CREATE INDEX review_of_product ON review (product);
"""


@dataclass(frozen=True)
class Location:
    """Where a product is sold."""

    organization: int
    store: int
    product: int


class Database:
    """SQLite with one connection for each thread."""

    def __init__(self, path: Path) -> None:
        """Open a file that `create` has made."""
        self.path = path
        self._local = threading.local()
        sql = "SELECT organization, store, product.id FROM product JOIN store ON store.id = store ORDER BY 3"
        self.locations = [Location(*row) for row in self.rows(sql)]

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a query and return all rows."""
        return self._connection().execute(sql, parameters).fetchall()

    def write(self, sql: str, *parameters: object) -> None:
        """Run a statement and commit it."""
        connection = self._connection()
        with connection:
            connection.execute(sql, parameters)

    def count(self) -> int:
        """Count the rows of all tables."""
        tables = ("store", "product", "review")
        return sum(self.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables)  # noqa: S608 - own names

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = sqlite3.connect(self.path, timeout=30)
            self._local.connection.execute("PRAGMA synchronous = OFF")
        return self._local.connection


def create(path: Path, seed: int) -> Database:
    """Make the file and fill it with rows that depend on `seed` alone."""
    random_ = random.Random(seed)  # noqa: S311 - test data, no secret
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SCHEMA)
    with connection:
        for store in range(1, ORGANIZATIONS * STORES_EACH + 1):
            organization = (store - 1) // STORES_EACH + 1
            connection.execute(
                "INSERT INTO store VALUES (?, ?, ?)",
                (store, organization, f"Store {store}"),
            )
            for number in range(1, PRODUCTS_EACH + 1):
                _add_product(connection, (store - 1) * PRODUCTS_EACH + number, store, random_)
    connection.close()
    return Database(path)


def _add_product(connection: sqlite3.Connection, product: int, store: int, random_: random.Random) -> None:
    row = product, store, f"Product {product}", random_.randint(99, 99_999)
    connection.execute("INSERT INTO product VALUES (?, ?, ?, ?)", row)
    reviews = [(product, random_.randint(1, 5)) for _ in range(REVIEWS_EACH)]
    connection.executemany("INSERT INTO review (product, stars) VALUES (?, ?)", reviews)

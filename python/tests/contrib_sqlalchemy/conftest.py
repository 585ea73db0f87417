"""Databases of the tests: SQLite, and PostgreSQL if it is installed."""

import contextlib
import sqlite3

import postgres_server
import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from sqlalchemy_models import Base, fill

KINDS = ["sqlite", "sqlite-wal"] + (["postgresql"] if postgres_server.programs() else [])


class Database:
    """A database with the rows of `fill`, and the engines that tests ask it for.

    Attributes:
        sent: The SQL that reached a driver.
    """

    def __init__(self, kind, url, async_url):
        self.kind, self.url, self.async_url = kind, url, async_url
        self.is_sqlite = kind.startswith("sqlite")
        self.sent = []
        # Nobody attaches this one.
        self.plain = create_engine(self.url, poolclass=NullPool)
        self._engines = [self.plain]
        if self.is_sqlite:
            event.listen(self.plain, "connect", _strict)
        with self.plain.connect() as connection:
            if kind == "sqlite-wal":
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        self.fill()

    def fill(self):
        """Make it as it was."""
        Base.metadata.drop_all(self.plain)
        Base.metadata.create_all(self.plain)
        with Session(self.plain) as session:
            fill(session)

    def engine(self, **options):
        engine = create_engine(self.url, **options)
        self._prepare(engine)
        self._engines.append(engine)
        return engine

    def async_engine(self, **options):
        """An engine; the test disposes of it in its event loop."""
        engine = create_async_engine(self.async_url, **options)
        self._prepare(engine.sync_engine)
        return engine

    def _prepare(self, engine):
        if self.is_sqlite:
            event.listen(engine, "connect", _strict)
        execute, many = engine.dialect.do_execute, engine.dialect.do_executemany

        def noting(original):
            def note(cursor, statement, parameters, context=None):
                self.sent.append(statement)
                original(cursor, statement, parameters, context)

            return note

        engine.dialect.do_execute, engine.dialect.do_executemany = noting(execute), noting(many)

    def fresh(self, question):
        """Return what a session without a cache answers."""
        with Session(self.plain) as session:
            return question(session)

    def end(self):
        for engine in self._engines:
            engine.dispose()


def _strict(connection, _record):
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.close()


@pytest.fixture(scope="session")
def postgres():
    server = postgres_server.Server("max_prepared_transactions=5", "max_connections=60")
    yield server
    server.end()


def pytest_configure(config):
    config.addinivalue_line("markers", "kinds(*names): the kinds of databases that a test is about")


def pytest_generate_tests(metafunc):
    if "database" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("kinds")
        kinds = [kind for kind in KINDS if marker is None or kind in marker.args]
        metafunc.parametrize("database", kinds or [None], indirect=True)


def pytest_collection_modifyitems(config, items):
    """Leave out the tests about databases that are not installed."""
    others = [
        item
        for item in items
        if getattr(item, "callspec", None) and item.callspec.params.get("database", 1) is None
    ]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


@pytest.fixture
def database(request, tmp_path):
    kind = request.param
    if kind == "postgresql":
        url = request.getfixturevalue("postgres").url.replace("postgresql", "postgresql+psycopg")
        database = Database(kind, url, url)
    else:
        path = tmp_path / "shop.db"
        database = Database(kind, f"sqlite:///{path}", f"sqlite+aiosqlite:///{path}")
        with contextlib.closing(sqlite3.connect(path)) as connection:
            expected = "wal" if kind == "sqlite-wal" else "delete"
            assert connection.execute("PRAGMA journal_mode").fetchone() == (expected,)
    yield database
    database.end()

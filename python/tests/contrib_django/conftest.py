"""A project with two databases in files, and a third one on a PostgreSQL server where there is one."""

import django_settings
import pytest

django_settings.setup()

from django.apps import apps  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections, transaction  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

_made = set()


def pytest_generate_tests(metafunc):
    if "alias" in metafunc.fixturenames:
        metafunc.parametrize("alias", django_settings.ALIASES, scope="function")


def pytest_unconfigure():
    connections.close_all()


def _make(alias):
    if alias not in _made:
        call_command("migrate", run_syncdb=True, database=alias, verbosity=0)
        _made.add(alias)


@pytest.fixture
def db():
    """The two databases in files, empty."""
    for alias in ("default", "other"):
        _make(alias)
    yield
    for alias in _made:
        _empty(alias)


@pytest.fixture
def on(db, alias):
    """An alias of each kind of database, empty."""
    _make(alias)
    return alias


def _empty(alias):
    connection = connections[alias]
    with transaction.atomic(alias), connection.cursor() as cursor:
        tables = [
            connection.ops.quote_name(model._meta.db_table)
            for model in apps.get_app_config("django_shop").get_models(include_auto_created=True)
        ]
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
            return
        cursor.execute("PRAGMA defer_foreign_keys = ON")
        for table in tables:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - our own table


@pytest.fixture
def sql():
    """Return how many statements a function sends to a database, and what it returned."""

    def count(function, *args, using="default"):
        with CaptureQueriesContext(connections[using]) as queries:
            result = function(*args)
        return len(queries), result

    return count

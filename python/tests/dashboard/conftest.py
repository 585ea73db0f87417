"""Clients of dashboards."""

import pytest
from asgi_client import Client
from dashboard_contents import TOKEN

from zoocache.dashboard import dashboard


@pytest.fixture
def make():
    """Makes clients of a dashboard; they and it are closed at the end."""
    made = []

    def make(cache=None, *, app=None, **options):
        shown = dashboard(cache, **options)
        client = Client(shown if app is None else app(shown), raise_errors=False)
        made.append((client, shown))
        return client

    yield make
    for client, shown in made:
        client.close()
        shown.close()


@pytest.fixture
def client(make):
    return make()


@pytest.fixture
def acting(make):
    return make(token=TOKEN)

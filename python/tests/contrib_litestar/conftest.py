import contextlib

import pytest
from litestar import Litestar
from litestar.dto import AbstractDTO
from litestar.testing import TestClient
from litestar_kinds import decorated


class Shop:
    """Applications, clients of them, and how often their handlers ran."""

    def __init__(self):
        self.calls = 0
        self.clients = contextlib.ExitStack()

    def count(self):
        self.calls += 1
        return self.calls

    def client(self, *handlers, **options):
        """Start an application and return a client of it. What fails answers with its traceback."""
        app = Litestar(handlers, logging_config=None, openapi_config=None, debug=True, **options)
        return self.clients.enter_context(TestClient(app))


@pytest.fixture
def shop():
    # Litestar keeps what it made of DTOs by the addresses of handlers, which come again in later tests.
    AbstractDTO._dto_backends.clear()
    shop = Shop()
    with shop.clients:
        yield shop


@pytest.fixture(params=["async", "thread", "loop"])
def kind(request):
    """Makes a handler of a plain function: `kind(get, "/")(func)`."""
    return lambda *args, **options: decorated(request.param, *args, **options)

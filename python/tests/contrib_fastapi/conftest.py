import asgi_client
import pytest
from fastapi import FastAPI


class Shop:
    """An application, a client of it, and how often its endpoints ran."""

    def __init__(self, request):
        self.app = FastAPI()
        self.calls = 0
        self._request = request

    def count(self):
        self.calls += 1
        return self.calls

    def client(self, app=None, **options):
        client = asgi_client.Client(app or self.app, **options)
        self._request.addfinalizer(client.close)
        return client

    def get(self, path, **options):
        return self.client().get(path, **options)


@pytest.fixture
def shop(request):
    return Shop(request)

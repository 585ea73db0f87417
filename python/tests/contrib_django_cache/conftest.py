"""Caches of Django in every storage, and a request's way to a view."""

import django_settings
import pytest

django_settings.setup()

from django.core.cache import caches  # noqa: E402 - now that there are settings
from django.test import override_settings  # noqa: E402
from redis_server import Server  # noqa: E402

BACKEND = "zoocache.contrib.django.CacheBackend"


def pytest_configure(config):
    config.addinivalue_line("markers", "storages(*names): the storages that a test runs in, instead of all")


def pytest_generate_tests(metafunc):
    """A test that asks for a cache, or its location, runs in every storage."""
    if "location" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("storages")
        names = marker.args if marker else ("memory", "lmdb", "redis", "default")
        metafunc.parametrize("location", names, indirect=True)


@pytest.fixture(scope="session")
def common_server():
    """A server for all tests that do it no harm."""
    server = Server()
    yield server
    server.end()


@pytest.fixture
def location(request, tmp_path):
    """LOCATION of a cache of each kind."""
    kind = request.param
    if kind == "redis":
        request.getfixturevalue("common_server").ask("FLUSHALL")
        return request.getfixturevalue("common_server").url
    return {"memory": "", "default": "default", "lmdb": f"lmdb://{tmp_path}/cache"}[kind]


@pytest.fixture
def configured():
    """Set CACHES for the test: `configured(default={"LOCATION": ...}, other=...)`."""
    overrides = []

    def configure(**aliases):
        override = override_settings(
            CACHES={alias: {"BACKEND": BACKEND, **params} for alias, params in aliases.items()}
        )
        override.enable()
        overrides.append(override)
        return caches["default"]

    yield configure
    for override in reversed(overrides):
        override.disable()


@pytest.fixture
def cache(location, configured):
    """The default cache of Django, which stores whatever can be pickled."""
    return configured(default={"LOCATION": location, "OPTIONS": {"SERIALIZER": "pickle"}})

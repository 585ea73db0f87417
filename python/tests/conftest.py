"""Every test begins and ends with a cache that nobody has configured."""

import gc

import pytest
import storages
from redis_server import Server

import zoocache
from zoocache.testing import frozen_time


def pytest_addoption(parser):
    storages = ["memory", "lmdb", "redis"]
    parser.addoption("--storage", choices=storages, default="memory", help="where entries rest")


def pytest_configure(config):
    config.addinivalue_line("markers", "memory_only(why): a test of what other storages do differently")
    config.addinivalue_line("markers", "not_on_server(why): a test of what a server does differently")
    kinds = {"lmdb": storages.Folders, "redis": storages.Prefixes}
    kind = kinds.get(config.getoption("--storage"))
    config.storage = None
    if kind is not None:
        config.storage = kind()
        config.storage.take_over()


def pytest_unconfigure(config):
    if config.storage is not None:
        zoocache.reset()
        config.storage.end()


def pytest_collection_modifyitems(config, items):
    def is_of_others(item):
        if item.get_closest_marker("memory_only"):
            return True
        # A server has a clock of its own, which no test stops.
        has_clock = "clock" in item.fixturenames or item.get_closest_marker("not_on_server")
        return isinstance(config.storage, storages.Prefixes) and has_clock

    if config.storage is not None:
        others = [item for item in items if is_of_others(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture(autouse=True, scope="module")
def frozen():
    """Spare the collector, which runs after each test, all that was imported and kept until now."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_cache(request):
    storage = request.config.storage
    zoocache.reset()
    if storage is not None:
        storage.start()
    yield
    zoocache.reset()
    # What a test forgot to await or to close is a warning of that test, not of a later one.
    gc.collect()
    if storage is not None:
        storage.remove()


@pytest.fixture
def clock(fresh_cache):
    """The clock of the caches: it stands still until it is moved."""
    with frozen_time() as clock:
        yield clock


@pytest.fixture
def redis_server():
    """A server of the test's own."""
    server = Server()
    yield server
    zoocache.reset()
    server.end()

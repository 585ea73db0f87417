"""Every test begins and ends with a cache that nobody has configured."""

import gc

import pytest
import storages

import zoocache
from zoocache.testing import frozen_time


def pytest_addoption(parser):
    parser.addoption("--storage", choices=["memory", "lmdb"], default="memory", help="where entries rest")


def pytest_configure(config):
    config.addinivalue_line("markers", "memory_only(why): a test of what other storages do differently")
    config.folders = None
    if config.getoption("--storage") == "lmdb":
        config.folders = storages.Folders()
        config.folders.take_over()


def pytest_collection_modifyitems(config, items):
    if config.folders is not None:
        others = [item for item in items if item.get_closest_marker("memory_only")]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def pytest_collection_finish():
    """Spare the collector, which runs after each test, all that was imported until now."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_cache(request):
    folders = request.config.folders
    zoocache.reset()
    if folders is not None:
        folders.start()
    yield
    zoocache.reset()
    # What a test forgot to await or to close is a warning of that test, not of a later one.
    gc.collect()
    if folders is not None:
        folders.remove()


@pytest.fixture
def clock(fresh_cache):
    """The clock of the caches: it stands still until it is moved."""
    with frozen_time() as clock:
        yield clock

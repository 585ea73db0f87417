"""Every test begins and ends with a cache that nobody has configured."""

import gc

import pytest

import zoocache
from zoocache.testing import frozen_time


def pytest_collection_finish():
    """Spare the collector, which runs after each test, all that was imported until now."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_cache():
    zoocache.reset()
    yield
    zoocache.reset()
    # What a test forgot to await or to close is a warning of that test, not of a later one.
    gc.collect()


@pytest.fixture
def clock(fresh_cache):
    """The clock of the caches: it stands still until it is moved."""
    with frozen_time() as clock:
        yield clock

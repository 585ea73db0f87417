"""Every test begins and ends with a cache that nobody has configured."""

import gc

import pytest

import zoocache
from zoocache import _native


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


class StandingClock:
    """The clock of the caches, moved by hand."""

    def __init__(self):
        self._wall_us, self._monotonic_ms = _native.clock()
        self.advance(0)

    def advance(self, seconds):
        self._wall_us += round(seconds * 1_000_000)
        self._monotonic_ms += round(seconds * 1000)
        _native.stop_clock(self._wall_us, self._monotonic_ms)


@pytest.fixture
def clock(fresh_cache):
    yield StandingClock()
    zoocache.reset()
    _native.run_clock()

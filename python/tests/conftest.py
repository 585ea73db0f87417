"""Every test begins and ends with a cache that nobody has configured."""

import gc

import pytest

import zoocache


@pytest.fixture(autouse=True)
def fresh_cache():
    zoocache.reset()
    yield
    zoocache.reset()
    # What a test forgot to await or to close is a warning of that test, not of a later one.
    gc.collect()

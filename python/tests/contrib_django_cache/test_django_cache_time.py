"""Lifetimes of entries, by a clock that stands still until it is moved."""

import pytest
from django.core.cache import caches

import zoocache


@pytest.fixture(params=["memory", "lmdb", "default", "extending default"])
def timed(request, clock, configured, tmp_path):
    """A cache of Django; in the default cache of the application each hit may prolong lives."""
    location = {"memory": "", "lmdb": f"lmdb://{tmp_path}/cache"}.get(request.param, "default")
    if request.param == "default":
        zoocache.configure(read_extend_ttl=False, default_ttl=5)
    return configured(
        default={"LOCATION": location, "TIMEOUT": 100}, forever={"LOCATION": location, "TIMEOUT": None}
    )


STORING = {
    "set": lambda cache, *timeout: cache.set("key", 1, *timeout),
    "set_many": lambda cache, *timeout: cache.set_many({"key": 1}, *timeout),
    "add": lambda cache, *timeout: cache.add("key", 1, *timeout),
    "get_or_set": lambda cache, *timeout: cache.get_or_set("key", lambda: 1, *timeout),
    "touch": lambda cache, *timeout: (cache.set("key", 1, 7), cache.touch("key", *timeout)),
}


@pytest.mark.parametrize("store", STORING.values(), ids=STORING)
def test_hits_do_not_prolong_a_life(timed, clock, store):
    store(timed, 10)
    for _ in range(9):
        clock.advance(1)
        assert timed.get("key") == 1
        assert timed.get_many(["key"]) == {"key": 1}
    clock.advance(1)
    assert timed.get("key") is None


@pytest.mark.parametrize("store", STORING.values(), ids=STORING)
def test_the_default_timeout_is_that_of_the_alias(timed, clock, store):
    store(timed)
    clock.advance(99)
    assert timed.get("key") == 1
    clock.advance(1)
    assert timed.get("key") is None


@pytest.mark.parametrize("store", STORING.values(), ids=STORING)
def test_none_is_for_ever(timed, clock, store):
    store(timed, None)
    clock.advance("6d")
    assert timed.get("key") == 1
    timed.clear()
    store(caches["forever"])
    clock.advance("6d")
    assert timed.get("key") == 1


def test_incr_leaves_the_time_as_it_is(timed, clock):
    timed.set("key", 1, 10)
    clock.advance(6)
    assert timed.incr("key") == 2
    clock.advance(3)
    assert timed.decr("key") == 1
    clock.advance(1)
    assert timed.get("key") is None


def test_a_life_of_less_than_a_second(timed, clock):
    timed.set("key", 1, 0.25)
    clock.advance(0.2)
    assert timed.get("key") == 1
    clock.advance(0.05)
    assert timed.get("key") is None


def test_a_touched_value_may_live_longer_and_shorter(timed, clock):
    timed.set("key", 1, 10)
    assert timed.touch("key", 30)
    clock.advance(29)
    assert timed.touch("key", 2)
    clock.advance(2)
    assert timed.get("key") is None
    assert timed.touch("key") is False

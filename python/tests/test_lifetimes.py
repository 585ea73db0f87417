"""How long results are served."""

import asyncio
import datetime as dt
import math
import time
import weakref

import pytest
from helpers import wait_until

import zoocache
from zoocache import ConfigError, cacheable, configure, explain, get, invalidate, set, stats

#: Seconds; so short that a test can wait for its end.
SHORT = 0.05
#: Seconds; so long that no test sees its end.
LONG = 3600


def numbering(**options):
    """A cached function that returns how often it ran."""
    runs = []

    @cacheable(**options)
    def function():
        runs.append(1)
        return len(runs)

    return function


@pytest.mark.parametrize("ttl", [SHORT, dt.timedelta(seconds=SHORT)], ids=["seconds", "timedelta"])
@pytest.mark.parametrize("extend", [False, True])
def test_a_result_expires(ttl, extend):
    configure(read_extend_ttl=extend)
    function = numbering(ttl=ttl)
    assert function() == 1
    wait_until(lambda: explain(function).state != "fresh")
    assert function() == 2


def test_an_async_result_expires():
    runs = []

    @cacheable(ttl=SHORT)
    async def function():
        runs.append(1)
        return len(runs)

    assert asyncio.run(function()) == 1
    wait_until(lambda: explain(function).state != "fresh")
    assert asyncio.run(function()) == 2


def test_hits_do_not_prolong_a_time_to_live():
    configure(read_extend_ttl=False)
    function = numbering(ttl=SHORT)
    function()
    wait_until(lambda: function() > 1)


def test_hits_prolong_a_time_to_idle():
    """Read often, it outlives its time; the machine may be slow, so it may take some attempts."""
    configure(read_extend_ttl=True)
    idle = 0.2

    def attempt():
        function = numbering(ttl=idle)
        function()
        began = last = time.monotonic()
        longest = 0
        while last - began < idle * 2:
            value = function()
            now = time.monotonic()
            longest, last = max(longest, now - last), now
            if longest > idle / 4:
                return False  # too slow to tell
            assert value == 1
            time.sleep(0.001)
        return True

    wait_until(attempt)


def test_hits_by_key_prolong_a_time_to_idle_too():
    configure(read_extend_ttl=True)
    set("key", 1, ttl=LONG)
    before = explain("key").expires_in
    wait_until(lambda: explain("key").expires_in < before - 0.05)
    shorter = explain("key").expires_in
    wait_until(lambda: get("key") and explain("key").expires_in > shorter)


def test_the_default_holds_for_functions_without_a_time_of_their_own():
    configure(default_ttl=LONG)
    default, own, without = numbering(), numbering(ttl=10), "key"
    default(), own(), set(without, 1)
    assert LONG - 60 < explain(default).expires_in <= LONG
    assert 0 < explain(own).expires_in <= 10
    assert LONG - 60 < explain(without).expires_in <= LONG
    set(without, 1, ttl=10)
    assert explain(without).expires_in <= 10


def test_without_any_time_nothing_expires():
    function = numbering()
    function()
    assert explain(function).expires_in is None


def test_the_default_expires():
    configure(default_ttl=SHORT)
    function = numbering()
    function()
    wait_until(lambda: explain(function).state != "fresh")
    assert function() == 2


@pytest.mark.parametrize(
    "ttl", [2**40, 2**62, 2**63, 2**64, 10**30, 1e300, math.inf, dt.timedelta.max], ids=str
)
def test_a_huge_time_never_overflows(ttl):
    function = numbering(ttl=ttl)
    assert function() == function() == 1
    set("key", 1, ttl=ttl)
    assert get("key") == 1
    assert explain(function).expires_in > 2**32
    assert "fresh" in str(explain(function))


@pytest.mark.parametrize(
    "ttl",
    [0, 0.0, -1, -0.001, math.nan, -math.inf, True, "10", dt.timedelta(0), dt.timedelta(seconds=-1), [1]],
    ids=repr,
)
def test_a_senseless_time_is_an_error_that_names_it(ttl):
    with pytest.raises(ConfigError, match="ttl"):
        cacheable(ttl=ttl)(lambda: 1)
    with pytest.raises(ConfigError, match="ttl"):
        set("key", 1, ttl=ttl)
    with pytest.raises(ConfigError, match="default_ttl"):
        configure(default_ttl=ttl)
    assert get("key") is None


def test_the_shortest_time():
    function = numbering(ttl=1e-9)
    assert function() == 1
    wait_until(lambda: function() > 1)


@pytest.mark.parametrize("hit", [False, True])
def test_what_an_inner_result_expires_with_bounds_the_outer_one(hit):
    configure(read_extend_ttl=False)
    inner = numbering(ttl=10)

    @cacheable(ttl=LONG)
    def outer():
        return inner()

    if hit:
        inner()
    outer()
    assert explain(outer).expires_in <= explain(inner).expires_in + 0.01


def test_an_inner_result_that_expired_is_not_served_from_within_the_outer_one():
    configure(read_extend_ttl=False)
    inner = numbering(ttl=SHORT)

    @cacheable
    def outer():
        return inner()

    assert outer() == 1
    wait_until(lambda: outer() > 1)


def test_an_inner_result_that_lives_longer_does_not_prolong_the_outer_one():
    configure(read_extend_ttl=False)
    inner = numbering(ttl=LONG)

    @cacheable(ttl=10)
    def outer():
        return inner()

    outer()
    assert explain(outer).expires_in <= 10


@pytest.mark.memory_only("its value has no bytes")
def test_what_nobody_reads_again_is_freed_in_the_background():
    class Value:
        pass

    alive = weakref.WeakSet()
    for number in range(100):
        value = Value()
        alive.add(value)
        expires = number % 2
        set(f"key {number}", value, deps=["fresh" if expires else "stale"], ttl=SHORT if expires else LONG)
    del value
    invalidate("stale")
    set("kept", 1, ttl=LONG)
    wait_until(lambda: len(alive) == 0)
    assert get("kept") == 1
    assert stats()["entries"] == 1


def test_storing_anew_begins_the_time_anew():
    set("key", 1, ttl=SHORT)
    set("key", 2, ttl=LONG)
    set("other", 1, ttl=SHORT)
    wait_until(lambda: explain("other").state != "fresh")
    assert get("key") == 2
    set("key", 3)
    assert explain("key").expires_in is None


def test_an_expired_entry_is_counted():
    zoocache.configure(read_extend_ttl=False)
    function = numbering(ttl=SHORT)
    wait_until(lambda: function() > 3)
    assert function.stats()["misses"] >= 3

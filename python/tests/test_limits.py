"""How much the cache holds, and that it lets go of what it does not."""

import gc
import sys
import weakref

import pytest
from helpers import Running, program

import zoocache
from zoocache import ConfigError, _native, cacheable, clear, configure, get, invalidate, reset, stats


class Value:
    """What can be watched dying."""


@pytest.mark.parametrize("limit", [1, 2, 10, 1000])
def test_the_limit_is_never_exceeded(limit):
    configure(max_entries=limit)
    for number in range(limit * 3 + 100):
        zoocache.set(f"key {number}", number, deps=[f"tag:{number}"])
        if number % 3 == 0:
            get(f"key {number}")
        if number % 7 == 0:
            assert stats()["entries"] <= limit
    assert stats()["entries"] <= limit
    assert stats()["evicted"] >= limit * 2


@pytest.mark.parametrize("limit", [1, 2, 10, 1000])
def test_cached_functions_share_the_limit(limit):
    configure(max_entries=limit)

    @cacheable
    def first(number):
        return number

    @cacheable
    def second(number):
        return -number

    for number in range(limit + 50):
        assert first(number) == number
        assert second(number) == -number
        assert first(number) == number
    assert stats()["entries"] <= limit
    assert first.stats()["entries"] + second.stats()["entries"] <= limit


@pytest.mark.parametrize("limit", [1, 10, 1000])
def test_threads_do_not_exceed_the_limit(limit):
    configure(max_entries=limit)

    @cacheable
    def function(number):
        return number

    def work(start):
        for number in range(start, start + 2000):
            assert function(number) == number
            if number % 50 == 0:
                assert stats()["entries"] <= limit + 4  # one each may be on its way

    for thread in [Running(work, start) for start in range(0, 8000, 2000)]:
        thread.result()
    assert stats()["entries"] <= limit


def test_what_is_used_stays():
    configure(max_entries=100)
    zoocache.set("used", "value")
    for number in range(5000):
        zoocache.set(f"key {number}", number)
        assert get("used") == "value"


def test_a_full_cache_takes_new_entries():
    configure(max_entries=2)
    runs = []

    @cacheable
    def function(number):
        runs.append(number)
        return number

    for number in range(100):
        function(number)
        function(number)
    assert runs == list(range(100))


def test_evicted_values_are_freed():
    configure(max_entries=10)
    alive = weakref.WeakSet()
    for number in range(200):
        value = Value()
        alive.add(value)
        zoocache.set(f"key {number}", value)
    del value
    assert len(alive) <= 10


@pytest.mark.parametrize("end", [clear, reset], ids=["clear", "reset"])
def test_everything_is_freed_at_once(end):
    alive = weakref.WeakSet()

    @cacheable
    def function(number):
        value = Value()
        alive.add(value)
        return [value]

    for number in range(100):
        function(number)
        function(number)
    assert len(alive) == 100
    end()
    assert len(alive) == 0


def test_a_dropped_or_replaced_value_is_freed_at_once():
    alive = weakref.WeakSet()

    @cacheable
    def function():
        value = Value()
        alive.add(value)
        return value

    function(), function()
    function.refresh()
    assert len(alive) == 1
    function.invalidate()
    assert len(alive) == 0


def test_stale_values_are_freed_without_being_read():
    alive = weakref.WeakSet()
    for number in range(100):
        value = Value()
        alive.add(value)
        zoocache.set(f"key {number}", value, deps=["tag"])
    del value
    invalidate("tag")
    _native.NativeCache().sweep()  # as the background does
    assert len(alive) == 0
    assert stats()["entries"] == 0


def test_results_of_computations_that_nobody_may_keep_are_freed():
    @cacheable(deps=["tag"])
    def function():
        invalidate("tag")
        return Value()

    died = weakref.ref(function())
    _native.NativeCache().sweep()
    assert died() is None


def test_arguments_and_exceptions_are_freed():
    class Failed(Exception):
        pass

    @cacheable
    def function(argument):
        raise Failed

    try:
        function([1])
    except Failed as error:
        died = weakref.ref(error)
    gc.collect()
    assert died() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it counts in /proc")
def test_configuring_and_resetting_leaks_no_threads_and_no_files():
    source = """
        import gc, os, time, zoocache
        from zoocache import cacheable, configure, reset

        @cacheable(ttl=100)
        def function(number):
            return number

        def cycle():
            configure(max_entries=100, default_ttl=50)
            for number in range(200):
                function(number)
            zoocache.invalidate("tag")
            reset()

        def resources():
            return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))

        cycle()
        before = resources()
        for _ in range(20):
            cycle()
        end = time.monotonic() + 30
        while any(now > then for now, then in zip(resources(), before)):
            assert time.monotonic() < end, (before, resources())
            time.sleep(0.001)
        print("done")
    """
    assert program(source) == "done\n"


def test_an_argument_of_a_megabyte_is_refused():
    @cacheable
    def function(data):
        return len(data)

    assert function("x" * 1000) == 1000
    assert function("x" * 100_000) == 100_000
    with pytest.raises(ValueError, match=r'function.*"data".*longer than'):
        function(["x" * 100_000 + str(number) for number in range(20)])  # 2 MB


def test_deep_and_cyclic_arguments_are_refused():
    @cacheable
    def function(data):
        return 1

    deep = []
    for _ in range(100_000):
        deep = [deep]
    cyclic = []
    cyclic.append(cyclic)
    for argument in (deep, cyclic):
        with pytest.raises(ValueError, match=r'"data".*nested'):
            function(argument)
    while deep:  # the interpreter itself would recurse
        deep = deep[0]


def test_big_values_are_fine():
    value = b"x" * (1 << 24)
    zoocache.set("key", value)
    assert get("key") is value


@pytest.mark.parametrize("limit", [0, -1, 1.5, float("nan"), True, "10", 2**64])
def test_a_senseless_limit_is_refused(limit):
    with pytest.raises(ConfigError, match="max_entries"):
        configure(max_entries=limit)


def test_a_huge_limit():
    configure(max_entries=2**61)
    zoocache.set("key", 1)
    assert get("key") == 1

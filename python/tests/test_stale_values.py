"""Stale values served on purpose: while they are computed anew, instead of an error, or of a long wait."""

import asyncio
import contextvars
import logging
import threading

import pytest
from helpers import Running, wait_for, wait_until

import zoocache
from zoocache import ConfigError, add_deps, cacheable, configure, explain, get, invalidate, stats


class Source:
    """What a cached function reads: counts, can fail and can be held up."""

    def __init__(self):
        self.reads = 0
        self.error = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.entered = threading.Event()

    def read(self):
        self.reads += 1
        read = self.reads
        self.entered.set()
        wait_for(self.go_on)
        if self.error is not None:
            raise self.error
        return read

    async def read_async(self):
        self.reads += 1
        read = self.reads
        self.entered.set()
        while not self.go_on.is_set():
            await asyncio.sleep(0.001)
        if self.error is not None:
            raise self.error
        return read


@pytest.fixture
def source():
    source = Source()
    yield source
    source.go_on.set()


@pytest.fixture(params=["sync", "async"])
def cached(request, source):
    """Make a cached function of the source, and a way to call it: `make(**options)() -> value`."""
    loop = asyncio.new_event_loop() if request.param == "async" else None

    def make(**options):
        if loop is None:
            return cacheable(deps=["source:1"], **options)(source.read)
        function = cacheable(deps=["source:1"], **options)(source.read_async)

        def call():
            async def main():
                value = await function()
                await asyncio.sleep(0)  # a task in the background takes its first step
                return value

            return loop.run_until_complete(main())

        call.cached = function
        call.spin = lambda: loop.run_until_complete(asyncio.sleep(0.001))
        return call

    yield make
    if loop is not None:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def until(function, condition):
    """Wait for a computation in the background, which needs its event loop to run."""

    def look():
        getattr(function, "spin", lambda: None)()
        return condition()

    return wait_until(look)


def test_revalidating_serves_what_expired_and_computes_in_the_background(cached, clock, source):
    function = cached(ttl=10, stale_while_revalidate=30)
    assert function() == 1
    clock.advance(11)
    source.go_on.clear()
    assert function() == 1
    assert function() == 1  # the computation goes on: no second one
    source.go_on.set()
    until(function, lambda: stats()["computations"] == 2)
    assert function() == 2
    assert source.reads == 2
    assert stats()["stale_served"] == 2
    assert stats()["refreshes"] == 1


def test_revalidating_ends_with_its_time(cached, clock, source):
    function = cached(ttl=10, stale_while_revalidate=30)
    assert function() == 1
    clock.advance(41)
    assert function() == 2


def test_revalidating_never_serves_what_was_invalidated(cached, clock, source):
    function = cached(ttl=10, stale_while_revalidate=30)
    assert function() == 1
    invalidate("source:1")
    assert function() == 2
    clock.advance(11)
    invalidate("source:1")
    assert function() == 3


def test_an_invalidation_during_a_revalidation_keeps_its_result_out(cached, clock, source):
    function = cached(ttl=10, stale_while_revalidate=30)
    assert function() == 1
    clock.advance(11)
    source.go_on.clear()
    assert function() == 1
    wait_for(source.entered)
    invalidate("source:1")
    source.go_on.set()
    until(function, lambda: stats()["born_stale"] == 1)
    assert function() == 3


def test_reads_do_not_extend_the_life_of_what_is_revalidated(cached, clock, source):
    function = cached(ttl=10, stale_while_revalidate=30)
    assert function() == 1
    for _ in range(4):
        clock.advance(3)
        function()
    until(function, lambda: stats()["computations"] == 2)
    assert function() == 2


@pytest.mark.memory_only("the log has a line more")
def test_what_fails_in_the_background_is_logged_and_the_value_is_served(cached, clock, source, caplog):
    function = cached(ttl=10, stale_while_revalidate=30)
    assert function() == 1
    clock.advance(11)
    source.error = OSError("the source is down")
    with caplog.at_level(logging.WARNING, logger="zoocache"):
        assert function() == 1
        until(function, lambda: caplog.records)
        assert function() == 1
        until(function, lambda: stats()["errors"] == 2)
    assert len(caplog.records) == 1  # one a minute
    assert "the source is down" in caplog.text


def test_an_error_is_answered_with_what_expired(cached, clock, source):
    function = cached(ttl=10, stale_if_error=60)
    assert function() == 1
    clock.advance(11)
    source.error = OSError("down")
    assert function() == 1
    clock.advance(60)
    with pytest.raises(OSError, match="down"):
        function()
    source.error = None
    assert function() == source.reads


@pytest.mark.parametrize("option", [60, "1m", "expired", (60, "expired")])
def test_an_error_is_not_answered_with_what_was_invalidated(cached, clock, source, option):
    function = cached(ttl=10, stale_if_error=option)
    assert function() == 1
    invalidate("source:1")
    source.error = OSError("down")
    with pytest.raises(OSError, match="down"):
        function()


@pytest.mark.parametrize("option", ["any", (60, "any")])
def test_an_error_is_answered_with_what_was_invalidated_if_asked_for(cached, clock, source, option):
    function = cached(ttl=1000, stale_if_error=option)
    assert function() == 1
    invalidate("source:1")
    source.error = OSError("down")
    clock.advance(30)
    assert function() == 1
    zoocache._native.NativeCache().sweep()  # keeps it
    assert function() == 1
    clock.advance(31)
    if option == "any":
        assert function() == 1
    else:
        with pytest.raises(OSError, match="down"):
            function()
    source.error = None
    assert function() == source.reads


def test_what_stands_in_for_an_error_is_no_hit_elsewhere(clock, source):
    function = cacheable(deps=["source:1"], stale_if_error="any")(source.read)
    assert function() == 1
    invalidate("source:1")
    assert get(function.key()) is None
    assert explain(function).state == "stale"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_only_exceptions_are_answered(clock, source, error):
    function = cacheable(ttl=10, stale_if_error="any")(source.read)
    assert function() == 1
    clock.advance(11)
    source.error = error()
    with pytest.raises(error):
        function()


def test_what_was_deleted_does_not_stand_in(clock, source):
    function = cacheable(ttl=10, stale_if_error="any", stale_while_revalidate=60)(source.read)
    assert function() == 1
    function.invalidate()
    source.error = OSError("down")
    with pytest.raises(OSError, match="down"):
        function()


def test_what_was_cleared_does_not_stand_in(clock, source):
    function = cacheable(ttl=10, stale_if_error="any")(source.read)
    assert function() == 1
    zoocache.clear()
    source.error = OSError("down")
    with pytest.raises(OSError, match="down"):
        function()


def test_a_slow_computation_is_answered_with_what_expired(cached, clock, source):
    function = cached(ttl=10, timeout=0.01)
    assert function() == 1
    clock.advance(11)
    source.go_on.clear()
    assert function() == 1
    source.go_on.set()
    until(function, lambda: stats()["computations"] == 2)
    assert function() == 2
    assert source.reads == 2


def test_a_fast_computation_is_waited_for(cached, clock, source):
    function = cached(ttl=10, timeout=30)
    assert function() == 1
    clock.advance(11)
    assert function() == 2


def test_a_computation_that_was_waited_for_counts_as_a_miss(cached, clock, source):
    function = cached(ttl=10, timeout=30)
    function()
    clock.advance(11)
    function()
    function()
    counted = getattr(function, "cached", function).stats()
    assert (counted["hits"], counted["misses"], counted["stale"]) == (1, 2, 0)


def test_a_slow_first_computation_is_waited_for(cached, clock, source):
    function = cached(ttl=10, timeout=0)
    assert function() == 1
    invalidate("source:1")
    assert function() == 2


def test_what_fails_within_the_timeout_is_raised_or_answered(cached, clock, source):
    plain, tolerant = cached(ttl=10, timeout=30), cached(ttl=10, timeout=30, stale_if_error=60, namespace="x")
    plain(), tolerant()
    clock.advance(11)
    source.error = OSError("down")
    with pytest.raises(OSError, match="down"):
        plain()
    assert tolerant() == 2


def test_how_old_a_value_may_be_that_stands_in_for_a_late_one(clock, source):
    function = cacheable(ttl=10, timeout=0.001, stale_if_error=20)(source.read)
    by_default = cacheable(ttl=10, timeout=0.001, namespace="default")(source.read)
    assert (function(), by_default()) == (1, 2)
    clock.advance(31)
    source.go_on.clear()
    assert by_default() == 2
    wait_until(lambda: source.reads == 3)
    late = Running(function)
    wait_until(lambda: source.reads == 4)
    source.go_on.set()
    assert late.result() == 4


def test_threads_that_are_late_together_compute_once(clock, source):
    function = cacheable(ttl=10, timeout=0.01)(source.read)
    assert function() == 1
    clock.advance(11)
    source.go_on.clear()
    callers = [Running(function) for _ in range(10)]
    assert [caller.result() for caller in callers] == [1] * 10
    source.go_on.set()
    wait_until(lambda: function() == 2)
    assert source.reads == 2


def test_a_stale_value_makes_no_fresh_one(clock, source):
    inner = cacheable(ttl=10, stale_while_revalidate=100)(source.read)

    @cacheable
    def outer():
        return ("outer", inner())

    assert outer() == ("outer", 1)
    clock.advance(11)
    source.go_on.clear()
    assert outer() == ("outer", 1)  # of a stale value: not to be kept
    source.go_on.set()
    wait_until(lambda: stats()["refreshes"] == 1 and inner() == 2)
    assert outer() == ("outer", 2)


def test_an_invalidated_value_makes_no_fresh_one(clock, source):
    inner = cacheable(deps=["source:1"], stale_if_error="any")(source.read)

    @cacheable
    def outer():
        return ("outer", inner())

    assert outer() == ("outer", 1)
    invalidate("source:1")
    source.error = OSError("down")
    assert outer() == ("outer", 1)
    source.error = None
    assert outer() == ("outer", source.reads)


def test_a_background_computation_sees_the_context_of_the_call(clock, source):
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen = []

    @cacheable(ttl=10, stale_while_revalidate=60)
    def function():
        seen.append(tenant.get())
        return source.read()

    tenant.set("somebody")
    assert function() == 1
    clock.advance(11)
    source.go_on.clear()  # what is computed in this moment would be served, too
    assert function() == 1
    source.go_on.set()
    wait_until(lambda: len(seen) == 2)
    assert seen == ["somebody", "somebody"]


def test_a_background_computation_is_not_part_of_the_caller(clock, source):
    @cacheable(ttl=10, stale_while_revalidate=60)
    def inner():
        if source.reads:
            add_deps(["new:dependency"])
        return source.read()

    @cacheable(namespace="outer")
    def outer():
        return inner()

    inner()
    clock.advance(11)
    outer()
    wait_until(lambda: explain(inner).state == "fresh")
    assert "new:dependency" not in [dependency.tag for dependency in explain(outer).dependencies]


def test_a_key_that_depends_on_itself_is_still_an_error(clock, source):
    @cacheable(ttl=10, stale_while_revalidate=60, stale_if_error="any")
    def function():
        return source.read() if source.reads == 0 else function()

    assert function() == 1
    clock.advance(100)
    with pytest.raises(RecursionError):
        function()


def test_late_in_an_event_loop_the_others_go_on(clock, source):
    function = cacheable(ttl=10, timeout=0.01)(source.read_async)

    async def main():
        assert await function() == 1
        clock.advance(11)
        source.go_on.clear()
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        assert await asyncio.gather(*(function() for _ in range(5))) == [1] * 5
        ticking.cancel()
        assert ticks > 1
        source.go_on.set()
        while await function() != 2:
            await asyncio.sleep(0.001)
        assert source.reads == 2

    asyncio.run(main())


def test_a_cancelled_late_caller_hands_over(clock, source):
    function = cacheable(ttl=10, timeout=30)(source.read_async)

    async def main():
        assert await function() == 1
        clock.advance(11)
        source.go_on.clear()
        first = asyncio.create_task(function())
        await asyncio.sleep(0.01)
        second = asyncio.create_task(function())
        await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        source.go_on.set()
        assert await second == 3

    asyncio.run(main())


def test_a_loop_that_ends_takes_its_background_along(clock, source):
    function = cacheable(ttl=10, stale_while_revalidate=60)(source.read_async)
    assert asyncio.run(function()) == 1
    clock.advance(11)
    assert asyncio.run(function()) == 1  # begins a task, which is cancelled with its loop
    clock.advance(60)
    assert asyncio.run(function()) in (2, 3)


@pytest.mark.parametrize(
    "options",
    [
        {"stale_while_revalidate": 0},
        {"stale_while_revalidate": -1},
        {"stale_if_error": "always"},
        {"stale_if_error": (1, 2, 3)},
        {"stale_if_error": (60, "every")},
        {"stale_if_error": 0},
        {"timeout": -1},
        {"timeout": "soon"},
    ],
)
def test_nonsense_is_refused(options):
    (name,) = options
    with pytest.raises(ConfigError, match=name):
        cacheable(**options)(lambda: None)


@pytest.mark.memory_only("a folder frees what has expired; it stays in this process")
def test_stale_values_are_freed_after_their_time(clock, source):
    configure(default_ttl=10)
    function = cacheable(stale_if_error=60)(source.read)
    function()
    clock.advance(30)
    zoocache._native.NativeCache().sweep()
    assert stats()["entries"] == 1
    clock.advance(60)
    zoocache._native.NativeCache().sweep()
    assert stats()["entries"] == 0

"""What the running code depends on so far: `get_current_deps` and `DepsTracker`."""

import asyncio
import itertools
import threading

import pytest
from helpers import Running, unique, wait_for, wait_until

import zoocache
from zoocache import add_deps, cacheable, invalidate, stats
from zoocache.context import DepsTracker, get_current_deps, keep_private
from zoocache.testing import frozen_time


@cacheable(deps=lambda number: [f"item:{number}"])
def item(number):
    return number


@cacheable(deps=["async"])
async def fetched(number):
    await asyncio.sleep(0)
    return number


def test_outside_of_a_computation_there_is_nothing():
    assert get_current_deps() is None
    item(1)
    assert get_current_deps() is None


def test_inside_of_a_computation():
    seen = []

    @cacheable(deps=["outer"])
    def outer():
        seen.append(get_current_deps())
        add_deps(["late"])
        seen.append(get_current_deps())
        item(1)
        seen.append(get_current_deps())

    outer()
    base = {"outer", outer.tag}
    assert seen == [base, base | {"late"}, base | {"late", "item:1", item.tag}]
    assert all(isinstance(tags, frozenset) for tags in seen)


def test_it_is_that_of_the_innermost_computation():
    seen = []

    @cacheable(deps=["inner"])
    def inner():
        seen.append(get_current_deps())

    @cacheable(deps=["outer"])
    def outer():
        inner()

    outer()
    assert seen == [{"inner", inner.tag}]


def test_inside_of_an_async_computation():
    @cacheable(deps=["outer"])
    async def outer():
        await fetched(1)
        return get_current_deps()

    async def main():
        return await outer()

    assert asyncio.run(main()) == {"outer", outer.tag, "async", fetched.tag}


@pytest.mark.parametrize("warm", [False, True])
def test_a_tracker_collects_what_calls_use(warm):
    if warm:
        item(1)
        item(2)
    with DepsTracker() as tracker:
        assert tracker.deps == set()
        item(1)
        assert tracker.deps == {"item:1", item.tag}
        assert get_current_deps() == tracker.deps
        item(2)
        add_deps(["more", "a:*"])
    assert tracker.deps == {"item:1", "item:2", item.tag, "more", "a:*"}
    assert isinstance(tracker.deps, frozenset)
    item(3)
    add_deps(["outside"])
    assert tracker.deps == {"item:1", "item:2", item.tag, "more", "a:*"}
    assert get_current_deps() is None


def test_a_tracker_stores_nothing():
    before = stats()["entries"]
    with DepsTracker():
        add_deps(["a"])
    assert stats()["entries"] == before


def test_a_tracker_in_async_code():
    async def main():
        with DepsTracker() as tracker:
            assert await asyncio.gather(fetched(1), asyncio.create_task(fetched(2))) == [1, 2]
            await asyncio.to_thread(item, 5)
        return tracker.deps

    assert asyncio.run(main()) == {"async", fetched.tag, "item:5", item.tag}


def test_what_a_tracker_collects_concerns_the_computation_around_it():
    @cacheable(deps=["outer"])
    def outer():
        with DepsTracker() as tracker:
            with DepsTracker() as inner:
                item(1)
            item(2)
        assert inner.deps == {"item:1", item.tag}
        assert tracker.deps == {"item:1", "item:2", item.tag}
        assert get_current_deps() == tracker.deps | {"outer", outer.tag}
        return unique()

    first = outer()
    assert outer() is first
    invalidate("item:1")
    second = outer()
    assert second is not first
    invalidate("item:2")
    assert outer() is not second


def test_an_invalidation_inside_of_the_block_is_not_lost():
    @cacheable
    def outer():
        with DepsTracker():
            item(1)
            if len(calls) == 0:
                calls.append(1)
                invalidate("item:1")
        return unique()

    calls = []
    first = outer()
    assert outer() is not first


def test_a_lifetime_inside_of_the_block_counts_outside():
    @cacheable(ttl=0.01)
    def brief():
        return 1

    @cacheable
    def outer():
        with DepsTracker():
            brief()
        return unique()

    zoocache.configure(read_extend_ttl=False)
    first = outer()
    expires_in = zoocache.explain(outer).expires_in
    assert outer() is not first or expires_in <= 0.01


def test_an_exception_ends_the_block():
    tracker = DepsTracker()

    def fail():
        with tracker:
            item(1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert tracker.deps == {"item:1", item.tag}
    assert get_current_deps() is None


def test_a_tracker_serves_one_block_at_a_time():
    tracker = DepsTracker()
    assert tracker.deps == set()
    with tracker:
        item(1)
        with pytest.raises(RuntimeError, match="in use"):
            tracker.__enter__()
    with tracker:
        item(2)
    assert tracker.deps == {"item:2", item.tag}


def test_threads_have_trackers_of_their_own():
    inside, proceed = threading.Event(), threading.Event()

    def track():
        with DepsTracker() as tracker:
            inside.set()
            wait_for(proceed)
            item(1)
        return tracker.deps

    thread = Running(track)
    wait_for(inside)
    with DepsTracker() as tracker:
        item(2)
    proceed.set()
    assert thread.result() == {"item:1", item.tag}
    assert tracker.deps == {"item:2", item.tag}


def test_a_tracker_that_is_abandoned_ends():
    tracker = DepsTracker()
    tracker.__enter__()
    tracker.__exit__(None, None, None)
    tracker.__exit__(None, None, None)
    assert tracker.deps == set()
    assert get_current_deps() is None


# ---- Results for their callers alone ----------------------------------------------------------------


def test_a_private_result_is_not_stored():
    calls = []

    @cacheable
    def inner():
        calls.append("inner")
        keep_private()
        return 1

    @cacheable
    def outer():
        calls.append("outer")
        return inner()

    assert [outer(), outer(), inner()] == [1, 1, 1]
    assert calls == ["outer", "inner"] * 2 + ["inner"]
    assert (outer.stats()["entries"], inner.stats()["entries"]) == (0, 0)


def test_outside_of_computations_it_means_nothing():
    keep_private()

    @cacheable
    def f():
        return unique()

    assert f() == f()


def test_a_private_result_replaces_nothing_and_what_is_stored_stays():
    private = []

    @cacheable
    def f():
        if private:
            keep_private()
        return unique()

    stored = f()
    private.append(1)
    assert f.bypass() != stored
    assert f() == stored


@pytest.mark.parametrize("ends", ["returns", "raises"])
def test_who_waits_for_a_private_result_computes(ends):
    computing, go_on = threading.Event(), threading.Event()
    calls = itertools.count(1)

    @cacheable
    def f():
        number = next(calls)
        if number == 1:
            keep_private()
            computing.set()
            wait_for(go_on)
            if ends == "raises":
                raise LookupError
        return number

    first = Running(f)
    wait_for(computing)
    waiter = Running(f)
    wait_until(lambda: stats()["waits"] == 1)
    go_on.set()
    assert waiter.result() == 2
    if ends == "raises":
        with pytest.raises(LookupError):
            first.result()
    else:
        assert first.result() == 1
    assert f() == 2


def test_who_awaits_a_private_result_computes():
    calls = itertools.count(1)

    async def run():
        computing, go_on = asyncio.Event(), asyncio.Event()

        @cacheable
        async def f():
            number = next(calls)
            if number == 1:
                keep_private()
                computing.set()
                await go_on.wait()
            return number

        first = asyncio.create_task(f())
        await computing.wait()
        waiter = asyncio.create_task(f())
        while stats()["waits"] < 1:
            await asyncio.sleep(0)
        go_on.set()
        return await first, await waiter, await f()

    assert asyncio.run(run()) == (1, 2, 2)


@pytest.mark.not_on_server("a server has a clock of its own, which no test sets")
def test_a_private_refresh_in_the_background_is_dropped():
    private = []

    @cacheable(ttl=60, stale_while_revalidate=60)
    def f():
        if private:
            keep_private()
            private.append(1)
        return unique()

    with frozen_time() as clock:
        stored = f()
        clock.advance(61)
        private.append(1)
        assert f() == stored
        wait_until(lambda: len(private) == 2)
        assert f() == stored

"""What the running code depends on so far: `get_current_deps` and `DepsTracker`."""

import asyncio
import threading

import pytest
from helpers import Running, unique, wait_for

import zoocache
from zoocache import add_deps, cacheable, invalidate, stats
from zoocache.context import DepsTracker, get_current_deps


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

"""`consistent_after`: reads that know of an invalidation made here or elsewhere."""

import asyncio

import pytest

import zoocache
from zoocache import Cache, ConfigError, cacheable, consistent_after, get, get_async, invalidate, stats

FUTURE = 2**62


@pytest.fixture
def counted():
    calls = []

    @cacheable(deps=["a"])
    def f(x):
        calls.append(x)
        return [x]

    f.calls = calls
    return f


def test_a_position_that_was_reached_costs_nothing(counted):
    position = invalidate("a")
    counted(1)
    with consistent_after(position):
        assert [counted(1), counted(1)] == [[1], [1]]
    with consistent_after(0):
        counted(1)
    assert counted.calls == [1]
    assert counted.stats()["hits"] == 3


def test_a_position_of_the_future_is_computed_and_stored(counted):
    for _ in range(3):
        counted(1)
    with consistent_after(FUTURE):
        assert [counted(1), counted(1)] == [[1], [1]]
        assert counted.calls == [1, 1, 1]
        counted(2)
    assert [counted(1), counted(2)] == [[1], [2]]
    assert counted.calls == [1, 1, 1, 2]


def test_get():
    zoocache.set("key", 1)
    position = invalidate("other")
    assert get("key", consistent_after=position) == 1
    assert get("key", "none", consistent_after=FUTURE) == "none"
    with consistent_after(FUTURE):
        assert get("key", "none") == "none"
        assert zoocache.get_many(["key"]) == {}
        misses = stats()["misses"]
    assert misses == 2
    with consistent_after(position):
        assert get("key") == 1
    assert asyncio.run(get_async("key", consistent_after=position)) == 1
    assert asyncio.run(get_async("key", consistent_after=FUTURE)) is None


def test_async_functions():
    calls = []

    @cacheable
    async def f(x):
        calls.append(x)
        await asyncio.sleep(0)
        return x

    async def main():
        position = invalidate("a")
        await f(1)
        async with consistent_after(position):
            await f(1)
        assert calls == [1]
        async with consistent_after(FUTURE):
            assert await f(1) == 1
            # A task started inside demands the same.
            assert await asyncio.create_task(f(1)) == 1
            assert await asyncio.gather(f(2), f(2)) == [2, 2]
        assert calls == [1, 1, 1, 2, 2]
        await f(1)
        await f(2)
        assert len(calls) == 5

    asyncio.run(main())


def test_nested_calls_are_not_served_either(counted):
    @cacheable
    def outer():
        return counted(1)

    outer()
    with consistent_after(FUTURE):
        outer()
    assert counted.calls == [1, 1]
    invalidate("a")
    outer()
    assert counted.calls == [1, 1, 1], "what is computed in the block has its dependencies"


def test_nested_blocks_demand_all_of_it(counted):
    counted(1)
    with consistent_after(FUTURE):
        with consistent_after(0):
            counted(1)
        counted(1)
    counted(1)
    assert counted.calls == [1, 1, 1]


def test_another_cache_is_not_concerned(counted):
    cache = Cache()
    counted(1)
    with cache.consistent_after(FUTURE):
        counted(1)
    assert counted.calls == [1]


def test_a_block_is_used_once():
    block = consistent_after(1)
    with block:
        pass
    with pytest.raises(RuntimeError, match="used already"), block:
        pass


@pytest.mark.parametrize("position", [True, 1.0, "1", None])
def test_what_is_no_position(position):
    with pytest.raises(TypeError, match="position"):
        consistent_after(position)


@pytest.mark.parametrize("position", [-1, 2**63, 10**30])
def test_what_cannot_be_a_position(position):
    with pytest.raises(ConfigError, match="position"):
        consistent_after(position)
    with pytest.raises(ConfigError, match="position"):
        get("key", consistent_after=position)


def test_an_invalidation_that_reaches_the_position_ends_it(counted):
    counted(1)
    now = invalidate("b")
    with consistent_after(now + 1_000):
        counted(1)
        while invalidate("b") < now + 1_000:
            pass
        counted(1)
    assert counted.calls == [1, 1]


def test_is_forgotten_after_an_exception(counted):
    counted(1)
    with pytest.raises(KeyError), consistent_after(FUTURE):
        raise KeyError
    counted(1)
    assert counted.calls == [1]

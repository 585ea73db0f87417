"""`invalidation_batch`: invalidations are collected and made as one."""

import asyncio
import contextvars
import threading

import pytest
from helpers import DEADLINE, Running, wait_for

import zoocache
from zoocache import (
    Cache,
    InvalidTag,
    cacheable,
    get,
    get_tag_version,
    invalidate,
    invalidate_async,
    invalidation_batch,
    on_invalidate,
    stats,
)


@pytest.fixture
def told():
    """What was invalidated, in the order in which it happened."""
    told = []
    on_invalidate(lambda tags, position: told.append((tags, position)))
    return told


def fail_in(block, tag):
    with block:
        invalidate(tag)
        raise KeyError


def test_invalidations_are_made_at_the_end_and_as_one(told):
    zoocache.set("a", 1, deps=["a"])
    with invalidation_batch() as batch:
        assert [invalidate("a"), invalidate("b", "c"), invalidate("a")] == [0, 0, 0]
        assert get("a") == 1
        assert batch.position is None
        assert told == []
    assert get("a") is None
    assert told == [(["a", "b", "c"], batch.position)]
    assert zoocache.get_tag_version("a") == zoocache.get_tag_version("c") == batch.position > 0
    assert zoocache.stats()["invalidations"] == 1


def test_what_lies_below_another_tag_is_left_out(told):
    with invalidation_batch():
        invalidate("store:2:product:7", "store:20", "store:2-3", "store:2:a")
        invalidate("store:2", "store:2:*", "customer:1")
    ((tags, _),) = told
    assert sorted(tag.removesuffix(":*") for tag in tags) == [
        "customer:1",
        "store:2",
        "store:2-3",
        "store:20",
    ]


def test_everything_covers_everything(told):
    with invalidation_batch():
        invalidate("a:b", "*", "c")
    assert [tags for tags, _ in told] == [["*"]]


def test_an_exception_forgets_them(told):
    zoocache.set("a", 1, deps=["a"])
    block = invalidation_batch()
    with pytest.raises(KeyError):
        fail_in(block, "a")
    assert block.position is None
    assert told == []
    assert get("a") == 1
    assert invalidate("a") > 0, "and the batch is over"


def test_an_empty_batch_invalidates_nothing(told):
    with invalidation_batch() as batch:
        pass
    assert batch.position is None
    assert told == []


def test_an_invalid_tag_is_refused_at_once(told):
    with invalidation_batch():
        with pytest.raises(InvalidTag):
            invalidate("fine", "not|fine")
        with pytest.raises(TypeError):
            invalidate()
        invalidate("b")
    assert [tags for tags, _ in told] == [["b"]], "nothing of what was refused is invalidated"


def test_a_nested_batch_joins_the_outer_one(told):
    with invalidation_batch() as outer:
        invalidate("a")
        with invalidation_batch() as inner:
            invalidate("b")
        assert inner.position is None
        assert told == []
        with pytest.raises(KeyError):
            fail_in(invalidation_batch(), "c")
        invalidate("d")
    assert told == [(["a", "b", "d"], outer.position)]


def test_a_block_is_used_once():
    block = invalidation_batch()
    with block:
        pass
    with pytest.raises(RuntimeError, match="used already"), block:
        pass


def test_async(told):
    async def main():
        async with invalidation_batch() as batch:
            assert await invalidate_async("b") == 0
            await asyncio.gather(invalidate_async("a"), asyncio.to_thread(invalidate, "c"))
            assert told == []
        assert told == [(["a", "b", "c"], batch.position)]

    asyncio.run(main())


def test_a_task_that_outlives_the_block_invalidates_at_once(told):
    async def main():
        may_go_on = asyncio.Event()

        async def later():
            await may_go_on.wait()
            assert await invalidate_async("late") > 0
            async with invalidation_batch() as own:
                invalidate("x")
            assert own.position > 0

        async with invalidation_batch():
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
            invalidate("early")
        may_go_on.set()
        await task

    asyncio.run(main())
    assert [tags for tags, _ in told] == [["early"], ["late"], ["x"]]


def test_a_task_that_outlives_an_inner_block_belongs_to_the_outer_one(told):
    async def main():
        may_go_on = asyncio.Event()

        async def later():
            await may_go_on.wait()
            assert invalidate("late") == 0

        async with invalidation_batch():
            async with invalidation_batch():
                task = asyncio.create_task(later())
                await asyncio.sleep(0)
            may_go_on.set()
            await task

    asyncio.run(main())
    assert [tags for tags, _ in told] == [["late"]]


def test_other_threads_and_contexts_are_not_concerned(told):
    entered, may_leave = threading.Event(), threading.Event()

    def other():
        with invalidation_batch():
            invalidate("theirs")
            entered.set()
            wait_for(may_leave)

    thread = Running(other)
    wait_for(entered)
    assert invalidate("ours") > 0
    may_leave.set()
    thread.result()
    assert [tags for tags, _ in told] == [["ours"], ["theirs"]]


def test_threads_that_share_a_context_lose_nothing(told):
    start = threading.Barrier(4)

    def work(number):
        start.wait()
        for index in range(500):
            invalidate(f"thread-{number}:{index}")

    with invalidation_batch():
        threads = [Running(contextvars.copy_context().run, work, number) for number in range(4)]
        for thread in threads:
            thread.result()
    ((tags, _),) = told
    assert len(tags) == 2000


def test_threads_that_race_with_the_end_lose_nothing(told):
    stop = threading.Event()
    count = [0]

    def work():
        while not stop.is_set() or count[0] == 0:
            invalidate(f"tag:{count[0]}")
            count[0] += 1

    with invalidation_batch():
        thread = Running(contextvars.copy_context().run, work)
    stop.set()
    thread.result()
    assert {tag for tags, _ in told for tag in tags} == {f"tag:{number}" for number in range(count[0])}


def test_another_cache_is_not_concerned(told):
    cache = Cache()
    with invalidation_batch():
        assert cache.invalidate("a") > 0
        with cache.invalidation_batch() as theirs:
            assert cache.invalidate("b") == 0
            assert invalidate("ours") == 0
        assert theirs.position > 0
        assert told == []
    assert [tags for tags, _ in told] == [["ours"]]


def test_left_in_another_context(told):
    def generator():
        with invalidation_batch():
            invalidate("a")
            yield

    made = generator()
    contextvars.copy_context().run(next, made)
    with pytest.raises(StopIteration):
        next(made)
    assert [tags for tags, _ in told] == [["a"]]
    assert invalidate("b") > 0


def test_what_is_collected_is_read_stale_until_the_end():
    value = 1

    @cacheable(deps=["a"])
    def read():
        return value

    read()
    with invalidation_batch():
        value = 2
        invalidate("a")
        assert read() == 1
    assert read() == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_a_computation_in_the_background_is_not_part_of_the_callers_batch(clock, is_async):
    reads = []
    may_read = threading.Event()
    may_read.set()

    def read():
        assert may_read.wait(DEADLINE)
        reads.append(1)
        if len(reads) == 2:
            invalidate("seen")
        return len(reads)

    async def read_async():
        while not may_read.is_set():
            await asyncio.sleep(0.001)
        return read()

    function = cacheable(ttl=10, stale_while_revalidate=60)(read_async if is_async else read)

    async def main():
        async def call():
            return await function() if is_async else function()

        async def until_it_fails():
            with invalidation_batch():
                # Were the new value there at once, it would be served.
                may_read.clear()
                assert await call() == 1
                may_read.set()
                while stats()["computations"] < 2:
                    await asyncio.sleep(0.001)
                raise LookupError

        assert await call() == 1
        clock.advance(11)
        with pytest.raises(LookupError):
            await until_it_fails()
        assert get_tag_version("seen") > 0

    asyncio.run(main())

"""Coroutines and a Redis server: no wait for it blocks the event loop."""

import asyncio
import contextlib
import gc
import threading
import time
from pathlib import Path

import pytest
from helpers import Running, wait_until
from other_process import Other

import zoocache
from zoocache import InvalidationQueued, StorageError, cacheable, configure


@pytest.fixture(params=["bounded", "strong"])
def consistency(request):
    return request.param


@pytest.fixture(autouse=True)
def on_server(redis_server, consistency):
    configure(storage_url=redis_server.url, consistency=consistency)


class Async:
    """An async cached `f(value)` that counts its computations."""

    def __init__(self, **options):
        self.calls = 0

        async def f(value):
            self.calls += 1
            await asyncio.sleep(0)
            return value

        self.f = cacheable(namespace="Async", **options)(f)


def cold(redis_server, consistency="bounded"):
    """Forget what this process holds in memory."""
    zoocache.reset()
    configure(storage_url=redis_server.url, consistency=consistency)


async def ticking(work):
    """Await `work` beside a task that ticks, and return the longest time between two ticks, in seconds."""
    longest = 0.0
    is_over = False

    async def tick():
        nonlocal longest
        last = time.monotonic()
        while not is_over:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            longest = max(longest, now - last)
            last = now

    ticks = asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        await work
    finally:
        is_over = True
        await ticks
    return longest


def test_entries_are_shared(redis_server, consistency):
    async def both():
        one = Async(deps=["t"])
        assert [await one.f(1), await one.f(1)] == [1, 1]
        assert one.calls == 1
        cold(redis_server, consistency)
        assert await one.f(1) == 1
        assert one.calls == 1
        await zoocache.invalidate_async("t")
        await one.f(1)
        assert one.calls == 2

    asyncio.run(both())


def test_operations_on_keys():
    async def operations():
        await zoocache.set_async("key", [1], deps=["t"])
        assert await zoocache.get_async("key") == [1]
        assert await zoocache.get_many_async(["key", "other"]) == {"key": [1]}
        assert await zoocache.delete_async("key")
        assert await zoocache.get_async("key", 7) == 7
        await zoocache.set_many_async({"a": 1, "b": 2}, deps=["t"])
        position = await zoocache.invalidate_async("t")
        assert await zoocache.get_async("a", consistent_after=position) is None
        assert await zoocache.get_async("b") is None
        await zoocache.set_async("a", 1)
        assert await zoocache.get_async("a", consistent_after=position) == 1
        async with zoocache.consistent_after(position):
            assert await zoocache.get_async("a") == 1
        async with zoocache.changing("t") as block:
            await zoocache.set_async("b", 1, deps=["t"])
            assert await zoocache.get_async("b") is None
        assert block.position > position
        async with zoocache.invalidation_batch() as batch:
            assert await zoocache.invalidate_async("t") == 0
        assert batch.position > block.position
        await zoocache.clear_async()
        assert await zoocache.get_async("a") is None

    asyncio.run(operations())


def test_a_coroutine_knows_of_a_position_that_it_demands(redis_server):
    with Other(redis_server.url) as other:

        async def demands():
            one = Async(deps=["t"])
            await one.f(1)
            for calls in range(2, 10):
                position = other("invalidate('t')")
                async with zoocache.consistent_after(position):
                    await one.f(1)
                    assert one.calls == calls
                    await one.f(1)
                    assert one.calls == calls

        asyncio.run(demands())


def test_the_loop_goes_on_while_the_server_sleeps(redis_server, consistency):
    kept = Async()
    asyncio.run(kept.f(1))
    cold(redis_server, consistency)

    async def work():
        one = Async()
        asleep = Running(redis_server.ask, "DEBUG", "SLEEP", "1.2")
        await asyncio.sleep(0.05)
        results = await asyncio.gather(
            one.f(1),
            one.f(2),
            one.f.refresh(3),
            one.f.many([(4,), (5,)]),
            zoocache.get_async("key"),
            zoocache.set_async("key", 1),
            zoocache.get_many_async(["key", "other"]),
            zoocache.delete_async("other"),
            zoocache.invalidate_async("t"),
        )
        assert results[:4] == [1, 2, 3, [4, 5]]
        assert one.calls == 4
        asleep.result()

    async def watched():
        return await ticking(work())

    # Far less than the server sleeps.
    assert asyncio.run(watched()) < 0.3


def test_the_loop_goes_on_while_the_server_is_stopped(redis_server):
    async def work():
        one = Async()
        await one.f(1)
        redis_server.pause()
        try:
            assert await asyncio.gather(*(one.f(value) for value in range(20))) == list(range(20))
            with pytest.warns(InvalidationQueued):
                await zoocache.invalidate_async("t")
            with pytest.raises(StorageError):
                await zoocache.invalidate_async("t", wait=True)
            with pytest.warns(InvalidationQueued):
                async with zoocache.changing("t"):
                    await one.f(1)
        finally:
            redis_server.go_on()

    async def watched():
        return await ticking(work())

    assert asyncio.run(watched()) < 0.3


def test_many_reads_share_a_connection(redis_server, consistency):
    kept = Async()
    values = range(500)
    asyncio.run(kept.f.many([(value,) for value in values]))
    cold(redis_server, consistency)

    async def read():
        one = Async()
        assert await asyncio.gather(*(one.f(value) for value in values)) == list(values)
        assert one.calls == 0

    asyncio.run(read())
    # One that asks, and one that hears of changes.
    assert len(redis_server.clients()) == 2


def test_many_calls_take_one_trip(redis_server, consistency):
    one = Async()
    calls = [(value,) for value in range(50)]
    asyncio.run(one.f.many(calls))
    cold(redis_server, consistency)
    redis_server.ask("CONFIG", "RESETSTAT")
    assert asyncio.run(one.f.many(calls)) == list(range(50))
    assert one.calls == 50
    assert redis_server.calls("get") == 50
    assert redis_server.calls("zrangebyscore") < 10


def test_one_computation_for_many_tasks():
    async def misses():
        one = Async()
        assert await asyncio.gather(*(one.f(1) for _ in range(200))) == [1] * 200
        assert one.calls == 1

    asyncio.run(misses())


def test_one_computation_for_tasks_and_threads_without_a_near_cache(redis_server, consistency):
    zoocache.reset()
    configure(storage_url=redis_server.url, consistency=consistency, near_cache=False)

    async def misses():
        one = Async()
        for value in range(20):
            assert await asyncio.gather(*(one.f(value) for _ in range(20))) == [value] * 20
        assert one.calls == 20

    asyncio.run(misses())


def test_cancelling_a_task_that_waits_for_the_server(redis_server):
    one = Async()
    asyncio.run(one.f(1))
    cold(redis_server)

    async def cancels():
        redis_server.pause()
        try:
            tasks = [asyncio.create_task(one.f(value)) for value in range(5)]
            await asyncio.sleep(0.01)
            for task in tasks[1:]:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks[1:])
            assert all(task.cancelled() for task in tasks[1:])
        finally:
            redis_server.go_on()
        assert await tasks[0] == 0
        assert await one.f(2) == 2

    asyncio.run(cancels())
    assert one.calls <= 3


def test_a_task_that_is_cancelled_while_it_stores_has_stored(redis_server):
    one = Async()

    async def cancels():
        await one.f(0)
        redis_server.pause()
        try:
            task = asyncio.create_task(zoocache.set_async("key", 1))
            await asyncio.sleep(0.01)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        finally:
            redis_server.go_on()
        while await zoocache.get_async("key") is None:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(cancels(), 30))


def test_each_loop_has_a_bell_of_its_own(redis_server, consistency):
    def descriptors():
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    one = Async()
    asyncio.run(one.f.many([(value,) for value in range(20)]))
    before = descriptors()

    async def read():
        cold(redis_server, consistency)
        assert await one.f.many([(value,) for value in range(20)]) == list(range(20))

    for _ in range(10):
        asyncio.run(read())
    threads = [
        threading.Thread(target=asyncio.run, args=(one.f.many([(value,) for value in range(20)]),))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert one.calls == 20
    wait_until(lambda: descriptors() <= before)


class NoReaders(asyncio.SelectorEventLoop):
    """A loop as the proactor of Windows, which raises this: it watches no files but its own."""

    def add_reader(self, fd, callback, *args):
        if fd == self._ssock.fileno():
            return super().add_reader(fd, callback, *args)
        raise NotImplementedError


def test_a_loop_that_cannot_watch_a_bell(redis_server, consistency):
    one = Async()
    asyncio.run(one.f(1))
    cold(redis_server, consistency)
    loop = NoReaders()
    try:
        assert loop.run_until_complete(one.f(1)) == 1
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    assert one.calls == 1


def test_a_coroutine_that_is_driven_by_hand(redis_server, consistency):
    async def f(value):
        return value

    f = cacheable(namespace="driven")(f)
    for _ in range(2):
        with pytest.raises(StopIteration) as stopped:
            f(1).send(None)
        assert stopped.value.value == 1
        cold(redis_server, consistency)


def test_stale_values_stand_in(redis_server):
    computed = []

    @cacheable(ttl=0.05, stale_while_revalidate=60, namespace="standing in")
    async def f():
        computed.append(1)
        return len(computed)

    async def reads():
        assert await f() == 1
        while (await f(), len(computed)) == (1, 1):
            await asyncio.sleep(0.001)
        while await f() == 1:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(reads(), 30))


def test_a_lock_among_processes(redis_server):
    source = """
        import asyncio
        from zoocache import cacheable
        calls = []
        async def compute(value):
            calls.append(value)
            await asyncio.sleep(0.3)
            return value
        slow = cacheable(namespace="slow", cluster_lock=True)(compute)
    """
    with Other(redis_server.url) as one, Other(redis_server.url) as two:
        for process in (one, two):
            process.run(source)
        one.begin("asyncio.run(slow(1))")
        wait_until(lambda: [key for key in redis_server.ask("KEYS", "*") if b":l:" in key])
        assert two("asyncio.run(slow(1))") == 1
        assert one.answer() == 1
        assert (one("calls"), two("calls")) == ([1], [])


def test_a_lock_is_given_back_by_a_task_that_is_cancelled(redis_server):
    @cacheable(cluster_lock=True, namespace="cancelled")
    async def never():
        await asyncio.sleep(3_600)

    def locks():
        return [key for key in redis_server.ask("KEYS", "*") if b":l:" in key]

    async def cancels():
        task = asyncio.create_task(never())
        while not locks():
            await asyncio.sleep(0.001)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(cancels(), 30))
    wait_until(lambda: not locks())


def test_listeners_are_told():
    told = []

    async def invalidates():
        with zoocache.on_invalidate(lambda tags, position: told.append((tags, position))):
            return await zoocache.invalidate_async("t")

    position = asyncio.run(invalidates())
    assert told == [(["t"], position)]


@zoocache.invalidates("t")
async def change():
    return "changed"


def test_an_async_function_that_invalidates(redis_server):
    async def changes():
        await zoocache.set_async("key", 1, deps=["t"])
        assert await change() == "changed"
        assert await zoocache.get_async("key") is None

    asyncio.run(changes())


def test_nothing_fails_that_the_log_would_tell_of(redis_server, consistency, caplog):
    async def everything():
        one = Async(deps=["t"], stale_if_error=60)
        for _ in range(3):
            await one.f(1)
            await one.f.refresh(1)
            await one.f.many([(1,), (2,)])
            await zoocache.get_async("key", consistent_after=await zoocache.invalidate_async("t"))

    for place in ({"storage_url": redis_server.url}, {"bus_url": redis_server.url}):
        zoocache.reset()
        configure(consistency=consistency, **place)
        asyncio.run(everything())
        assert zoocache.stats()["storage_errors"] == 0
    assert "goes on without" not in caplog.text

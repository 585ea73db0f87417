"""Cached async functions under what asyncio offers: groups, time limits, shields, several loops."""

import asyncio
import sys
import threading

import pytest
from helpers import DEADLINE, Running, unique, wait_for, wait_until

import zoocache
from zoocache import cacheable, stats


class Fetch:
    """An async cached function that notes its computations and goes on when it may."""

    def __init__(self):
        self.begun = self.cancelled = 0
        self.may_go_on = asyncio.Event()
        self.f = cacheable(copy="share", namespace=f"fetch {id(self)}")(self.fetch)

    async def fetch(self, x=1):
        self.begun += 1
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [x]

    async def until_begun(self, count):
        await until(lambda: self.begun >= count)


async def until(condition):
    async def ask():
        while not condition():
            await asyncio.sleep(0)

    await asyncio.wait_for(ask(), DEADLINE)


async def until_waiting(count):
    await until(lambda: stats()["waits"] >= count)


@pytest.mark.not_on_server("a coroutine asks the server before it computes")
def test_a_time_limit_cancels_the_leader_and_a_waiter_takes_over():
    async def main():
        fetch = Fetch()
        leader = asyncio.create_task(asyncio.wait_for(fetch.f(), 0.01))
        await fetch.until_begun(1)
        waiters = [asyncio.create_task(fetch.f()) for _ in range(3)]
        await until_waiting(3)
        with pytest.raises(asyncio.TimeoutError):
            await leader
        await fetch.until_begun(2)
        fetch.may_go_on.set()
        first, *others = await asyncio.gather(*waiters)
        assert first == [1]
        assert all(other is first for other in others)
        assert (fetch.begun, fetch.cancelled) == (2, 1)

    asyncio.run(main())


def test_a_time_limit_of_a_waiter_concerns_nobody_else():
    async def main():
        fetch = Fetch()
        leader = asyncio.create_task(fetch.f())
        await fetch.until_begun(1)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(fetch.f(), 0.01)
        fetch.may_go_on.set()
        assert await leader is await fetch.f()
        assert fetch.begun == 1

    asyncio.run(main())


def test_a_shielded_computation_goes_on():
    async def main():
        fetch = Fetch()
        inner = asyncio.ensure_future(fetch.f())
        outer = asyncio.create_task(asyncio.wait_for(asyncio.shield(inner), 0.01))
        with pytest.raises(asyncio.TimeoutError):
            await outer
        fetch.may_go_on.set()
        assert await fetch.f() is await inner
        assert (fetch.begun, fetch.cancelled) == (1, 0)

    asyncio.run(main())


def test_as_completed():
    async def main():
        fetch = Fetch()
        calls = [fetch.f(x % 3) for x in range(9)]
        iterator = asyncio.as_completed(calls)
        fetch.may_go_on.set()
        results = [await call for call in iterator]
        assert sorted(results) == sorted([[x % 3] for x in range(9)])
        assert fetch.begun == 3

    asyncio.run(main())


def test_gather_hands_over_the_first_exception_and_lets_the_others_go_on():
    async def main():
        fetch = Fetch()

        @cacheable
        async def failing():
            raise KeyError

        tasks = [asyncio.ensure_future(fetch.f()), asyncio.ensure_future(failing())]
        with pytest.raises(KeyError):
            await asyncio.gather(*tasks)
        fetch.may_go_on.set()
        assert await tasks[0] == [1]
        assert await asyncio.gather(failing(), fetch.f(), return_exceptions=True) != []

    asyncio.run(main())


@pytest.mark.parametrize("who", ["one waiter", "all waiters", "the leader", "everybody"])
def test_cancellation(who):
    async def main():
        fetch = Fetch()
        leader = asyncio.create_task(fetch.f())
        await fetch.until_begun(1)
        waiters = [asyncio.create_task(fetch.f()) for _ in range(4)]
        await until_waiting(4)
        cancelled = {
            "one waiter": waiters[:1],
            "all waiters": waiters,
            "the leader": [leader],
            "everybody": [leader, *waiters],
        }[who]
        for task in cancelled:
            task.cancel()
        left = [task for task in (leader, *waiters) if task not in cancelled]
        for task in cancelled:
            with pytest.raises(asyncio.CancelledError):
                await task
        if who == "the leader":
            await fetch.until_begun(2)
        fetch.may_go_on.set()
        results = await asyncio.gather(*left)
        assert results == [[1]] * len(left)
        assert await fetch.f() == [1]
        assert fetch.begun == (2 if leader in cancelled else 1)

    asyncio.run(main())


def test_nothing_is_left_running():
    async def main():
        fetch = Fetch()
        tasks = [asyncio.create_task(fetch.f(x)) for x in (1, 1, 2)]
        await fetch.until_begun(2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


if sys.version_info >= (3, 11):

    def test_a_failing_sibling_cancels_a_group():
        class Failed(Exception):
            pass

        async def main():
            fetch = Fetch()

            async def fail():
                await fetch.until_begun(1)
                raise Failed

            async def together():
                async with asyncio.TaskGroup() as group:
                    group.create_task(fetch.f())
                    group.create_task(fetch.f())
                    group.create_task(fail())

            with pytest.raises(ExceptionGroup) as caught:  # noqa: F821 - of Python 3.11
                await together()
            assert isinstance(caught.value.exceptions[0], Failed)
            assert fetch.cancelled >= 1
            fetch.may_go_on.set()
            assert await fetch.f() == [1]

        asyncio.run(main())

    def test_somebody_outside_of_a_cancelled_group_takes_over():
        async def main():
            fetch = Fetch()
            outside = []

            async def fail():
                await fetch.until_begun(1)
                outside.append(asyncio.create_task(fetch.f()))
                await until_waiting(1)
                raise KeyError

            async def together():
                async with asyncio.TaskGroup() as group:
                    group.create_task(fetch.f())
                    group.create_task(fail())

            with pytest.raises(ExceptionGroup):  # noqa: F821 - of Python 3.11
                await together()
            await fetch.until_begun(2)
            fetch.may_go_on.set()
            assert await outside[0] == [1]

        asyncio.run(main())

    def test_a_timeout_block():
        async def main():
            fetch = Fetch()

            async def bounded(seconds):
                async with asyncio.timeout(seconds):
                    return await fetch.f()

            with pytest.raises(TimeoutError):
                await bounded(0.01)
            assert fetch.cancelled == 1
            fetch.may_go_on.set()
            assert await bounded(DEADLINE) == [1]

        asyncio.run(main())


class Loops:
    """A function of which the first computation stops until it may go on, for loops in several threads."""

    def __init__(self):
        self.calls = []
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.f = cacheable(copy="share", namespace=f"loops {id(self)}")(self.fetch)

    async def fetch(self):
        self.calls.append(threading.get_ident())
        self.begun.set()
        while not self.may_go_on.is_set():
            await asyncio.sleep(0.001)
        return unique()


def test_two_loops_share_a_computation():
    loops = Loops()

    def run():
        return asyncio.run(loops.f())

    first = Running(run)
    wait_for(loops.begun)
    second = Running(run)
    wait_until(lambda: stats()["waits"] >= 1)
    loops.may_go_on.set()
    assert first.result() is second.result()
    assert len(loops.calls) == 1


def test_a_waiter_in_another_loop_takes_over_from_a_cancelled_leader():
    loops = Loops()
    cancel = threading.Event()

    async def lead():
        task = asyncio.create_task(loops.f())
        while not cancel.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while len(loops.calls) < 2:
            await asyncio.sleep(0.001)
        # This loop goes on: it can wait for the other now.
        return await loops.f()

    first = Running(lambda: asyncio.run(lead()))
    wait_for(loops.begun)
    second = Running(lambda: (threading.get_ident(), asyncio.run(loops.f())))
    wait_until(lambda: stats()["waits"] >= 1)
    cancel.set()
    wait_until(lambda: len(loops.calls) == 2)
    loops.may_go_on.set()
    thread, value = second.result()
    assert loops.calls[1] == thread
    assert first.result() is value
    assert len(loops.calls) == 2


def test_many_loops_and_threads_with_cancellation_end():
    calls = []

    @cacheable
    async def fetch(x):
        calls.append(x)
        await asyncio.sleep(0.001)
        return x

    async def main():
        for x in range(20):
            tasks = [asyncio.create_task(fetch(x)) for _ in range(5)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            assert await asyncio.gather(*tasks[1:]) == [x] * 4
            # Unless another loop was done before.
            (first,) = await asyncio.gather(tasks[0], return_exceptions=True)
            assert first == x or isinstance(first, asyncio.CancelledError)
        return True

    threads = [Running(lambda: asyncio.run(main())) for _ in range(4)]
    assert all(thread.result() for thread in threads)
    zoocache.clear()

"""Computations in the background: none of them, begun or not, keeps anybody waiting in vain."""

import asyncio
import contextvars
import gc
import threading
import weakref

import pytest
from helpers import Running, program, wait_for, wait_until

from zoocache import cacheable, invalidate, stats

THREADS = 8


class Slow:
    """A function of which calls in the background wait until they may go on."""

    def __init__(self):
        self.is_slow = False
        self.go_on = threading.Event()
        self.running = 0

    def __call__(self, number):
        if self.is_slow:
            self.running += 1
            wait_for(self.go_on)
        return number


@pytest.fixture
def busy(clock):
    """All threads of the background are busy, until `busy.go_on` is set."""
    slow = Slow()
    function = cacheable(ttl=10, stale_while_revalidate=3600, namespace="busy")(slow.__call__)
    for number in range(THREADS):
        function(number)
    clock.advance(11)
    slow.is_slow = True
    for number in range(THREADS):
        function(number)
    wait_until(lambda: slow.running == THREADS)
    yield slow
    slow.go_on.set()


@pytest.mark.parametrize("options", [{"stale_while_revalidate": 60}, {"timeout": 0}])
def test_a_reader_does_not_wait_for_what_has_not_begun(clock, busy, options):
    source = [1]
    function = cacheable(ttl=10, deps=["source"], **options)(lambda: source[0])
    assert function() == 1
    clock.advance(11)
    assert function() == 1  # waits for a thread
    source[0] = 2
    invalidate("source")
    assert Running(function).result() == 2
    assert function() == 2
    busy.go_on.set()
    wait_until(lambda: stats()["computations"] == 2 * THREADS + 2)
    assert function() == 2


def test_background_computations_that_need_one_another_go_on(clock):
    inner = cacheable(ttl=10, stale_while_revalidate=5, timeout=0.001, namespace="inner")(
        lambda number: number
    )
    outer = cacheable(ttl=10, stale_while_revalidate=60, namespace="outer")(inner.__call__)
    for number in range(4 * THREADS):
        outer(number)
    clock.advance(12)
    for number in range(4 * THREADS):
        inner(number)
        outer(number)
    wait_until(lambda: stats()["computations"] >= 4 * 4 * THREADS)


@pytest.mark.parametrize("begun", [False, True])
def test_a_task_whose_loop_was_closed_keeps_nobody_waiting(clock, begun):
    is_slow = False

    @cacheable(ttl=10, stale_while_revalidate=60, deps=["source"])
    async def function():
        if is_slow:
            await asyncio.sleep(3600)
        return is_slow

    async def leave():
        assert await function() is False
        if begun:
            await asyncio.sleep(0)

    asyncio.run(function())
    clock.advance(11)
    is_slow = True
    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    is_slow = False
    invalidate("source")
    assert Running(asyncio.run, function()).result() is False


def test_a_task_that_has_not_begun_is_called_off_and_never_runs(clock):
    calls = []

    @cacheable(ttl=10, stale_while_revalidate=60, deps=["source"])
    async def function():
        calls.append(1)
        return len(calls)

    async def main():
        assert await function() == 1
        clock.advance(11)
        assert await function() == 1
        invalidate("source")
        assert await function() == 2
        for _ in range(5):
            await asyncio.sleep(0)
        assert await function() == 2

    asyncio.run(main())
    assert len(calls) == 2


def test_the_end_of_the_program_drops_what_has_not_begun():
    printed = program(
        """
        import concurrent.futures.thread
        import threading
        import time
        from zoocache import cacheable
        from zoocache.testing import frozen_time

        begun = threading.Semaphore(0)
        is_slow = False

        @cacheable(ttl=10, stale_while_revalidate=60)
        def function(number):
            if is_slow:
                begun.release()
                while not concurrent.futures.thread._shutdown:
                    time.sleep(0.001)
                print("computed")
            return number

        with frozen_time() as clock:
            for number in range(50):
                function(number)
            clock.advance(11)
            is_slow = True
            for number in range(50):
                function(number)
            for _ in range(8):
                begun.acquire()
        """
    )
    assert printed.count("computed") == THREADS


def test_the_context_of_a_call_is_let_go_after_its_computation(clock):
    class Request:
        pass

    request = contextvars.ContextVar("request")

    @cacheable(ttl=10, stale_while_revalidate=60)
    def function():
        return 1

    def handle():
        own = Request()
        request.set(own)
        function()
        return weakref.ref(own)

    function()
    clock.advance(11)
    seen = contextvars.copy_context().run(handle)
    wait_until(lambda: gc.collect() >= 0 and seen() is None)


def test_what_is_no_exception_ends_no_thread(clock, caplog):
    error = None

    @cacheable(ttl=10, stale_while_revalidate=3600)
    def function(number):
        if error is not None:
            raise error
        return number

    for number in range(2 * THREADS):
        function(number)
    clock.advance(11)
    error = SystemExit("leave")
    for number in range(2 * THREADS):
        assert function(number) == number
    wait_until(lambda: stats()["refreshes"] == 2 * THREADS and caplog.records)
    assert "leave" in caplog.text
    error = None
    wait_until(lambda: function(0) == 0 and stats()["computations"] > 2 * THREADS)


def test_what_a_cancelled_computation_raises_is_logged_and_not_lost(clock, caplog):
    is_slow = False

    @cacheable(ttl=10, timeout=30)
    async def function():
        try:
            if is_slow:
                await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise OSError("interrupted") from None

    async def main():
        nonlocal is_slow
        await function()
        clock.advance(11)
        is_slow = True
        caller = asyncio.create_task(function())
        for _ in range(5):
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

    asyncio.run(main())
    gc.collect()
    assert "interrupted" in caplog.text
    assert {record.name for record in caplog.records} == {"zoocache"}

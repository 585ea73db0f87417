"""Single flight: one computation of a key at a time, shared by threads and tasks."""

import asyncio
import contextvars
import gc
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from helpers import DEADLINE, Running, unique, wait_for, wait_until

import zoocache
from zoocache import cacheable, configure, invalidate


class Gate:
    """A function that says that it has begun, and goes on when it may."""

    def __init__(self, result=unique, copy="share"):
        self.calls = 0
        self.begun = threading.Event()
        self.may_go_on = threading.Event()
        self.result = result
        self.f = cacheable(copy=copy)(self.run)

    def run(self, *args):
        self.calls += 1
        self.begun.set()
        wait_for(self.may_go_on)
        return self.result()

    def wait_for_waiters(self, count):
        wait_until(lambda: zoocache.stats()["waits"] >= count)


def test_a_thousand_threads_make_one_computation():
    gate = Gate()
    threads = [Running(gate.f) for _ in range(1000)]
    wait_for(gate.begun)
    gate.wait_for_waiters(999)
    gate.may_go_on.set()
    assert len({id(thread.result()) for thread in threads}) == 1
    assert gate.calls == 1


def test_a_thousand_tasks_make_one_computation():
    calls = []

    async def main():
        may_go_on = asyncio.Event()

        @cacheable
        async def f():
            calls.append(1)
            await may_go_on.wait()
            return unique()

        tasks = [asyncio.create_task(f()) for _ in range(1000)]
        while zoocache.stats()["waits"] < 999:
            await asyncio.sleep(0)
        may_go_on.set()
        assert len(set(await asyncio.gather(*tasks))) == 1

    asyncio.run(main())
    assert len(calls) == 1


def test_tasks_of_many_loops_make_one_computation():
    calls = []
    begun, may_go_on = threading.Event(), threading.Event()

    @cacheable
    async def f():
        calls.append(1)
        begun.set()
        await asyncio.to_thread(wait_for, may_go_on)
        return unique()

    async def main():
        return await asyncio.gather(*(f() for _ in range(10)))

    loops = [Running(lambda: asyncio.run(main())) for _ in range(5)]
    wait_for(begun)
    wait_until(lambda: zoocache.stats()["waits"] >= 49)
    may_go_on.set()
    assert len({value for loop in loops for value in loop.result()}) == 1
    assert len(calls) == 1


def test_every_waiter_gets_the_leaders_exception_itself():
    error = LookupError("the very same")

    def fail():
        raise error

    gate = Gate(fail)
    threads = [Running(gate.f) for _ in range(20)]
    wait_for(gate.begun)
    gate.wait_for_waiters(19)
    gate.may_go_on.set()
    assert {thread.error() for thread in threads} == {error}
    assert gate.calls == 1
    # The next call computes again.
    with pytest.raises(LookupError) as caught:
        gate.f()
    assert caught.value is error
    assert gate.calls == 2


def test_every_waiting_task_gets_the_leaders_exception_itself():
    error = LookupError("the very same")
    calls = []

    async def main():
        may_go_on = asyncio.Event()

        @cacheable
        async def f():
            calls.append(1)
            await may_go_on.wait()
            raise error

        tasks = [asyncio.create_task(f()) for _ in range(20)]
        while zoocache.stats()["waits"] < 19:
            await asyncio.sleep(0)
        may_go_on.set()
        assert set(await asyncio.gather(*tasks, return_exceptions=True)) == {error}

    asyncio.run(main())
    assert len(calls) == 1


@pytest.mark.memory_only("it resets the cache")
def test_a_waiter_takes_over_from_a_leader_that_was_interrupted():
    interrupts = [KeyboardInterrupt(), SystemExit(3), GeneratorExit()]
    for interrupt in interrupts:
        outcome = [interrupt, "value"]

        def run(outcome=outcome):
            result = outcome.pop(0)
            if isinstance(result, BaseException):
                raise result
            return result

        zoocache.reset()
        gate = Gate(run)
        leader = Running(gate.f)
        wait_for(gate.begun)
        waiters = [Running(gate.f) for _ in range(5)]
        gate.wait_for_waiters(5)
        gate.may_go_on.set()
        assert leader.error() is interrupt
        assert [waiter.result() for waiter in waiters] == ["value"] * 5
        assert gate.calls == 2


@pytest.mark.not_on_server("a coroutine asks the server before it computes")
def test_a_waiter_takes_over_from_a_leader_that_was_cancelled():
    calls = []

    async def main():
        may_go_on = asyncio.Event()

        @cacheable
        async def f():
            calls.append(1)
            await may_go_on.wait()
            return "value"

        leader = asyncio.create_task(f())
        await asyncio.sleep(0)
        waiters = [asyncio.create_task(f()) for _ in range(5)]
        await asyncio.sleep(0)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        while len(calls) < 2:
            await asyncio.sleep(0)
        may_go_on.set()
        assert await asyncio.gather(*waiters) == ["value"] * 5

    asyncio.run(main())
    assert len(calls) == 2


def test_a_leader_that_is_cancelled_before_it_was_ever_run():
    @cacheable
    async def f(x):
        await asyncio.sleep(0)
        return x

    async def main():
        for x in range(5):
            tasks = [asyncio.create_task(f(x)) for _ in range(3)]
            tasks[0].cancel()
            assert await asyncio.gather(*tasks[1:]) == [x, x]
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]

    asyncio.run(main())


@pytest.mark.not_on_server("a coroutine asks the server before it computes")
def test_a_leader_that_is_cancelled_before_its_first_await():
    calls = []

    async def main():
        @cacheable
        async def f():
            calls.append(1)
            if len(calls) == 1:
                asyncio.current_task().cancel()
            await asyncio.sleep(0)
            return "value"

        tasks = [asyncio.create_task(f()) for _ in range(3)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == ["value", "value"]

    asyncio.run(main())
    assert len(calls) == 2


@pytest.mark.not_on_server("a coroutine asks the server before it computes")
def test_all_are_cancelled_and_the_next_caller_computes():
    calls = []

    async def main():
        never = asyncio.Event()

        @cacheable
        async def f():
            calls.append(1)
            if len(calls) == 1:
                await never.wait()
            return "value"

        tasks = [asyncio.create_task(f()) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in reversed(tasks):
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        assert await f() == "value"

    asyncio.run(main())
    assert len(calls) == 2


def test_cancelled_waiters_do_not_disturb_the_others():
    async def main():
        may_go_on = asyncio.Event()

        @cacheable
        async def f():
            await may_go_on.wait()
            return unique()

        tasks = [asyncio.create_task(f()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[1::2]:
            task.cancel()
        await asyncio.sleep(0)
        may_go_on.set()
        assert len(set(await asyncio.gather(*tasks[0::2]))) == 1
        assert all(task.cancelled() for task in tasks[1::2])

    asyncio.run(main())


def test_a_loop_that_ends_while_its_leader_runs_hands_over_to_another_loop():
    calls = []
    begun = threading.Event()

    @cacheable
    async def f():
        calls.append(1)
        if len(calls) == 1:
            begun.set()
            await asyncio.Event().wait()
        return "value"

    loop = asyncio.new_event_loop()
    coroutine = f()

    async def abandon():
        task = asyncio.create_task(coroutine)
        while not begun.is_set():
            await asyncio.sleep(0)
        waiter.append(Running(lambda: asyncio.run(get_it())))
        while zoocache.stats()["waits"] < 1:
            await asyncio.sleep(0.001)
        task.cancel()

    async def get_it():
        return await f()

    waiter = []
    loop.run_until_complete(abandon())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert waiter[0].result() == "value"


def test_waiters_whose_loop_is_closed_are_forgotten():
    gate_open, begun = threading.Event(), threading.Event()

    @cacheable
    async def f():
        begun.set()
        await asyncio.to_thread(wait_for, gate_open)
        return "value"

    leader = Running(lambda: asyncio.run(start_plain(f)))
    wait_for(begun)

    async def wait_a_little():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(f(), 0.01)

    asyncio.run(wait_a_little())
    gate_open.set()
    assert leader.result() == "value"


def test_recursion_is_an_error_at_once():
    @cacheable
    def f(x):
        return f(x)

    @cacheable
    def ping(x):
        return pong(x)

    @cacheable
    def pong(x):
        return ping(x)

    started = time.monotonic()
    for function in (f, ping):
        with pytest.raises(RecursionError, match=function.__name__):
            function(1)
    assert time.monotonic() - started < DEADLINE

    @cacheable
    def fine(n):
        return n if n == 0 else fine(n - 1) + 1

    assert fine(50) == 50


def test_async_recursion_is_an_error_at_once():
    @cacheable
    async def f(x):
        return await f(x)

    @cacheable
    async def through_a_task(x):
        return await asyncio.create_task(through_a_task(x))

    @cacheable
    async def through_gather(x):
        return await asyncio.gather(asyncio.sleep(0), through_gather(x))

    @cacheable
    async def through_a_thread(x):
        return await asyncio.to_thread(back, x)

    @cacheable
    def back(x):
        return asyncio.run(again(x))

    async def again(x):
        return await through_a_thread(x)

    for function in (f, through_a_task, through_gather, through_a_thread):
        with pytest.raises(RecursionError):
            asyncio.run(asyncio.wait_for(start(function), DEADLINE))


async def start(function):
    return await function(1)


def test_threads_that_wait_for_each_other_do_not_deadlock():
    barrier = threading.Barrier(2, timeout=DEADLINE)
    first = [True, True]

    @cacheable
    def f(x):
        if first[x]:
            first[x] = False
            barrier.wait()
            return [x, f(1 - x)]
        return [x]

    threads = [Running(f, x) for x in (0, 1)]
    for x, thread in enumerate(threads):
        assert thread.result()[0] == x


def test_a_ring_of_threads_does_not_deadlock():
    count = 5
    barrier = threading.Barrier(count, timeout=DEADLINE)
    local = threading.local()

    @cacheable
    def f(x):
        if not getattr(local, "inside", False):
            local.inside = True
            barrier.wait()
            return f((x + 1) % count) + 1
        return 0

    threads = [Running(f, x) for x in range(count)]
    assert all(thread.result() >= 0 for thread in threads)


def test_loops_that_wait_for_each_other_do_not_deadlock():
    barrier = threading.Barrier(2, timeout=DEADLINE)
    entered = set()

    @cacheable
    async def f(x):
        if x not in entered:
            entered.add(x)
            await asyncio.to_thread(barrier.wait)
            return [x, await f(1 - x)]
        return [x]

    async def call(x):
        return await f(x)

    threads = [Running(lambda x=x: asyncio.run(call(x))) for x in (0, 1)]
    for x, thread in enumerate(threads):
        assert thread.result()[0] == x


def test_tasks_that_wait_for_each_other_do_not_deadlock():
    async def main():
        both = asyncio.Event()
        entered = set()

        @cacheable
        async def f(x):
            if x not in entered:
                entered.add(x)
                if len(entered) == 2:
                    both.set()
                await both.wait()
                return [x, await f(1 - x)]
            return [x]

        results = await asyncio.wait_for(asyncio.gather(f(0), f(1)), DEADLINE)
        assert [result[0] for result in results] == [0, 1]

    asyncio.run(main())


def test_a_thread_and_a_loop_that_wait_for_each_other_do_not_deadlock():
    barrier = threading.Barrier(2, timeout=DEADLINE)
    entered = set()

    @cacheable
    def in_thread(x):
        if x not in entered:
            entered.add(x)
            barrier.wait()
            return asyncio.run(start(in_loop))
        return "thread"

    @cacheable
    async def in_loop(x):
        if "loop" not in entered:
            entered.add("loop")
            await asyncio.to_thread(barrier.wait)
            return await asyncio.to_thread(in_thread, 1)
        return "loop"

    threads = [Running(in_thread, 1), Running(lambda: asyncio.run(start(in_loop)))]
    for thread in threads:
        assert thread.result() in ("thread", "loop")


def test_a_loop_is_never_blocked_by_a_thread_that_computes():
    gate = Gate()
    leader = Running(gate.f)
    wait_for(gate.begun)
    gate.begun.clear()

    async def main():
        # Inside of the loop the sync function computes beside the thread, which only the loop lets go on.
        asyncio.get_running_loop().call_soon(gate.may_go_on.set)
        waiting = asyncio.create_task(asyncio.to_thread(gate.f))
        await asyncio.sleep(0)
        await waiting

    asyncio.run(main())
    leader.result()


def test_a_sync_function_inside_of_a_loop_does_not_wait():
    begun, may_go_on = threading.Event(), threading.Event()
    in_loop = threading.local()

    @cacheable
    def f():
        if getattr(in_loop, "yes", False):
            return "loop"
        begun.set()
        wait_for(may_go_on)
        return "thread"

    leader = Running(f)
    wait_for(begun)

    async def main():
        in_loop.yes = True
        try:
            return f()
        finally:
            may_go_on.set()

    assert asyncio.run(main()) == "loop"
    assert leader.result() == "thread"


def test_a_waiter_computes_for_itself_after_the_flight_timeout():
    configure(flight_timeout=0.05)
    begun, may_go_on = threading.Event(), threading.Event()
    calls = []

    @cacheable
    def f():
        calls.append(1)
        if len(calls) == 1:
            begun.set()
            wait_for(may_go_on)
            return "slow"
        return "fast"

    leader = Running(f)
    wait_for(begun)
    assert f() == "fast"
    may_go_on.set()
    assert leader.result() == "slow"
    assert f() == "fast"
    assert zoocache.stats()["timeouts"] == 1


@pytest.mark.not_on_server("a coroutine asks the server before it computes")
def test_a_waiting_task_computes_for_itself_after_the_flight_timeout():
    configure(flight_timeout=0.05)
    calls = []

    async def main():
        may_go_on = asyncio.Event()

        @cacheable
        async def f():
            calls.append(1)
            if len(calls) == 1:
                await may_go_on.wait()
                return "slow"
            return "fast"

        leader = asyncio.create_task(f())
        await asyncio.sleep(0)
        assert await f() == "fast"
        may_go_on.set()
        assert await leader == "slow"
        assert await f() == "fast"

    asyncio.run(main())


def test_a_huge_flight_timeout_waits():
    configure(flight_timeout=1e300)
    gate = Gate()
    threads = [Running(gate.f) for _ in range(3)]
    gate.wait_for_waiters(2)

    async def main():
        @cacheable
        async def f():
            await asyncio.sleep(0)
            return unique()

        first, second = await asyncio.gather(f(), f())
        assert first is second

    asyncio.run(main())
    gate.may_go_on.set()
    assert len({thread.result() for thread in threads}) == 1


def test_ctrl_c_interrupts_waiting():
    source = """
        import signal, threading
        from zoocache import cacheable
        begun, never = threading.Event(), threading.Event()
        # Whoever runs the tests in the background of a script has them ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        @cacheable
        def f():
            begun.set()
            never.wait(60)

        threading.Thread(target=f, daemon=True).start()
        begun.wait()
        try:
            print("waiting", flush=True)
            f()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", textwrap.dedent(source)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.1)  # Most likely it waits by now; if not, the test proves less but does not fail.
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        process.wait(DEADLINE)


def test_different_keys_do_not_wait_for_each_other():
    barrier = threading.Barrier(10, timeout=DEADLINE)

    @cacheable
    def f(x):
        barrier.wait()
        return x

    assert [thread.result() for thread in [Running(f, x) for x in range(10)]] == list(range(10))


def test_context_variables_are_those_of_the_caller():
    variable = contextvars.ContextVar("variable", default="nothing")

    @cacheable
    def f(x):
        seen = variable.get()
        variable.set(f"set by {x}")
        return seen

    @cacheable
    async def g(x):
        seen = variable.get()
        variable.set("changed")
        await asyncio.sleep(0)
        return seen

    async def main():
        variable.set("mine")
        assert await g(1) == "mine"
        # As with any coroutine that is awaited: what it sets stays set.
        assert variable.get() == "changed"
        variable.set("task")
        assert await asyncio.create_task(g(2)) == "task"
        assert variable.get() == "task"

    variable.set("outside")
    assert f(1) == "outside"
    assert variable.get() == "set by 1"
    contextvars.copy_context().run(asyncio.run, main())


def test_an_abandoned_computation_is_taken_over():
    """A coroutine that was begun by hand and dropped."""
    calls = []

    @cacheable
    async def f():
        calls.append(1)
        await asyncio.sleep(0)
        return "value"

    coroutine = f()
    coroutine.send(None)
    del coroutine
    gc.collect()
    assert asyncio.run(start_plain(f)) == "value"
    assert len(calls) == 2


async def start_plain(function):
    return await function()


def test_a_computation_that_is_closed_in_another_context():
    @cacheable
    async def f():
        await asyncio.sleep(0)

    coroutine = f()
    contextvars.copy_context().run(coroutine.send, None)
    coroutine.close()
    assert asyncio.run(start_plain(f)) is None


def test_invalidations_during_a_stampede():
    truth = [0]

    @cacheable(deps=["a"], copy="share")
    def f():
        return truth[0]

    def read():
        for _ in range(300):
            least = truth[0] - 1  # the last one may not have been invalidated yet
            assert f() >= least

    def write():
        for _ in range(300):
            truth[0] += 1
            invalidate("a")

    for thread in [Running(read) for _ in range(8)] + [Running(write)]:
        thread.result()
    assert f() == 300

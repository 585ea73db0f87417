"""A process forked after the cache was used, or while it is being used, has a cache that works."""

import textwrap

import pytest
from helpers import program

PREAMBLE = """
import asyncio, faulthandler, gc, multiprocessing, os, signal, sys, threading, time, warnings, weakref
faulthandler.dump_traceback_later(50, exit=True)
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: the point here
import zoocache
from zoocache import _native, cacheable, clear, configure, get, invalidate, reset, stats

runs = []

@cacheable(deps=lambda number: [f"item:{number}"])
def function(number):
    runs.append(number)
    return [number, len(runs)]

def in_child(work):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            # Not faulthandler's own timer: started in the parent, it never stops in a child.
            signal.alarm(40)
            work()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0

def everything():
    zoocache.set("key", "value", deps=["tag"])
    assert get("key") == "value"
    invalidate("tag")
    assert get("key") is None
    assert function(99)[0] == 99
    assert function(99) == function(99)
    _native.NativeCache().sweep()
    clear()
    assert stats()["entries"] == 0
    reset()
    configure(max_entries=5)
    for number in range(50):
        assert function(number)[0] == number
    assert stats()["entries"] <= 5
"""


def run(source):
    assert program(PREAMBLE + textwrap.dedent(source) + "\nprint('done')") == "done\n"


def test_a_child_has_what_the_parent_had():
    run("""
        assert function(1) == [1, 1]

        def child():
            assert function(1) == [1, 1]
            invalidate("item:1")
            assert function(1) == [1, 2]
            assert function(2) == [2, 3]
            everything()

        in_child(child)
        # The child's memory is its own.
        assert function(1) == [1, 1]
        assert function(2) == [2, 2]
        everything()
    """)


def test_a_child_of_a_parent_that_never_used_the_cache():
    run("""
        in_child(everything)
        everything()
    """)


def test_a_child_of_a_child():
    run("""
        everything()
        in_child(lambda: (everything(), in_child(everything), everything()))
        everything()
    """)


@pytest.mark.parametrize("key", ["the same", "another"])
def test_while_another_thread_of_the_parent_computes(key):
    run(f"""
        argument = {1 if key == "the same" else 2}
        inside, proceed = threading.Event(), threading.Event()
        parent = os.getpid()

        @cacheable
        def slow(number):
            if os.getpid() == parent and number == 1:
                inside.set()
                assert proceed.wait(30)
            return os.getpid()

        thread = threading.Thread(target=slow, args=(1,))
        thread.start()
        assert inside.wait(30)

        def child():
            # The thread that computes it is not in this process.
            assert slow(argument) == os.getpid()
            assert slow(argument) == os.getpid()
            invalidate(slow.tag)
            assert slow(argument) == os.getpid()
            everything()

        for _ in range(3):
            in_child(child)
        proceed.set()
        thread.join()
        assert slow(1) == parent
    """)


def test_while_a_task_of_the_parent_computes():
    run("""
        @cacheable
        async def slow(number):
            await asyncio.sleep(0)
            return number

        computing = slow(1)
        computing.send(None)

        def child():
            assert asyncio.run(asyncio.wait_for(asyncio.to_thread(lambda: asyncio.run(slow(2))), 30)) == 2
            everything()

        in_child(child)
        try:
            computing.send(None)
        except StopIteration as stop:
            assert stop.value == 1
        assert asyncio.run(slow(1)) == 1
    """)


def test_while_other_threads_of_the_parent_use_the_cache():
    run("""
        sys.setswitchinterval(1e-4)
        stop = threading.Event()

        def sweep():
            while not stop.is_set():
                _native.NativeCache().sweep()
                _native.NativeCache().prune(0)

        def use():
            number = 0
            while not stop.is_set():
                number += 1
                zoocache.set(f"key {number % 500}", number, deps=[f"tag:{number % 50}"], ttl=0.001)
                function(number % 20)
                invalidate(f"tag:{number % 60}", f"item:{number % 20}")
                if number % 100 == 0:
                    clear()

        threads = [threading.Thread(target=target, daemon=True) for target in (sweep, use, use)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            in_child(everything)
        stop.set()
        for thread in threads:
            thread.join()
        everything()
    """)


def test_what_expires_is_freed_in_the_child():
    run("""
        class Value:
            pass

        def expiring():
            value = Value()
            zoocache.set("expiring", value, ttl=0.01)
            died = weakref.ref(value)
            del value
            end = time.monotonic() + 30
            while died() is not None:
                assert time.monotonic() < end, "not freed"
                time.sleep(0.001)

        zoocache.set("started", 1)  # and with it what works in the background
        in_child(expiring)
    """)


def test_a_pool_of_forked_processes():
    run("""
        function(1)
        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:
            assert {number for number, _ in pool.map(function, [1, 2, 3] * 20)} == {1, 2, 3}
        process = context.Process(target=everything)
        process.start()
        process.join(30)
        assert process.exitcode == 0
    """)


def test_asyncio_in_the_child():
    run("""
        @cacheable
        async def awaited(number):
            await asyncio.sleep(0)
            return number

        async def main():
            assert await asyncio.gather(*(awaited(1) for _ in range(20))) == [1] * 20
            assert await awaited(2) == 2

        asyncio.run(main())
        in_child(lambda: asyncio.run(main()))
        in_child(lambda: (reset(), asyncio.run(main())))
    """)

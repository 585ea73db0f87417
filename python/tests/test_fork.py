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


def test_workers_of_a_server_that_loads_the_application_first():
    # As gunicorn --preload: the parent configures, imports the application and warms the cache.
    run("""
        WORKERS, THREADS, ROUNDS = 4, 4, 200
        configure(max_entries=10_000, default_ttl=60)

        @cacheable
        async def awaited(number):
            await asyncio.sleep(0)
            runs.append(number)
            return [number]

        @cacheable(ttl=0.001)
        def brief(number):
            return object()

        async def warm():
            results = await asyncio.gather(*(awaited(number) for number in range(50)))
            assert results == [[number] for number in range(50)]

        asyncio.run(warm())
        for number in range(50):
            function(number)
            brief(number)  # work for what sweeps in the background
        warmed = [function(number) for number in range(50)]
        parent_runs = len(runs)

        def use(thread):
            for round in range(ROUNDS):
                number = (thread * 7 + round) % 60
                assert function(number)[0] == number
                brief(round)
                zoocache.set(f"{thread} {round}", round, deps=["set"], ttl=0.001)
                if round % 10 == thread:
                    invalidate(f"item:{number}")

        async def use_loop():
            for round in range(ROUNDS):
                results = await asyncio.gather(*(awaited(round % 60) for _ in range(3)))
                assert results == [[round % 60]] * 3
                if round % 20 == 0:
                    awaited.invalidate(round % 60)

        def serve(worker):
            # What the parent warmed is here.
            assert [function(number) for number in range(50)] == warmed
            assert len(runs) == parent_runs
            invalidate(f"item:{worker}")
            # Only in this process: the others' are hits still.
            for other in range(WORKERS):
                assert (function(other) == warmed[other]) == (other != worker)
            errors = []

            def guarded(work, *args):
                try:
                    work(*args)
                except BaseException as error:
                    errors.append(error)

            threads = [threading.Thread(target=guarded, args=(use, thread)) for thread in range(THREADS)]
            threads.append(threading.Thread(target=guarded, args=(lambda: asyncio.run(use_loop()),)))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not errors, errors
            everything()

        children = []
        for worker in range(WORKERS):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    # A child that hangs says where, and ends.
                    faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
                    signal.alarm(30)
                    serve(worker)
                    status = 0
                except BaseException:
                    import traceback
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(status)
            children.append(child)
        # Meanwhile the parent invalidates, which is no business of the children's.
        for number in range(50):
            invalidate(f"item:{number}")
        for child in children:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert all(function(number) != warmed[number] for number in range(50))
        asyncio.run(warm())
        everything()
    """)


def test_while_another_thread_of_the_parent_imports():
    run("""
        from importlib.machinery import PathFinder

        for name in [name for name in sys.modules if name == "asyncio" or name.startswith("asyncio.")]:
            del sys.modules[name]  # nobody has used it yet
        begun, proceed = threading.Event(), threading.Event()

        class Slow:
            # Stops the import of a part of asyncio until the process is about to fork.
            def find_spec(self, name, path=None, target=None):
                if name != "asyncio.events" or begun.is_set():
                    return None
                spec = PathFinder.find_spec(name, path)
                execute = spec.loader.exec_module

                def slowly(module):
                    begun.set()
                    assert proceed.wait(30)
                    time.sleep(0.2)  # a process that does not wait for this forks meanwhile
                    execute(module)

                spec.loader.exec_module = slowly
                return spec

        sys.meta_path.insert(0, Slow())

        def decorate():
            @cacheable
            async def awaited(number):
                return [number]
            return awaited

        importing = threading.Thread(target=decorate)
        importing.start()
        assert begun.wait(30)
        # Called before what the package does before a fork.
        os.register_at_fork(before=proceed.set)

        def child():
            import asyncio
            assert asyncio.run(decorate()(1)) == [1]
            assert function(1)[0] == 1
            everything()

        in_child(child)
        importing.join()
        in_child(child)
        child()
    """)


def test_descriptions_of_arguments_are_imported_before_a_fork():
    run("""
        import datetime
        assert "zoocache._keys" not in sys.modules

        def child():
            assert {"zoocache._keys", "zoocache._context"} <= set(sys.modules)
            assert function(datetime.date(2020, 1, 1)) == [datetime.date(2020, 1, 1), 1]

        in_child(child)
    """)

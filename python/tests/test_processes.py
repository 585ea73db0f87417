"""Forked processes, threads that come and go, the end of the interpreter, and errors of our own."""

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from helpers import DEADLINE, Running, program, run_program, wait_for, wait_until

import zoocache
from zoocache import cacheable, configure, get, invalidate, reset

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def in_child(check):
    """Run `check` in a forked child and fail here if it fails there."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(DEADLINE)
            check()
        except BaseException:  # noqa: BLE001 - reported and counted
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@cacheable(deps=["a"])
def f(x):
    return [x]


@cacheable(deps=["a"])
async def g(x):
    import asyncio  # noqa: PLC0415

    await asyncio.sleep(0)
    return [x]


def use_everything():
    import asyncio  # noqa: PLC0415

    async def main():
        assert await asyncio.gather(g(1), g(1), g(2)) == [[1], [1], [2]]

    for _ in range(2):
        assert f(1) == [1]
        asyncio.run(main())
        zoocache.set("key", 1, deps=["a"])
        assert get("key") == 1
        invalidate("a")
        assert get("key") is None
        zoocache.prune(0)
        zoocache.clear()
    f(1)
    hits = f.stats()["hits"]
    f(1)
    assert f.stats()["hits"] == hits + 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_works_after_the_parent_used_the_cache():
    use_everything()
    zoocache.set("from the parent", 1)

    def check():
        assert get("from the parent") == 1
        use_everything()
        reset()
        configure(max_entries=5)
        use_everything()

    in_child(check)
    use_everything()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_works_before_the_first_use():
    in_child(use_everything)
    use_everything()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_computes_what_a_thread_of_the_parent_was_computing():
    begun, may_go_on = threading.Event(), threading.Event()
    parent = os.getpid()

    @cacheable
    def slow():
        if os.getpid() != parent:
            return "child"
        begun.set()
        wait_for(may_go_on)
        return "parent"

    leader = Running(slow)
    waiter = None
    try:
        wait_for(begun)
        waiter = Running(slow)
        wait_until(lambda: zoocache.stats()["waits"] >= 1)

        def check():
            assert slow() == "child"
            assert slow() == "child"

        in_child(check)
    finally:
        may_go_on.set()
    assert leader.result() == waiter.result() == "parent"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_works_while_threads_of_the_parent_use_the_cache():
    stop = threading.Event()

    def work(number):
        while not stop.is_set():
            f(number)
            invalidate("a" if number % 2 else f"b:{number}")
            zoocache.set(f"key {number}", [number], deps=[f"b:{number}"])
            get(f"key {number}")
            if number == 0:
                zoocache.prune(0)

    threads = [Running(work, number) for number in range(4)]
    try:
        for _ in range(20):
            in_child(use_everything)
    finally:
        stop.set()
    for thread in threads:
        thread.result()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_inside_of_a_computation():
    @cacheable(copy="share")
    def forks():
        in_child(use_everything)
        return object()

    assert forks() is forks()


def background_threads():
    count = 0
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            count += (thread / "comm").read_text() == "zoocache-sweep\n"
    return count


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_configuring_and_resetting_leaks_no_threads():
    # Of caches that other tests have left behind.
    before = background_threads()
    for _ in range(20):
        configure(max_entries=100)
        use_everything()
        wait_until(background_threads)  # a thread has its name a moment after it has begun
        reset()
    # A cached function holds the last cache it was used with.
    wait_until(lambda: background_threads() <= before + 3)


def test_a_dictionary_that_changes_while_it_is_encoded():
    class Grows:
        def __init__(self, of):
            self.of = of

        def __zoocache_key__(self):
            self.of[len(self.of)] = 1
            return 1

    argument = {}
    argument["a"], argument["b"] = Grows(argument), Grows(argument)
    for call in (f, f.key, f.invalidate, f.refresh, f.bypass):
        call(argument)
    use_everything()


def test_the_interpreter_ends_quietly():
    out = run_program("""
        import asyncio, threading, zoocache
        from zoocache import cacheable

        class Loud:
            def __del__(self):
                zoocache.get("key")

        @cacheable(deps=["a"])
        def f(x):
            return Loud()

        @cacheable
        async def g(x):
            await asyncio.sleep(0)
            return Loud()

        f(1)
        asyncio.run(g(1))
        zoocache.set("key", Loud())
    """)
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")


@pytest.mark.xfail(
    sys.version_info < (3, 14),
    reason="before 3.14 the interpreter ends daemon threads by unwinding, which native frames do not survive",
    strict=False,  # it depends on where a thread is at that moment
)
def test_the_interpreter_ends_while_a_thread_waits():
    out = run_program("""
        import threading
        from zoocache import cacheable

        begun = threading.Event()

        @cacheable
        def f():
            begun.set()
            threading.Event().wait()

        for _ in range(3):
            threading.Thread(target=f, daemon=True).start()
        begun.wait()
    """)
    assert (out.returncode, out.stderr) == (0, "")


def test_a_sub_interpreter_is_refused_clearly_or_works():
    out = run_program("""
        import zoocache
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            import _interpreters as interpreters
        interpreter = interpreters.create()
        try:
            interpreters.run_string(interpreter, "import zoocache; zoocache.get('key')")
        except Exception as error:
            print(error)
    """)
    assert out.returncode == 0, out.stderr


def test_importing_needs_nothing_else():
    found = program("""
        import sys
        before = set(sys.modules)
        import zoocache
        known = {*sys.stdlib_module_names, "zoocache"}
        print([name for name in set(sys.modules) - before if name.split(".")[0] not in known])
    """)
    assert found == "[]\n"

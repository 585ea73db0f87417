"""Processes that are forked after, or while, their parent uses a Redis server."""

import textwrap

import pytest
from helpers import program
from test_fork import PREAMBLE


@pytest.fixture
def run(redis_server):
    def run(source, consistency="bounded"):
        start = f"configure(storage_url={redis_server.url!r}, consistency={consistency!r})\n"
        assert program(PREAMBLE + start + textwrap.dedent(source) + "\nprint('done')") == "done\n"

    return run


@pytest.mark.parametrize("consistency", ["bounded", "strong"])
def test_a_child_shares_what_the_parent_has(run, consistency):
    run(
        """
        @cacheable(deps=lambda number: [f"item:{number}"], namespace="origin")
        def origin(number):
            runs.append(number)
            return [number, os.getpid(), len(runs)]

        parent = origin(1)

        def child():
            assert origin(1) == parent
            assert origin(2)[0] == 2
            zoocache.set("key", "of the child", deps=["tag"])
            assert get("key") == "of the child"
            assert stats()["storage_errors"] == 0
            invalidate("item:1")
            assert origin(1) != parent

        for _ in range(3):
            in_child(child)
            # The parent's connection is undisturbed.
            invalidate("other", wait=True)
            deadline = time.monotonic() + 20
            while origin(1) == parent and time.monotonic() < deadline:
                time.sleep(0.001)
            parent = origin(1)
            assert get("key") == "of the child"
        assert stats()["storage_errors"] == 0
        """,
        consistency,
    )


def test_children_of_a_parent_that_preloads(run):
    run("""
        function(1)

        def worker():
            for number in range(20):
                function(number)
                invalidate(f"item:{number}")
            os._exit(0)

        children = []
        for _ in range(4):
            child = os.fork()
            if child == 0:
                signal.alarm(40)
                worker()
            children.append(child)
        for child in children:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert function(3)[0] == 3
    """)


def test_a_child_that_is_forked_while_threads_wait_for_the_server(run):
    run("""
        stop = threading.Event()

        def read():
            while not stop.is_set():
                for number in range(50):
                    function(number)
                    invalidate(f"item:{number}")

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()

        def child():
            for number in range(5):
                assert function(number)[0] == number
            zoocache.set("key", 1, deps=["tag"])
            assert get("key") == 1
            invalidate("tag")
            assert get("key") is None

        for _ in range(10):
            in_child(child)
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    """)


def test_a_child_runs_an_event_loop_of_its_own(run):
    run("""
        @cacheable(namespace="async")
        async def double(number):
            runs.append(number)
            return 2 * number

        assert asyncio.run(double.many([(number,) for number in range(10)])) == list(range(0, 20, 2))

        def child():
            runs.clear()
            assert asyncio.run(double.many([(number,) for number in range(20)])) == list(range(0, 40, 2))
            assert sorted(runs) == list(range(10, 20))
            asyncio.run(zoocache.invalidate_async("tag"))

        for _ in range(3):
            in_child(child)
            asyncio.run(zoocache.clear_async())
            assert asyncio.run(double.many([(number,) for number in range(10)])) == list(range(0, 20, 2))
            asyncio.run(zoocache.invalidate_async("tag", wait=True))
    """)

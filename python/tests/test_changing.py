"""`changing`: whatever happens in the block, an invalidation follows, and nothing old is served meanwhile."""

import asyncio
import gc
import os
import threading
from datetime import timedelta

import pytest
from helpers import Running, wait_for

import zoocache
from zoocache import Cache, ConfigError, InvalidTag, cacheable, changing, explain, invalidate
from zoocache.testing import frozen_time, isolated


@pytest.fixture
def source():
    """A value in a database, and a cached function that reads it."""

    class Source:
        value = "old"
        reads = 0

        def __init__(self):
            @cacheable(deps=["product:1"])
            def read():
                self.reads += 1
                return self.value

            self.read = read

    return Source()


def test_nothing_is_served_and_nothing_stored_inside(source):
    assert source.read() == "old"
    with changing("product:1") as change:
        assert change.position is None
        assert [source.read(), source.read()] == ["old", "old"]
        assert source.reads == 3
        assert explain(source.read).state == "changing"
        source.value = "new"
        assert source.read() == "new"
    assert change.position == zoocache.get_tag_version("product:1") > 0
    assert [source.read(), source.read()] == ["new", "new"]
    assert source.reads == 5


def test_an_exception_invalidates_too_and_passes(source):
    source.read()
    block = changing("product")

    def change():
        with block:
            source.value = "new"
            raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        change()
    assert block.position > 0
    assert source.read() == "new"


def test_async(source):
    async def main():
        source.read()
        async with changing("product:1", "shelf:2") as change:
            await asyncio.sleep(0)
            source.value = "new"
        assert change.position == zoocache.get_tag_version("shelf:2")
        assert source.read() == "new"

        block = changing("product:1")
        with pytest.raises(asyncio.CancelledError):
            async with block:
                raise asyncio.CancelledError
        assert block.position > change.position

    asyncio.run(main())


def test_a_computation_across_the_whole_block_is_not_stored():
    begun, may_end = threading.Event(), threading.Event()
    value = "old"

    @cacheable(deps=["product:1"])
    def slow():
        seen = value
        begun.set()
        wait_for(may_end)
        return seen

    reader = Running(slow)
    wait_for(begun)
    with changing("product:1"):
        value = "new"
    may_end.set()
    assert reader.result() == "old"
    assert slow() == "new"


@pytest.mark.parametrize("tags", [("a|b",), ("a", ""), ("a", "b:"), ("\ud800",)])
def test_an_invalid_tag_is_refused_before_the_block(tags):
    with pytest.raises(InvalidTag):
        changing(*tags)


@pytest.mark.parametrize("tags", [(), (5,), ("a", None), (["a"],)])
def test_what_is_no_tag_is_refused_before_the_block(tags):
    with pytest.raises(TypeError, match="tag"):
        changing(*tags)


@pytest.mark.parametrize("timeout", [0, -1, "5", None, True, float("nan")])
def test_a_timeout_that_makes_no_sense(timeout):
    with pytest.raises(ConfigError, match="timeout"):
        changing("a", timeout=timeout)


@pytest.mark.parametrize("timeout", [0.001, timedelta(days=400), 1e30, float("inf")])
def test_any_other_timeout(source, timeout):
    source.read()
    with changing("product:1", timeout=timeout):
        source.value = "new"
    assert source.read() == "new"


def test_a_block_is_used_once():
    block = changing("a")
    with block:
        pass
    position = block.position
    with pytest.raises(RuntimeError, match="used already"):
        block.__enter__()

    async def enter():
        await block.__aenter__()

    with pytest.raises(RuntimeError, match="used already"):
        asyncio.run(enter())
    assert block.position == position == zoocache.get_tag_version("a")


def test_nested_blocks_of_the_same_tag(source):
    source.read()
    with changing("product:1") as outer:
        with changing("product:1") as inner:
            pass
        source.read()
        source.value = "new"
        assert source.reads == 2
        assert source.read() == "new"
    assert outer.position > inner.position
    assert [source.read(), source.read(), source.reads] == ["new", "new", 4]


def test_blocks_of_the_same_tag_in_two_threads(source):
    entered, may_leave = threading.Event(), threading.Event()

    def other():
        with changing("product:1"):
            entered.set()
            wait_for(may_leave)

    source.read()
    thread = Running(other)
    wait_for(entered)
    with changing("product:1"):
        pass
    source.read()
    source.read()
    assert source.reads == 3, "the other one is still changing it"
    may_leave.set()
    thread.result()
    source.read()
    source.read()
    assert source.reads == 4


def test_many_threads_and_what_they_change():
    committed = 0
    lock = threading.Lock()

    @cacheable(deps=["counter"])
    def read():
        return committed

    def change():
        nonlocal committed
        for _ in range(200):
            with lock:
                with changing("counter"):
                    committed += 1
                assert read() == committed

    threads = [Running(change) for _ in range(4)]
    for thread in threads:
        thread.result()
    assert read() == committed == 800


def test_reads_in_other_threads_are_never_older_than_the_change():
    committed = 0
    stop = threading.Event()

    @cacheable(deps=["counter"])
    def read():
        return committed

    def reader():
        while not stop.is_set():
            before = committed
            assert read() >= before - 1, "only the change that is being made may be missing"

    threads = [Running(reader) for _ in range(3)]
    for _ in range(500):
        with changing("counter"):
            committed += 1
    stop.set()
    for thread in threads:
        thread.result()


@pytest.mark.not_on_server("a server has a clock of its own")
class TestDeadline:
    def test_counts_as_the_invalidation(self):
        with frozen_time() as time:
            value = "old"

            @cacheable(deps=["product:1"])
            def read():
                return value

            read()
            block = changing("product:1", timeout=timedelta(seconds=10))
            block.__enter__()  # and the process dies: nobody leaves the block
            value = "new"
            assert explain(read).state == "changing"
            time.advance(11)
            assert read() == "new"
            assert explain(read).state == "fresh", "the mark no longer keeps it from being stored"

    def test_a_block_that_took_too_long_invalidates_when_it_ends(self):
        with frozen_time() as time:
            value = "old"

            @cacheable(deps=["product:1"])
            def read():
                return value

            with changing("product:1", timeout=10) as change:
                time.advance(60)
                assert [read(), explain(read).state] == ["old", "fresh"]
                value = "new"  # the commit comes after the deadline
            assert read() == "new"
            assert change.position == zoocache.get_tag_version("product:1")

    @pytest.mark.memory_only("a folder remembers every announced change, and each process reads all of them")
    def test_that_nobody_remembers(self):
        with frozen_time() as time:
            value = "old"

            @cacheable(deps=["product:1"])
            def read():
                return value

            with changing("product:1", timeout=1) as change:
                # More marks expire than the cache remembers.
                for number in range(5000):
                    changing(f"other:{number}", timeout=1).__enter__()
                time.advance(5)
                assert [read(), explain(read).state] == ["old", "fresh"]
                value = "new"
            assert change.position > 0
            assert read() == "new"


def test_the_cache_is_reset_inside(source):
    with changing("product:1") as change:
        zoocache.reset()
        # The mark of somebody else, in the new cache, with the same number.
        with changing("customer:1"):
            source.read()
            assert explain(source.read).state == "fresh"
            source.value = "new"
            change.__exit__(None, None, None)
            assert source.read() == "new"
            customer = cacheable(deps=["customer:1"])(lambda: 1)
            customer()
            assert explain(customer).state == "absent", "the other mark stands"


def test_the_cache_is_closed_inside():
    cache = Cache()
    with cache.changing("a") as change:
        cache.close()
    assert change.position > 0


def test_the_cache_is_put_aside_inside(source):
    source.read()
    with changing("product:1"):
        source.value = "new"
        with isolated():
            assert source.read() == "new"
    assert source.read() == "new"


def test_only_this_cache():
    cache = Cache()
    cache.set("key", 1, deps=["a"])
    zoocache.set("key", 1, deps=["a"])
    with cache.changing("a"):
        assert cache.get("key") is None
        assert zoocache.get("key") == 1
    assert zoocache.get("key") == 1


@pytest.mark.memory_only("in a folder the change of the child is one for its parent, too")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_inside_settles_its_own_copy(source):
    source.read()
    with changing("product:1"):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with changing("product:1"):
                    source.value = "child"
                status = 0 if source.read() == "child" else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert explain(source.read).state == "changing"
    assert source.read() == "old"


def test_a_block_that_is_never_entered_does_nothing(source):
    source.read()
    changing("product:1")
    gc.collect()
    assert explain(source.read).state == "fresh"


def test_everything(source):
    source.read()
    with changing("*"):
        assert explain(source.read).state == "changing"
    assert explain(source.read).state == "stale"


def test_invalidating_inside_does_not_end_it(source):
    with changing("product:1"):
        invalidate("product:1")
        source.read()
        assert explain(source.read).state == "absent"

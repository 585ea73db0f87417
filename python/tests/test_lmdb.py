"""One folder, many processes: what `storage_url="lmdb://..."` gives."""

import asyncio
import gc
import os
import pathlib
import signal
import threading
import time

import other_process
import pytest
import shared_functions
from helpers import Running, program, wait_until

import zoocache
from zoocache import (
    Cache,
    StorageError,
    add_deps,
    cacheable,
    changing,
    clear,
    configure,
    consistent_after,
    delete,
    explain,
    get,
    invalidate,
    reset,
    stats,
)
from zoocache.testing import frozen_time, isolated

FUNCTIONS = "from shared_functions import *"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def shared(folder):
    """This process uses the folder; what its functions have computed is forgotten."""
    configure(storage_url=f"lmdb://{folder}")
    shared_functions.computed.clear()
    return folder


@pytest.fixture
def other(folder):
    with other_process.Other(folder, cwd=pathlib.Path(__file__).parent) as other:
        other.run(FUNCTIONS)
        yield other


class TestTwoProcesses:
    def test_one_computes_and_both_have_it(self, shared, other):
        assert other("pieces('apples')") == "3 apples"
        assert shared_functions.pieces("apples") == "3 apples"
        assert shared_functions.computed == []
        assert other("computed") == ["apples"]

    def test_an_invalidation_is_seen_at_the_next_read_of_all(self, shared, other):
        for _ in range(3):
            for read in (lambda: shared_functions.number("a"), lambda: other("number('a')")):
                before = read()
                # Often enough that the call is found by its arguments alone.
                assert [read() for _ in range(5)] == [before] * 5
                other("invalidate('number:a')")
                after = read()
                assert after != before
                invalidate("number")
                assert read() not in (before, after)

    def test_a_subtree_goes_stale_by_what_another_process_invalidates_below(self, shared, other):
        first = shared_functions.all_numbers()
        assert other("all_numbers()") == first
        other("invalidate('number:x:y')")
        assert shared_functions.all_numbers() != first

    def test_dependencies_of_nested_calls_found_below_reach_the_outer(self, shared, other):
        inner = other("number('n')")
        outer = shared_functions.twice("n")
        assert outer == [inner, inner]
        other("invalidate('number:n')")
        assert shared_functions.twice("n") != outer

    def test_an_invalidation_while_it_computes_keeps_the_result_out(self, shared, other):
        @cacheable(namespace="in two processes")
        def function():
            add_deps(["a:b"])
            other("invalidate('a')")
            return "born stale"

        assert function() == "born stale"
        assert explain(function).state == "absent"
        assert stats()["born_stale"] == 1

    def test_values_keep_their_types(self, shared, other):
        order = shared_functions.order(7)
        other.run("found = order(7)")
        assert other("repr(found)") == repr(order)
        assert other("type(found) is Order and computed == []")

    def test_each_caller_gets_its_own_copy(self, shared, other):
        other("lines(3)")
        shared_functions.lines(3).append("spoilt")
        assert shared_functions.lines(3) == [0, 1, 2]
        assert other("lines(3)") == [0, 1, 2]

    def test_values_by_key(self, shared, other):
        zoocache.set("greeting", {"de": "Hallo"}, deps=["texts"])
        assert other("get('greeting')") == {"de": "Hallo"}
        other("set('greeting', 'Servus')")
        assert get("greeting") == "Servus"
        assert delete("greeting")
        assert other("get('greeting')") is None

    def test_what_one_deletes_or_refreshes_the_other_does_not_serve(self, shared, other):
        first = shared_functions.number("r")
        assert other("number('r')") == first
        assert shared_functions.number.invalidate("r")
        second = other("number('r')")
        assert second != first
        third = shared_functions.number.refresh("r")
        assert other("number('r')") == third not in (first, second)

    def test_clear_is_for_all(self, shared, other):
        value = shared_functions.number("c")
        other("clear()")
        assert shared_functions.number("c") != value
        clear()
        assert other("stats()['entries']") == 0

    def test_functions_of_async_code(self, shared, other):
        other.run("import asyncio")
        assert other("asyncio.run(slowly(2))") == 4
        assert asyncio.run(shared_functions.slowly(2)) == 4
        assert shared_functions.computed == []

        async def several():
            return await asyncio.gather(*(shared_functions.slowly(n % 3) for n in range(30)))

        assert asyncio.run(several()) == [0, 2, 4] * 10

    def test_many_read_from_the_folder(self, shared, other):
        other("[pieces(fruit) for fruit in ('figs', 'plums')]")
        calls = [("figs",), ("pears",), ("plums",)]
        assert shared_functions.pieces.many(calls) == ["3 figs", "3 pears", "3 plums"]
        assert shared_functions.computed == ["pears"]

    def test_a_position_of_another_process_is_known_or_learnt(self, shared, other):
        shared_functions.number("p")
        position = other("invalidate('number:p')")
        with consistent_after(position):
            assert shared_functions.number("p") == other("number('p')")

    def test_expiry_counts_in_all(self, shared, other):
        with frozen_time(storage_url=f"lmdb://{shared}") as clock:
            zoocache.set("soon", 1, ttl=3600)
            assert other("get('soon')") == 1
            clock.advance("2h")
            assert get("soon") is None

    def test_without_a_near_cache_each_hit_is_read_from_the_folder(self, folder, other):
        configure(storage_url=f"lmdb://{folder}", near_cache=False)
        first = other("number('f')")
        assert [shared_functions.number("f") for _ in range(3)] == [first] * 3
        other("set('number by key', 1)")
        assert get("number by key") == 1
        other("set('number by key', 2)")
        assert get("number by key") == 2


class TestChanging:
    def test_nothing_is_served_in_other_processes_meanwhile(self, shared, other):
        before = other("number('k')")
        with changing("number:k"):
            assert other("number('k')") != before
            assert other("explain(number, 'k').state") in ("absent", "changing")
            inside = other("number('k')")
        assert other("number('k')") not in (before, inside)

    def test_a_process_that_is_killed_inside_leaves_nothing_stale(self, shared, other):
        before = shared_functions.number("crash")
        other.run("block = changing('number:crash', timeout=0.5); block.__enter__()")
        other.kill()
        during = shared_functions.number("crash")
        assert during != before
        # Until the deadline nothing is kept; from then on there is one value.
        wait_until(lambda: shared_functions.number("crash") == shared_functions.number("crash"))
        assert shared_functions.number("crash") not in (before, during)


class TestRestart:
    def test_fresh_stays_fresh_and_stale_stale(self, folder):
        with other_process.Other(folder, cwd=pathlib.Path(__file__).parent) as first:
            first.run(FUNCTIONS)
            kept, gone = first("[number('kept'), number('gone')]")
            first("invalidate('number:gone')")
            first.kill()
        configure(storage_url=f"lmdb://{folder}")
        assert shared_functions.number("kept") == kept
        assert shared_functions.number("gone") != gone

    def test_reset_ends_the_use_and_clears_nothing(self, shared):
        value = shared_functions.number("again")
        reset()
        configure(storage_url=f"lmdb://{shared}")
        assert shared_functions.number("again") == value
        clear()
        assert shared_functions.number("again") != value

    def test_what_was_invalidated_before_pruning_stays_stale(self, shared):
        value = shared_functions.number("pruned")
        invalidate("number:pruned")
        zoocache.prune(0)
        reset()
        configure(storage_url=f"lmdb://{shared}")
        zoocache.prune(0)
        assert shared_functions.number("pruned") != value

    def test_a_process_that_ends_by_itself_says_nothing(self, folder):
        other = other_process.Other(folder, cwd=pathlib.Path(__file__).parent)
        other.run(FUNCTIONS)
        other("[number('e'), invalidate('number')]")
        assert other.end() == 0

    def test_twenty_times_leak_neither_files_nor_threads(self, folder):
        def cycle():
            configure(storage_url=f"lmdb://{folder}")
            shared_functions.number("leak")
            reset()
            gc.collect()

        def in_use():
            return [len([*pathlib.Path("/proc/self", name).iterdir()]) for name in ("fd", "task")]

        cycle()
        before = in_use()
        for _ in range(20):
            cycle()
        wait_until(lambda: in_use() <= before)


class TestFork:
    def test_a_child_shares_with_its_parent(self, shared):
        value = shared_functions.number("forked")
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                same = shared_functions.number("forked") == value
                invalidate("number:forked")
                os.write(tell, f"{same} {shared_functions.number('forked')}".encode())
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        same, new = os.read(told, 100).decode().split()
        os.close(told)
        os.close(tell)
        assert same == "True"
        assert shared_functions.number("forked") == int(new) != value

    def test_children_forked_while_threads_write(self, shared):
        stop = threading.Event()

        def write(name):
            while not stop.is_set():
                shared_functions.number(name)
                invalidate(f"number:{name}")

        threads = [Running(write, f"w{n}") for n in range(3)]
        try:
            for _ in range(15):
                pid = os.fork()
                if pid == 0:
                    code = 1
                    try:
                        first = shared_functions.number("child")
                        invalidate("number:child")
                        code = 0 if shared_functions.number("child") != first else 2
                    finally:
                        os._exit(code)
                assert os.waitpid(pid, 0)[1] == 0
        finally:
            stop.set()
        for thread in threads:
            thread.result()


class TestApart:
    def test_applications_with_different_prefixes(self, folder):
        folder.mkdir()
        ours, theirs = (Cache(storage_url=f"lmdb://{folder}", prefix=prefix) for prefix in ("a.b/c", "a b"))
        ours.set("key", 1, deps=["tag"])
        theirs.set("key", 2, deps=["tag"])
        theirs.invalidate("tag")
        assert (ours.get("key"), theirs.get("key")) == (1, None)
        again = Cache(storage_url=f"lmdb://{folder}", prefix="a.b/c")
        assert again.get("key") == 1

    def test_the_cache_of_a_test_is_not_the_folder(self, shared):
        zoocache.set("key", 1)
        with isolated():
            assert get("key") is None
            zoocache.set("key", 2)
        assert get("key") == 1

    def test_two_caches_of_one_folder_in_one_process(self, folder):
        first, second = (Cache(storage_url=f"lmdb://{folder}") for _ in range(2))
        first.set("key", [1], deps=["a"])
        assert second.get("key") == [1]
        second.invalidate("a")
        assert first.get("key") is None


class TestSettings:
    def test_the_same_folder_may_be_named_in_several_ways(self, shared, monkeypatch):
        monkeypatch.chdir(shared.parent)
        configure(storage_url="lmdb://./cache")
        configure(storage_url="lmdb://cache/../cache")
        with pytest.raises(RuntimeError, match="storage_url"):
            configure(storage_url="lmdb://elsewhere")

    def test_a_missing_parent_is_named(self, tmp_path):
        with pytest.raises(StorageError, match=r"no/cache.*make it"):
            configure(storage_url=f"lmdb://{tmp_path}/no/cache")

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="file"):
            configure(storage_url=f"lmdb://{tmp_path}/file")

    @pytest.mark.parametrize("url", ["lmdb://", "lmdb://a\0b", "lmdb:/a"])
    def test_a_url_without_a_folder(self, url):
        with pytest.raises(ValueError, match="storage_url"):
            configure(storage_url=url)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("prefix", "x" * 300),
            ("prefix", "\ud800"),
            ("max_readers", 0),
            ("max_readers", 2**31),
            ("max_age", -1),
            ("max_bytes", 0),
            ("near_cache", 1),
            ("lmdb_map_size", 1.5),
        ],
    )
    def test_nonsense_names_the_parameter(self, folder, name, value):
        with pytest.raises(ValueError, match=name):
            configure(storage_url=f"lmdb://{folder}", **{name: value})
        assert not folder.exists()


class TestForkOfThreads:
    """A child of a process whose other threads use the folder at that moment."""

    def forked(self, work):
        """Fork while a thread of this process works, and say whether the child could use the cache."""
        thread = Running(work)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if shared_functions.pieces("forked") == "3 forked" else 2
            finally:
                os._exit(code)
        deadline = time.monotonic() + 60
        while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                pytest.fail("the child hangs")
            time.sleep(0.001)
        thread.result()
        return ended[1] == 0

    def test_at_its_first_call(self, folder):
        source = f"""
            import os, sys, threading, zoocache
            sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
            zoocache.configure(storage_url="lmdb://{folder}")
            from shared_functions import lines
            thread = threading.Thread(target=lines, args=(1,))
            thread.start()
            pid = os.fork()
            if pid == 0:
                os._exit(0 if lines(2) == [0, 1] else 1)
            thread.join()
            print(os.waitpid(pid, 0)[1])
            """
        for _ in range(3):
            assert program(source) == "0\n"

    def test_while_it_waits_for_anothers_computation(self, shared, other):
        """A waiter looks at the log when its flight has landed."""
        gate = threading.Event()

        @cacheable(namespace="waited for", deps=["waited"])
        def slowly(number):
            gate.wait(30)
            return number

        other.begin("[invalidate('waited') for _ in range(3000)] and 0")
        for number in range(40):
            gate.clear()
            leader, waiters = Running(slowly, number), [Running(slowly, number) for _ in range(4)]
            threading.Timer(0.002, gate.set).start()
            assert self.forked(lambda: None)
            assert {thread.result() for thread in (leader, *waiters)} == {number}
        other.answer()

    def test_while_it_counts_and_clears(self, shared):
        for number in range(30):
            zoocache.set(f"key {number}", number, deps=["counted"])
            assert self.forked(lambda: zoocache.affected("counted"))
            assert self.forked(clear)

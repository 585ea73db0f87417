"""What settings and options mean where processes share a folder, and what goes wrong there."""

import asyncio
import logging
import pathlib

import other_process
import pytest
import shared_functions
from helpers import Running, program, wait_until

import zoocache
from zoocache import (
    SerializationError,
    StorageError,
    StorageIsFull,
    cacheable,
    configure,
    explain,
    get,
    invalidate,
    reset,
    stats,
)
from zoocache.testing import frozen_time

HERE = pathlib.Path(__file__).parent


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def url(folder):
    return f"lmdb://{folder}"


class TestClusterLock:
    """`cluster_lock=True`: one process computes, the others take what it stores."""

    SLOW = """
        import time
        from zoocache import cacheable
        from pathlib import Path
        runs = []

        @cacheable(namespace="slow", cluster_lock=True, deps=["slow"])
        def slow(begun, seconds):
            runs.append(1)
            Path(begun).touch()
            time.sleep(seconds)
            return len(runs)
        """

    @pytest.fixture
    def others(self, folder):
        with other_process.Other(folder, cwd=HERE) as one, other_process.Other(folder, cwd=HERE) as two:
            for other in (one, two):
                other.run(self.SLOW)
            yield one, two

    @pytest.fixture
    def begun(self, tmp_path):
        """A file that is there when the computation has begun."""
        return tmp_path / "begun"

    def test_two_processes_compute_once(self, others, begun):
        for other in others:
            other.begin(f"slow({str(begun)!r}, 1.0)")
        assert [other.answer() for other in others] == [1, 1]
        assert sorted(other("len(runs)") for other in others) == [0, 1]

    def test_who_dies_is_followed(self, others, begun):
        first, second = others
        # The same key; the other process would sleep as long, if it computed before the first one is dead.
        first.run("time.sleep = lambda seconds, sleep=time.sleep: sleep(3600)")
        first.begin(f"slow({str(begun)!r}, 0.0)")
        wait_until(begun.exists)
        second.begin(f"slow({str(begun)!r}, 0.0)")
        first.kill()
        assert second.answer() == 1

    def test_async_callers_wait_without_blocking_their_loop(self, url, others, begun):
        configure(storage_url=url)
        runs = []

        async def slow(begun, seconds):
            runs.append((begun, seconds))

        slow.__module__, slow.__qualname__ = "__main__", "slow"
        slow = cacheable(namespace="slow", cluster_lock=True)(slow)
        others[0].begin(f"slow({str(begun)!r}, 1.0)")
        wait_until(begun.exists)
        turns = 0

        async def main():
            nonlocal turns
            reading = asyncio.gather(*(slow(str(begun), 1.0) for _ in range(3)))
            while not reading.done():
                turns += 1
                await asyncio.sleep(0.01)
            return await reading

        assert asyncio.run(main()) == [1, 1, 1]
        assert turns > 5
        assert runs == []
        assert others[0].answer() == 1

    def test_what_was_invalidated_meanwhile_is_not_taken(self, url, others, begun):
        configure(storage_url=url)
        first, second = others
        first.begin(f"slow({str(begun)!r}, 0.5)")
        wait_until(begun.exists)
        second.begin(f"slow({str(begun)!r}, 0.5)")
        invalidate("slow")
        assert [first.answer(), second.answer()] == [1, 1]
        assert second("len(runs)") == 1

    def test_in_memory_it_means_nothing(self):
        function = cacheable(cluster_lock=True)(lambda: 7)
        assert (function(), function()) == (7, 7)
        with pytest.raises(ValueError, match="cluster_lock must be a bool"):
            cacheable(cluster_lock=1)(lambda: 7)


class TestSecret:
    def test_entries_of_others_are_not_read(self, folder, url):
        with other_process.Other(folder, "secret='ours'", cwd=HERE) as ours:
            ours("set('key', 'authentic')")
        with other_process.Other(folder, "secret='theirs'", cwd=HERE) as theirs:
            assert theirs("[get('key'), stats()['rejected']]") == [None, 1]
            theirs("set('key', 'forged')")
        configure(storage_url=url, secret=b"ours")
        assert get("key") is None

    def test_it_is_never_shown(self, url):
        configure(storage_url=url, secret="hunter2 " * 3)
        with pytest.raises(RuntimeError) as raised:
            configure(secret="other hunter3 secret")
        assert "hunter" not in str(raised.value)
        assert "hunter" not in repr(zoocache._settings.check({"secret": "hunter2"}))
        with pytest.raises(ValueError, match="secret must not be empty"):
            zoocache.Cache(storage_url=url, secret="")


class TestLives:
    def test_reads_of_any_process_prolong_a_time_to_idle(self, folder, url):
        noon = 1_800_000_000
        with other_process.Other(folder, cwd=HERE) as other, frozen_time(noon, storage_url=url) as clock:
            settings = f"storage_url={url!r}, lru_update_interval=0"
            other.run(f"from zoocache.testing import frozen_time; clock = frozen_time({noon}, {settings})")
            other.run("clock.__enter__(); set('key', 1, ttl=10)")
            for _ in range(8):
                clock.advance(6)
                other.run("clock.advance(6)")
                assert other("get('key')") == 1
                # Told of by its sweeper, which runs now and then.
                other("zoocache._cache.DEFAULT._native.sweep()")
            assert get("key") == 1
            clock.advance(20)
            other.run("clock.advance(20)")
            assert other("get('key')") is None
            assert get("key") is None

    def test_without_prolonging_the_life_ends_for_all(self, folder, url):
        with frozen_time(storage_url=url, read_extend_ttl=False) as clock:
            zoocache.set("key", 1, ttl=10)
            for _ in range(5):
                clock.advance(1.9)
                assert get("key") == 1
            clock.advance(1)
            assert get("key") is None

    def test_what_is_used_survives_and_what_is_not_goes(self, url):
        with frozen_time(storage_url=url, max_entries=100, lru_update_interval=0, near_cache=False) as clock:
            zoocache.set("used", 1)
            for number in range(500):
                zoocache.set(f"unused {number}", number)
                assert get("used") == 1
                if number % 20 == 0:
                    clock.advance(1)
                    zoocache._cache.DEFAULT._native.sweep()
            assert stats()["entries"] <= 100
            assert stats()["evicted"] >= 401
            assert get("unused 0") is None

    def test_stale_values_on_purpose(self, url):
        source = [1]
        with frozen_time(storage_url=url) as clock:

            @cacheable(ttl=10, stale_if_error=60, namespace="shared")
            def read():
                if not source:
                    raise OSError
                return source[0]

            assert read() == 1
            source.clear()
            clock.advance(20)
            assert read() == 1
            assert stats()["stale_served"] == 1
            clock.advance(60)
            with pytest.raises(OSError):  # noqa: PT011 - ours
                read()


class TestValues:
    def test_one_without_bytes_is_refused_with_its_place(self, url):
        configure(storage_url=url)
        function = cacheable(namespace="shared")(lambda: {"rows": [1, threading_lock()]})
        with pytest.raises(SerializationError, match=r"\$\['rows'\]\[1\]"):
            function()
        with pytest.raises(SerializationError):
            zoocache.set("key", threading_lock())
        assert get("key") is None

    def test_or_returned_to_its_caller(self, url):
        configure(storage_url=url)
        function = cacheable(namespace="shared", on_unserializable="return")(threading_lock)
        assert function() is not function()
        assert explain(function).state == "absent"

    def test_a_class_that_is_not_known_here_is_a_miss(self, folder, url):
        with other_process.Other(folder, cwd=HERE) as other:
            other.run("from shared_functions import *; set('order', Order(1, ()))")
            configure(storage_url=url)
            # Its name is in the bytes; nothing is imported for it.
            source = f"""
                import sys, zoocache
                zoocache.configure(storage_url={url!r})
                print(zoocache.get('order'), 'shared_functions' in sys.modules, zoocache.stats()['rejected'])
                """
            assert program(source).split() == ["None", "False", "1"]
            assert other("repr(get('order'))") == "Order(number=1, lines=())"

    def test_a_class_with_other_fields_is_a_miss(self, folder):
        old, new = "@dataclass\nclass P:\n    x: int", "@dataclass\nclass P:\n    x: int\n    y: int = 0"
        function = "\n\n@cacheable(namespace='versions')\ndef p() -> P:\n    return P(1)"
        start = "from dataclasses import dataclass\n"
        with other_process.Other(folder) as before, other_process.Other(folder) as after:
            before.run(start + old + function)
            after.run(start + new + function)
            assert before("repr(p())") == "P(x=1)"
            assert after("repr(p())") == "P(x=1, y=0)"
            assert after("stats()['computations']") == 1


def threading_lock():
    return __import__("threading").Lock()


class TestRoom:
    def test_a_map_that_holds_no_entry_is_full_at_first_use(self, url):
        configure(storage_url=url, lmdb_map_size=1024)
        function = cacheable(namespace="full")(lambda: "value")
        with pytest.raises(StorageIsFull, match=r"LMDB storage is full.*lmdb_map_size"):
            function()
        with pytest.raises(StorageIsFull, match="LMDB storage is full"):
            zoocache.set("key", 1)

    def test_a_value_that_is_larger_than_the_map(self, url):
        configure(storage_url=url, lmdb_map_size=2 << 20)
        zoocache.set("small", "x")
        with pytest.raises(StorageIsFull, match=r"needs a map of \d+ bytes, and it has 2097152"):
            zoocache.set("large", __import__("random").randbytes(3 << 20))
        zoocache.set("small", "y")
        assert get("small") == "y"

    def test_a_small_map_evicts(self, url):
        configure(storage_url=url, lmdb_map_size=4 << 20)
        for number in range(300):
            zoocache.set(f"key {number}", __import__("random").randbytes(50_000))
        assert len(get("key 299")) == 50_000
        assert stats()["evicted"] > 200

    def test_limits_hold_for_all(self, url):
        configure(storage_url=url, max_entries=10, max_bytes=1 << 20)
        for number in range(50):
            zoocache.set(f"key {number}", number)
        assert stats()["entries"] == 10
        for number in range(50):
            zoocache.set(f"key {number}", __import__("random").randbytes(100_000))
        assert 5 < stats()["entries"] < 11


class TestTrouble:
    def test_what_goes_wrong_is_logged_once_and_computed_all_the_same(self, url, folder, caplog):
        configure(storage_url=url)
        assert shared_functions.number("trouble") == shared_functions.number("trouble")
        spoil(folder / "entries" / "data.mdb")
        with caplog.at_level(logging.WARNING, "zoocache"):
            for number in range(5):
                assert shared_functions.pieces(f"fruit{number}") == f"3 fruit{number}"
        assert [record.getMessage()[:35] for record in caplog.records] in (
            [],
            ["zoocache goes on without its storage"[:35]],
        )

    def test_damage_gives_an_empty_cache_and_a_line_in_the_log(self, url, folder, caplog):
        configure(storage_url=url)
        zoocache.set("key", 1)
        reset()
        file = folder / "tags" / "data.mdb"
        file.write_bytes(file.read_bytes()[:5000])
        with caplog.at_level(logging.WARNING, "zoocache"):
            configure(storage_url=url)
        assert get("key") is None
        (record,) = caplog.records
        assert record.getMessage().startswith("zoocache begins empty: ")
        zoocache.set("key", 2)
        assert get("key") == 2

    def test_another_boot_empties_it(self, url, folder):
        configure(storage_url=url)
        zoocache.set("key", 1)
        reset()
        boot = (folder / "boot").read_bytes()
        (folder / "boot").write_bytes(boot.replace(boot[:8], b"00000000"))
        configure(storage_url=url)
        assert get("key") is None


def spoil(file):
    """Take the file away under the cache: what is mapped stays."""
    file.rename(file.with_suffix(".away"))


class TestManyReaders:
    def test_more_than_126_threads(self, url):
        configure(storage_url=url, near_cache=False)
        shared_functions.number("many")
        threads = [Running(lambda: [shared_functions.number("many") for _ in range(20)]) for _ in range(200)]
        results = {value for thread in threads for value in thread.result()}
        assert len(results) == 1

    def test_a_bound_that_is_too_low_costs_computations_only(self, url):
        configure(storage_url=url, near_cache=False, max_readers=1)
        threads = [Running(shared_functions.pieces, f"f{n}") for n in range(20)]
        assert sorted(thread.result() for thread in threads) == sorted(f"3 f{n}" for n in range(20))


def test_errors_of_invalidate_are_storage_errors():
    assert issubclass(StorageIsFull, StorageError)

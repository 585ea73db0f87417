"""`Core`: what adapters read when they are asked, of what native code counts."""

import asyncio
import gc

import pytest
from helpers import wait_until
from telemetry_notes import Notes, configured

import zoocache
from zoocache import Cache, cacheable, invalidate, reset
from zoocache.telemetry import Core, TelemetryManager

pytestmark = pytest.mark.memory_only("labels name the storage")


@pytest.fixture(autouse=True)
def memory(fresh_cache):
    """Each test configures the cache that it needs."""
    reset()


@pytest.fixture
def notes(memory):
    return configured(Notes())


class TestCore:
    def read(self, core):
        return {
            (family.name, *(text for _, text in labels)): value
            for family in core.collect()
            for labels, value in family.samples.items()
        }

    def test_tells_what_stats_tells(self, notes):
        @cacheable(deps=["a"])
        def f(x):
            return x

        for x in (1, 2, 1, 1):
            f(x)
        invalidate("a")
        f(1)
        (core,) = notes.cores
        assert isinstance(core, Core)
        read, stats = self.read(core), zoocache.stats()
        assert read["cache_hits_total", "memory"] == stats["hits"] == 2
        causes = {
            cause: read["cache_misses_total", cause, "memory"] for cause in ("absent", "stale", "expired")
        }
        assert causes == {"absent": 2, "stale": 1, "expired": 0}
        assert read["cache_entries", "memory"] == stats["entries"] == 2
        assert read["cache_trie_nodes", "memory"] == stats["tags"] > 0
        assert read["cache_flight_leaders_total", "memory"] == 3
        fills = read["cache_fill_seconds", "memory"]
        assert sum(fills.counts) == 3
        assert 0 < fills.total < 60

    def test_has_nothing_to_tell_when_the_cache_is_gone(self, notes):
        zoocache.get("k")
        (core,) = notes.cores
        reset()
        assert not any(family.samples for family in core.collect())

    def test_functions_count_from_when_the_cache_began(self):
        @cacheable
        def f():
            return 1

        name = f"{__name__}.{f.__qualname__}"
        for _ in range(3):
            f()
        reset()
        notes = configured(Notes())
        f()
        assert f.stats()["hits"] == 2
        read = self.read(notes.cores[0])
        assert read["function_hits_total", name, "memory"] == 0
        assert read["function_misses_total", "absent", name, "memory"] == 1

    def test_functions_that_are_gone_still_count(self):
        notes = Notes()
        with Cache(telemetry=TelemetryManager([notes])) as cache:
            for _ in range(50):

                @cache.cacheable
                def f():
                    return 1

                f()
                f()
                del f
                gc.collect()
            read = self.read(notes.cores[0])
        ours = {key: value for key, value in read.items() if key[0] == "function_hits_total"}
        # All of them are one function, with one entry.
        assert list(ours.values()) == [99]

    def test_names_are_bounded(self):
        notes = Notes()
        with Cache(telemetry=TelemetryManager([notes])) as cache:
            functions = []
            for number in range(300):

                def f():
                    return 1

                f.__qualname__ = f"f{number}" if number else "long" * 200
                functions.append(cache.cacheable(f))
            for f in functions:
                f()
                f()
            read = self.read(notes.cores[0])
        ours = {key[1]: value for key, value in read.items() if key[0] == "function_hits_total"}
        assert len(ours) == 201
        assert ours["other"] == 100
        assert sum(ours.values()) == 300
        assert max(map(len, ours)) == 200
        assert {labels["function"] for _, _, labels in notes.told} == set(ours)

    def test_names_of_functions_that_are_gone_make_room(self):
        notes = Notes()
        with Cache(telemetry=TelemetryManager([notes])) as cache:
            for number in range(500):

                def f():
                    return 1

                f.__qualname__ = f"f{number}"
                f = cache.cacheable(f)
                f()
                label = f"{__name__}.f{number}"
                assert self.read(notes.cores[0])["function_misses_total", "absent", label, "memory"] == 1
                del f
            read = self.read(notes.cores[0])
        assert len([key for key in read if key[0] == "function_hits_total"]) <= 201

    def test_labels_hold_neither_tags_nor_keys(self):
        secret = "s3cret"  # noqa: S105 - a test looks for it
        notes = Notes()
        with Cache(telemetry=TelemetryManager([notes])) as cache:

            @cache.cacheable(namespace=f"ns-{secret}", deps=lambda user: [f"user:{secret}"])
            def f(user):
                return user

            for _ in range(3):
                f(secret)
            cache.set(f"key-{secret}", 1, deps=[f"tag:{secret}"])
            cache.get(f"key-{secret}")
            cache.invalidate(f"user:{secret}", f"tag:{secret}")
            f(secret)
            labels = [dict(one) for family in notes.cores[0].collect() for one in family.samples]
        labels += [labels for _, _, labels in notes.told]
        assert secret not in repr(labels)
        assert {name for one in labels for name in one} == {"function", "storage", "cause"}

    def test_bytes_are_told_where_they_are_counted(self, tmp_path):
        notes = configured(Notes(), storage_url=f"lmdb://{tmp_path}/cache")
        zoocache.set("k", "v" * 1000)
        read = self.read(notes.cores[0])
        assert read["cache_bytes", "lmdb"] > 1000
        assert read["cache_entries", "lmdb"] == 1
        assert sum(read["cache_storage_write_seconds", "lmdb"].counts) >= 1
        before = sum(read["cache_storage_read_seconds", "lmdb"].counts)
        zoocache.get("absent")
        assert sum(self.read(notes.cores[0])["cache_storage_read_seconds", "lmdb"].counts) > before
        reset()

    def test_what_a_server_does(self, redis_server):
        other = Cache(storage_url=redis_server.url)
        notes = configured(Notes(), storage_url=redis_server.url)
        zoocache.set("k", 1, deps=["a"])
        zoocache.get("k")
        read = self.read(notes.cores[0])
        assert sum(read["cache_storage_write_seconds", "redis"].counts) >= 1
        assert sum(read["cache_storage_read_seconds", "redis"].counts) >= 1
        assert read["cache_domain_changes_total", "redis"] == 0

        def is_told():
            zoocache.get("k")
            return sum(self.read(notes.cores[0])["cache_bus_lag_seconds", "redis"].counts) > 0

        other.invalidate("a")
        wait_until(is_told)
        assert 0 <= self.read(notes.cores[0])["cache_bus_lag_seconds", "redis"].total < 60
        redis_server.ask("FLUSHALL")

        def is_noticed():
            zoocache.get("k")
            return self.read(notes.cores[0])["cache_domain_changes_total", "redis"] == 1

        wait_until(is_noticed)
        other.close()
        reset()

    def test_user_adapters_are_told_with_a_server_too(self, redis_server):
        notes = configured(Notes(), storage_url=redis_server.url)

        @cacheable(deps=["a"])
        def f(x):
            return x

        @cacheable(deps=["a"], stale_if_error=10)
        async def g(x):
            return x

        async def calls():
            for x in (1, 1, 2):
                await g(x)
            await g.many([(2,), (3,)])
            await zoocache.invalidate_async("a")
            await g(1)

        for x in (1, 1, 2):
            f(x)
        f.many([(1,), (5,)])
        asyncio.run(calls())
        for function in (f, g):
            stats = function.stats()
            counted = notes.counts(function=f"{__name__}.{function.__qualname__}", storage="redis")
            assert counted["cache_hits_total"] == stats["hits"] >= 2
            assert counted["cache_misses_total"] == stats["misses"] + stats["stale"] >= 3
        assert notes.counts()["cache_invalidations_total"] == 1
        reset()

"""Caches of one's own beside the default one."""

import asyncio
import gc
import inspect
import threading
import weakref

import pytest
from helpers import Running, program, wait_for, wait_until

import zoocache
from zoocache import Cache, CacheError, ConfigError, cacheable


@pytest.fixture
def cache():
    with Cache() as cache:
        yield cache


def counting(cache, **options):
    runs = []

    @cache.cacheable(deps=["item:1"], **options)
    def function(number=1):
        runs.append(number)
        return len(runs)

    return function


def test_an_invalidation_concerns_its_own_cache(cache):
    own, other, default = counting(cache), counting(Cache()), counting(zoocache)
    assert [own(), other(), default()] == [1, 1, 1]
    cache.invalidate("item")
    assert [own(), other(), default()] == [2, 1, 1]
    zoocache.invalidate("item")
    assert [own(), other(), default()] == [2, 1, 2]
    other.invalidate()
    assert [own(), other(), default()] == [2, 2, 2]


def test_one_function_in_two_caches(cache):
    runs = []

    def function():
        runs.append(1)
        return len(runs)

    first, second = cache.cacheable(function, namespace="n"), cacheable(function, namespace="n")
    assert (first(), second(), first(), second()) == (1, 2, 1, 2)
    assert first.key() == second.key()
    assert cache.explain(first).state == "fresh"
    assert zoocache.explain(first).state == "fresh"  # in the cache that it uses
    cache.clear()
    assert (cache.explain(first).state, zoocache.explain(second).state) == ("absent", "fresh")


def test_keys_values_and_counters_are_its_own(cache):
    cache.set("key", [1], deps=["tag"], ttl="1m")
    assert cache.get("key") == [1]
    assert zoocache.get("key") is None
    assert cache.get("other", "default") == "default"
    assert cache.stats()["entries"] == 1
    assert zoocache.stats()["entries"] == 0
    assert cache.stats()["hits"] == 1
    assert cache.get_tag_version("tag") == 0
    assert cache.invalidate("tag") == cache.get_tag_version("tag") > 0
    assert zoocache.get_tag_version("tag") == 0
    assert cache.get("key") is None


def test_async_forms(cache):
    @cache.cacheable
    async def function():
        return object()

    async def main():
        assert await function() is await function()
        await cache.set_async("key", 1)
        assert await cache.get_async("key") == 1
        assert await cache.get_async("other", 2) == 2
        await cache.invalidate_async(function.tag)
        await cache.clear_async()
        assert await cache.get_async("key") is None
        async with Cache() as other:
            other.set("key", 1)

    asyncio.run(main())


def test_settings_are_those_of_configure():
    cache = Cache(max_entries=5, default_ttl="10m", read_extend_ttl=False)
    function = counting(cache)
    for number in range(50):
        function(number)
    assert cache.stats()["entries"] <= 5
    zoocache.configure(max_entries=7)  # another's settings
    for name, value in [("max_entries", 0), ("default_ttl", -1), ("storage_url", "nothing://")]:
        with pytest.raises(ConfigError, match=name):
            Cache(**{name: value})
    with pytest.raises(TypeError, match="expiry"):
        Cache(expiry=3)


def test_a_function_depends_on_what_it_calls_of_another_cache(cache):
    inner = counting(cache)

    @cacheable
    def outer():
        return ("outer", inner())

    assert outer() == ("outer", 1)
    # Its tags are dependencies in the other cache, too, where they must be invalidated as well: inner first.
    cache.invalidate("item:1")
    zoocache.invalidate("item:1")
    assert outer() == ("outer", 2)


def test_a_closed_cache_says_so():
    cache = Cache()
    function = counting(cache)
    assert function() == 1
    cache.close()
    cache.close()
    for use in (function, lambda: cache.get("key"), lambda: cache.invalidate("a"), cache.stats):
        with pytest.raises(CacheError, match="closed"):
            use()
    assert function.bypass() == 2


def test_closing_frees_what_is_in_it():
    class Value:
        pass

    value = Value()
    alive = weakref.ref(value)
    with Cache() as cache:
        cache.set("key", value)
        del value
        gc.collect()
        assert alive() is not None
    gc.collect()
    assert alive() is None


def test_a_cache_that_nobody_uses_is_freed_with_its_thread():
    def sweepers():
        names = []
        for thread in __import__("pathlib").Path("/proc/self/task").iterdir():
            try:
                names.append((thread / "comm").read_text().strip())
            except OSError:
                continue  # it has just ended
        return names.count("zoocache-sweep")

    before = sweepers()
    caches = [Cache() for _ in range(5)]
    for cache in caches:
        cache.set("key", 1)
    assert wait_until(lambda: sweepers() == before + 5)
    del caches, cache
    gc.collect()
    assert wait_until(lambda: sweepers() <= before)


def test_flights_are_its_own(cache):
    entered, go_on = threading.Event(), threading.Event()

    def function():
        entered.set()
        wait_for(go_on)
        return threading.get_ident()

    first = Running(cache.cacheable(function))
    wait_for(entered)
    entered.clear()
    second = Running(cacheable(function))  # does not wait for the other cache's computation
    wait_for(entered)
    go_on.set()
    assert first.result() != second.result()


def test_a_key_in_two_caches_is_no_recursion(cache):
    def function(depth):
        return (depth, inner(depth)) if depth else depth

    inner = cache.cacheable(lambda depth: cacheable(namespace="n")(function)(depth - 1))
    assert cacheable(namespace="n")(function)(1) == (1, 0)


@pytest.mark.memory_only("configure is replaced there")
def test_module_functions_are_methods_of_the_default_cache():
    for name, attribute in vars(zoocache).items():
        if inspect.ismethod(attribute):
            assert isinstance(attribute.__self__, Cache), name
            assert getattr(Cache, name) is attribute.__func__
    public = {name for name in vars(Cache) if not name.startswith("_")} - {"close"}
    assert public <= set(zoocache.__all__)


def test_all_caches_survive_a_fork():
    assert (
        program("""
        import os, threading
        from zoocache import Cache, cacheable, get, set
        caches = [Cache() for _ in range(3)]
        functions = [cache.cacheable(lambda n: (os.getpid(), n)) for cache in caches]
        stop = threading.Event()

        def use():
            while not stop.is_set():
                for cache, function in zip(caches, functions):
                    function(1)
                    cache.invalidate(function.tag)
                    with Cache() as other:
                        other.set("key", 1)

        thread = threading.Thread(target=use, daemon=True)
        thread.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                for cache, function in zip(caches, functions):
                    cache.clear()
                    assert function(2) == (os.getpid(), 2) == function(2)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        thread.join()
        print([function(3) == (os.getpid(), 3) for function in functions])
    """)
        == "[True, True, True]\n"
    )


@pytest.mark.memory_only("the first use means memory")
def test_threads_that_use_the_cache_first_use_the_same_one():
    for _ in range(20):
        zoocache.reset()
        barrier = threading.Barrier(8)

        def first_use(number, barrier=barrier):
            barrier.wait()
            zoocache.set(f"key {number}", number)

        threads = [Running(first_use, number) for number in range(8)]
        for thread in threads:
            thread.result()
        assert [zoocache.get(f"key {number}") for number in range(8)] == [*range(8)]

"""What Django promises of a cache, in every storage."""

import asyncio
import datetime as dt
import threading

import pytest
from django.core.cache import CacheKeyWarning, caches
from helpers import Running, unique, wait_for

import zoocache

VALUES = {
    "None": None,
    "integer": 42,
    "huge": 10**40,
    "float": 4.5,
    "bool": True,
    "text": "héllo\x00",
    "bytes": b"\x00\xff",
    "big": "x" * 2_000_000,
    "list": [1, [2, {"three": 3}]],
    "tuple": (1, (2,)),
    "set": {1, 2},
    "dict": {1: "a", "b": None},
    "moment": dt.datetime(2024, 2, 29, tzinfo=dt.timezone.utc),
    "class": dict,
}


def by_prefix(key, key_prefix, version):
    return f"CUSTOM-{key_prefix}-{version}-{key}"


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_what_goes_in_comes_out(cache, value):
    assert cache.set("key", value) is None
    assert cache.get("key", "default") == value
    assert type(cache.get("key")) is type(value)
    assert cache.get_many(["key", "absent"]) == {"key": value}
    assert "key" in cache
    assert cache.has_key("key")


def test_a_miss_is_the_default(cache):
    assert cache.get("key") is None
    assert cache.get("key", 7) == 7
    assert "key" not in cache
    assert cache.get_many(["a", "b"]) == {}
    assert cache.delete("key") is False
    assert cache.touch("key") is False


def test_nobody_can_change_what_is_cached(cache):
    value = {"list": [1]}
    cache.set("key", value)
    value["list"].append(2)
    cache.get("key")["list"].append(3)
    cache.get_or_set("key", None)["list"].append(4)
    assert cache.get("key") == {"list": [1]}


def test_a_value_replaces_another(cache):
    cache.set("key", 1)
    cache.set("key", 2)
    assert cache.get("key") == 2
    cache.set_many({"key": 3, "other": 4})
    assert cache.get_many(["key", "other"]) == {"key": 3, "other": 4}


def test_add_stores_only_what_is_not_there(cache):
    assert cache.add("key", 1) is True
    assert cache.add("key", 2) is False
    assert cache.get("key") == 1
    assert cache.add("none", None) is True
    assert cache.add("none", 1) is False


def test_of_many_adders_one_succeeds(cache):
    barrier = threading.Barrier(8)

    def add(number):
        barrier.wait(30)
        return caches["default"].add("key", number)

    adders = [Running(add, number) for number in range(8)]
    won = [number for number, adder in enumerate(adders) if adder.result()]
    assert len(won) == 1
    assert cache.get("key") == won[0]


def test_add_is_not_told_of_the_failure_of_another(cache):
    begun, go_on = threading.Event(), threading.Event()

    def fail():
        begun.set()
        wait_for(go_on)
        raise OSError

    computing = Running(cache.get_or_set, "key", fail)
    wait_for(begun)
    adding = Running(cache.add, "key", 1)
    go_on.set()
    assert isinstance(computing.error(), OSError)
    assert adding.result() is True
    assert cache.get("key") == 1


def test_increments_of_threads_add_up(cache):
    cache.set("key", 0, timeout=None)
    threads = [Running(lambda: [caches["default"].incr("key", 2) for _ in range(25)]) for _ in range(4)]
    seen = [number for thread in threads for number in thread.result()]
    assert sorted(seen) == list(range(2, 202, 2))
    assert cache.get("key") == 200


def test_incr_and_decr(cache):
    cache.set("key", 40)
    assert cache.incr("key") == 41
    assert cache.incr("key", 10) == 51
    assert cache.decr("key", 9) == 42
    for change in (cache.incr, cache.decr, cache.incr_version, cache.decr_version):
        with pytest.raises(ValueError, match="'absent' not found"):
            change("absent")
    cache.set("text", "x")
    with pytest.raises(TypeError):
        cache.incr("text")
    assert cache.get("text") == "x"


def test_versions(cache):
    cache.set("key", 1, version=2)
    assert cache.get("key") is None
    assert cache.get("key", version=2) == 1
    assert cache.incr_version("key", version=2) == 3
    assert cache.get("key", version=2) is None
    assert cache.decr_version("key", 2, version=3) == 1
    assert cache.get("key") == 1
    assert cache.get_many(["key"], version=2) == {}
    cache.set_many({"a": 1}, version=5)
    assert cache.delete("a") is False
    assert cache.delete("a", version=5) is True


def test_prefixes_versions_and_key_functions(location, configured):
    here = {"LOCATION": location}
    configured(
        default=here,
        prefixed={**here, "KEY_PREFIX": "p"},
        second={**here, "VERSION": 2},
        named={**here, "KEY_FUNCTION": by_prefix},
    )
    for number, alias in enumerate(("default", "prefixed", "second", "named")):
        caches[alias].set("key", number)
    assert [caches[alias].get("key") for alias in ("default", "prefixed", "second", "named")] == [0, 1, 2, 3]
    assert caches["default"].get("key", version=2) == 2
    caches["default"].clear()
    assert caches["prefixed"].get("key") is None


@pytest.mark.parametrize(
    "key", ["with space", "x" * 251, "tab\t", "\x00", "\x7f"], ids=["space", "long", "tab", "null", "delete"]
)
def test_keys_that_memcached_refuses_work_with_a_warning(cache, key):
    for use in (
        lambda: cache.set(key, 1),
        lambda: cache.get(key),
        lambda: cache.add(key, 2),
        lambda: cache.get_many([key]),
        lambda: cache.incr(key),
        lambda: cache.touch(key),
        lambda: cache.get_or_set(key, 3),
    ):
        with pytest.warns(CacheKeyWarning):
            result = use()
    assert result == 2


@pytest.mark.parametrize("key", ["ключ", "🐘", "a:b::c", "'quoted'", "back\\slash", "\ud800"], ids=ascii)
def test_keys_are_any_text(cache, key):
    cache.set(key, key)
    cache.set(key + "x", "other")
    assert cache.get(key) == key
    assert cache.delete(key)
    assert cache.get(key + "x") == "other"


def test_clear_removes_everything(cache):
    cache.set_many({"a": 1, "b": 2}, timeout=None)
    cache.clear()
    assert cache.get_many(["a", "b"]) == {}
    cache.set("a", 3)
    assert cache.get("a") == 3
    cache.delete_many(["a", "b"])
    assert cache.get("a") is None
    cache.close()


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_no_time_is_never_kept(cache, timeout):
    cache.set("key", 1)
    cache.set("key", 2, timeout=timeout)
    assert cache.get("key") is None
    cache.set_many({"key": 3}, timeout=timeout)
    assert cache.add("key", 4, timeout=timeout) is True
    assert cache.get_or_set("key", 5, timeout=timeout) == 5
    assert cache.get("key") is None
    cache.set("key", 6)
    assert cache.touch("key", timeout) is True
    assert cache.get("key") is None


def test_get_or_set(cache):
    calls = []
    assert cache.get_or_set("key", lambda: calls.append(1)) is None
    assert cache.get_or_set("key", lambda: calls.append(2)) is None
    assert calls == [1]
    assert cache.get_or_set("plain", 3) == 3
    assert cache.get("plain") == 3
    with pytest.raises(ZeroDivisionError):
        cache.get_or_set("fails", lambda: 1 // 0)
    assert "fails" not in cache


def test_who_needs_the_same_waits_for_one_computation(cache):
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def compute():
        calls.append(1)
        begun.set()
        wait_for(go_on)
        return {"a": 1}

    threads = [Running(lambda: caches["default"].get_or_set("key", compute)) for _ in range(5)]
    wait_for(begun)
    go_on.set()
    assert [thread.result() for thread in threads] == [{"a": 1}] * 5
    assert calls == [1]


def test_a_value_set_while_another_is_computed_stays(cache):
    def compute():
        cache.set("key", "set")
        return "computed"

    assert cache.get_or_set("key", compute) in {"computed", "set"}
    assert cache.get("key") == "set"


def test_a_key_within_its_own_computation_is_an_error(cache):
    for inner in (lambda: cache.get_or_set("key", 1), lambda: cache.add("key", 1)):
        with pytest.raises(RecursionError):
            cache.get_or_set("key", inner)


def test_async_forms(cache):
    async def use():
        await cache.aset("key", 1, 100, tags=["t"])
        assert await cache.aget("key") == 1
        assert await cache.aget("absent", "default") == "default"
        assert await cache.ahas_key("key")
        assert await cache.aincr("key", 4) == 5
        assert await cache.adecr("key") == 4
        assert await cache.aadd("key", 9) is False
        assert await cache.atouch("key", 50) is True
        assert await cache.aincr_version("key") == 2
        assert await cache.adecr_version("key", version=2) == 1
        assert await cache.aget_or_set("key", lambda: 1 / 0) == 4
        assert await cache.ainvalidate("t") > 0
        assert await cache.aget("key") is None
        assert await cache.aset_many({"a": 1, "b": 2}) == []
        assert await cache.aget_many(["a", "b", "c"]) == {"a": 1, "b": 2}
        assert await cache.adelete("a") is True
        await cache.adelete_many(["b"])
        await cache.aclear()
        assert await cache.aget_many(["a", "b"]) == {}

    asyncio.run(use())


STORING = {
    "set": lambda cache, tags: cache.set("key", [1], tags=tags),
    "set_many": lambda cache, tags: cache.set_many({"key": [1]}, tags=tags),
    "add": lambda cache, tags: cache.add("key", [1], tags=tags),
    "get_or_set": lambda cache, tags: cache.get_or_set("key", lambda: [1], tags=tags),
}
CHANGING = {
    "touch": lambda cache: cache.touch("key", 500),
    "incr": lambda cache: cache.incr("key"),
    "incr_version": lambda cache: (cache.incr_version("key"), cache.decr_version("key", version=2)),
}


class TestTags:
    def test_what_a_computation_stores_is_no_part_of_it(self, cache):
        cache.set("counter", 1, 3, tags=["c"])

        @cache.zoocache.cacheable(namespace=unique())
        def function():
            cache.set("a", 1, 2, tags=["b"])
            cache.incr("counter")
            cache.touch("counter", 5)
            return 7

        function()
        assert not {"b", "c"} & {found.tag for found in cache.zoocache.explain(function).dependencies}
        assert cache.zoocache.explain(function).expires_in is None

    @pytest.mark.parametrize("store", STORING.values(), ids=STORING)
    def test_an_invalidation_drops_what_depends_on_it(self, cache, store):
        for tag, invalidated in (
            ("product:1", "product:1"),
            ("product:1", "product"),
            ("product:*", "product:2"),
        ):
            store(cache, [tag, "other"])
            cache.set("unrelated", 1, tags="shop:1")
            assert cache.get("key") == [1]
            assert cache.invalidate(invalidated, "nothing") > 0
            assert cache.get("key") is None
            assert cache.get("unrelated") == 1

    @pytest.mark.parametrize("store", STORING.values(), ids=STORING)
    def test_an_invalid_tag_stores_nothing(self, cache, store):
        for tags in ("a|b", ["a", ""]):
            with pytest.raises(zoocache.InvalidTag):
                store(cache, tags)
            assert cache.get("key") is None

    @pytest.mark.parametrize("change", CHANGING.values(), ids=CHANGING)
    def test_tags_outlive_changes(self, cache, change):
        cache.set("key", 1, tags=["a:1", "b"])
        assert change(cache)
        assert cache.get("key") in {1, 2}
        cache.invalidate("a")
        assert cache.get("key") is None

    def test_an_invalidation_during_the_computation_is_not_missed(self, cache):
        def compute():
            cache.invalidate("product:1")
            return "old"

        assert cache.get_or_set("key", compute, tags=["product:1"]) == "old"
        assert cache.get("key") is None

    def test_what_a_computation_uses_counts(self, cache):
        cache.set("inner", 1, tags=["a"])

        def compute():
            zoocache.add_deps(["b"])
            return cache.get("inner")

        for tag in ("a", "b"):
            cache.set("inner", 1, tags=["a"])
            assert cache.get_or_set("outer", compute) == 1
            cache.invalidate(tag)
            assert cache.get("outer") is None

    def test_a_cached_function_depends_on_what_it_gets(self, cache):
        cache.set("key", 1, tags=["a"])

        @cache.zoocache.cacheable(namespace=unique())
        def function():
            return cache.get("key")

        assert function() == 1
        cache.invalidate("a")
        assert function() is None

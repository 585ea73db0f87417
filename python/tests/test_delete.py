"""`delete`: one key, and what becomes of computations of it."""

import asyncio

import zoocache
from zoocache import Cache, cacheable


def test_delete_removes_one_key_and_says_whether_it_was_there():
    zoocache.set_many({"a": 1, "b": 2})
    assert zoocache.delete("a") is True
    assert zoocache.get_many(["a", "b"]) == {"b": 2}
    assert zoocache.delete("a") is False
    assert zoocache.delete("never there") is False


def test_an_entry_that_is_stale_was_not_there():
    zoocache.set("a", 1, deps=["tag"])
    zoocache.invalidate("tag")
    assert zoocache.delete("a") is False


def test_delete_async():
    zoocache.set("a", None)
    assert asyncio.run(zoocache.delete_async("a")) is True
    assert zoocache.get("a", "absent") == "absent"


def test_delete_in_a_cache_of_its_own():
    zoocache.set("a", 1)
    with Cache() as cache:
        cache.set("a", 2)
        assert cache.delete("a") is True
    assert zoocache.get("a") == 1


def test_what_is_deleted_while_it_is_computed_is_not_stored():
    @cacheable(key=lambda: "only")
    def function():
        runs.append(zoocache.delete(function.key()))
        return len(runs)

    runs = []
    assert (function(), function()) == (1, 2)
    assert runs == [False, False]


def test_delete_takes_the_key_of_a_call():
    @cacheable
    def function(x):
        return x

    function(1)
    assert zoocache.delete(function.key(1)) is True
    assert zoocache.explain(function, 1).state == "absent"

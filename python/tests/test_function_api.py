"""What a cached function offers beside the call, and how it looks from outside."""

import asyncio
import copy
import datetime as dt
import gc
import inspect
import pickle
import threading
import typing
import weakref

import pytest
from helpers import Running, wait_for, wait_until

from zoocache import (
    CachedFunction,
    add_deps,
    cacheable,
    clear,
    explain,
    get,
    invalidate,
    set,
    stats,
)

counted = []


@cacheable
def documented(left: int, /, right: float = 2.5, *rest: str, flag: bool = False, **more: bytes) -> list[str]:
    """Tell what it was given."""
    counted.append(left)
    return [str(left), str(right), *rest, str(flag), *more]


@cacheable(deps=lambda number: [f"org:{number}:items:list"])
def listed(number):
    return number


@cacheable
async def awaited(number):
    return number


def test_it_looks_like_the_function():
    original = documented.__wrapped__
    assert type(original).__name__ == "function"
    assert documented.__name__ == "documented"
    assert documented.__qualname__ == "documented"
    assert documented.__module__ == __name__
    assert documented.__doc__ == "Tell what it was given."
    assert inspect.getdoc(documented) == "Tell what it was given."
    assert inspect.signature(documented) == inspect.signature(original)
    assert documented.__annotations__ == original.__annotations__
    assert typing.get_type_hints(documented)["return"] == list[str]
    assert inspect.unwrap(documented) is original
    assert inspect.getsource(documented).startswith("@cacheable\ndef documented")
    assert callable(documented)
    assert isinstance(documented, CachedFunction)


def test_repr_names_the_function():
    assert repr(documented) == f"<cached function {__name__}.documented>"
    assert repr(awaited) == f"<cached async function {__name__}.awaited>"


def test_attributes_of_the_function_are_kept_and_new_ones_can_be_set():
    def function():
        return 1

    function.route = "/"
    cached = cacheable(function)
    assert cached.route == "/"
    cached.limit = 5
    assert cached.limit == 5
    assert not hasattr(function, "limit")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_module_level_function_is_pickled_by_its_name(protocol):
    assert pickle.loads(pickle.dumps(documented, protocol)) is documented  # noqa: S301 - our own


def test_a_local_function_is_not_pickled():
    @cacheable
    def local():
        return 1

    with pytest.raises((pickle.PicklingError, AttributeError), match="local"):
        pickle.dumps(local)


def test_copies_are_the_function_itself():
    assert copy.copy(documented) is documented
    assert copy.deepcopy(documented) is documented
    assert copy.deepcopy({"function": documented})["function"] is documented


@pytest.mark.memory_only("its value has no bytes")
def test_a_function_can_be_referenced_weakly_and_dies():
    @cacheable
    def function():
        return died  # a cycle

    died = weakref.ref(function)
    assert function() is died
    del function
    gc.collect()
    assert died() is None


def test_a_function_is_equal_only_to_itself():
    assert documented == documented  # noqa: PLR0124 - the question here
    assert documented != listed
    assert len({documented, listed, documented}) == 2


def test_the_key_of_a_call():
    assert documented.key(1) == f"{__name__}.{documented.key(1).removeprefix(__name__ + '.')}"
    assert documented.key(1) == documented.key(1, 2.5) == documented.key(1, right=2.5, flag=False)
    assert documented.key(1) != documented.key(2)
    assert get(listed.key(1)) is None
    listed(1)
    assert get(listed.key(1)) == 1
    set(listed.key(1), "replaced")
    assert listed(1) == "replaced"


def test_invalidate_drops_one_call():
    assert not listed.invalidate(1)
    listed(1), listed(2)
    assert listed.invalidate(number=1)
    assert not listed.invalidate(1)
    assert get(listed.key(1)) is None
    assert get(listed.key(2)) == 2


def test_refresh_computes_and_stores():
    counted.clear()
    documented(1)
    assert documented.refresh(1) == ["1", "2.5", "False"]
    assert counted == [1, 1]
    documented(1)
    assert counted == [1, 1]


def test_refresh_of_a_function_that_fails_keeps_what_is_there():
    fails = False

    @cacheable
    def function():
        if fails:
            raise OSError
        return 1

    assert function() == 1
    fails = True
    with pytest.raises(OSError):  # noqa: PT011 - no text
        function.refresh()
    assert function() == 1


def test_refresh_and_bypass_of_an_async_function():
    numbers = iter(range(10))

    @cacheable
    async def function():
        return next(numbers)

    async def main():
        assert await function() == 0
        assert await function.bypass() == 1
        assert await function() == 0
        assert await function.refresh() == 2
        assert await function() == 2
        assert function.invalidate()
        assert await function() == 3

    asyncio.run(main())


def test_bypass_neither_reads_nor_stores():
    counted.clear()
    documented.bypass(1)
    assert counted == [1]
    documented(1)
    documented.bypass(1)
    assert counted == [1, 1, 1]
    assert documented.stats()["entries"] == 1


@pytest.mark.parametrize("operation", ["key", "invalidate", "refresh", "bypass"])
@pytest.mark.parametrize("function", [listed, awaited], ids=["sync", "async"])
def test_operations_refuse_arguments_that_do_not_fit(function, operation):
    with pytest.raises(TypeError, match=r"argument|number"):
        getattr(function, operation)(1, 2)
    with pytest.raises(TypeError, match=r"argument|number"):
        getattr(function, operation)()


def test_stats_count_what_happened():
    @cacheable(deps=["some"])
    def function(number):
        if number < 0:
            raise ValueError(number)
        return number

    assert function.stats() == {"hits": 0, "misses": 0, "stale": 0, "errors": 0, "entries": 0}
    function(1), function(1), function(1), function(2)
    with pytest.raises(ValueError, match="-1"):
        function(-1)
    assert function.stats() == {"hits": 2, "misses": 3, "stale": 0, "errors": 1, "entries": 2}
    invalidate("some")
    assert function.stats()["entries"] == 0
    function(1)
    assert function.stats() == {"hits": 2, "misses": 3, "stale": 1, "errors": 1, "entries": 1}


def test_the_tag_of_a_function_drops_all_its_entries():
    listed(1), listed(2), documented(1)
    invalidate(listed.tag)
    assert listed.stats()["entries"] == 0
    assert documented.stats()["entries"] == 1
    assert listed.tag != documented.tag
    listed(1)
    assert listed.stats()["entries"] == 1


def test_explain_an_absent_and_a_fresh_entry():
    absent = explain(listed, 1)
    assert (absent.state, absent.key) == ("absent", listed.key(1))
    assert (absent.cause, absent.dependencies) == (None, ())
    invalidate("org")
    listed(1)
    fresh = explain(listed, number=1)
    assert fresh.state == "fresh"
    assert fresh == explain(listed.key(1)) or fresh.age >= 0
    assert fresh.age >= 0
    assert fresh.expires_in is None
    assert fresh.cause is None
    assert [(each.tag, each.stale) for each in fresh.dependencies] == [
        ("org:1:items:list", False),
        (listed.tag, False),
    ]
    assert fresh.as_of is not None
    assert "fresh" in str(fresh)
    assert "org:1:items:list" in str(fresh)


@pytest.mark.parametrize("tag", ["org:1:items:list", "org:1:items", "org:1", "org"])
def test_explain_names_the_ancestor_that_made_it_stale(tag):
    listed(1)
    before = dt.datetime.now(tz=dt.timezone.utc) - dt.timedelta(seconds=1)
    invalidate(tag)
    stale = explain(listed, 1)
    assert stale.state == "stale"
    assert stale.cause.tag == tag
    assert before <= stale.cause.at <= before + dt.timedelta(seconds=10)
    assert stale.cause.at.tzinfo is dt.timezone.utc
    assert stale.cause.node
    assert stale.dependencies[0].tag == "org:1:items:list"
    assert stale.dependencies[0].stale
    assert not stale.dependencies[1].stale
    assert f"because '{tag}' was invalidated" in str(stale)


def test_explain_names_the_child_that_made_a_subtree_stale():
    @cacheable(deps=["org:1:*"])
    def aggregate():
        return 1

    aggregate()
    invalidate("org:2")
    assert explain(aggregate).state == "fresh"
    invalidate("org:1:items:7")
    stale = explain(aggregate)
    assert stale.state == "stale"
    assert stale.cause.tag in {"org:1:items:7", "org:1:*"}
    assert stale.dependencies[0].tag == "org:1:*"


def test_explain_names_the_function_tag():
    listed(1)
    invalidate(listed.tag)
    stale = explain(listed, 1)
    assert (stale.state, stale.cause.tag) == ("stale", listed.tag)


def test_explain_after_clear():
    listed(1)
    clear()
    assert explain(listed, 1).state in {"absent", "stale"}


def test_explain_an_expired_entry():
    @cacheable(ttl=0.05)
    def function():
        return 1

    function()
    assert explain(function).expires_in <= 0.05
    wait_until(lambda: explain(function).state != "fresh")
    assert explain(function).state in {"expired", "absent"}


def test_explain_neither_counts_nor_computes():
    listed(1)
    before = stats()
    function_before = listed.stats()
    explain(listed, 1), explain(listed, 2), explain("nothing")
    assert stats() == before
    assert listed.stats() == function_before


def test_explain_shows_what_add_deps_added():
    @cacheable
    def function():
        add_deps(["late"])

    function()
    invalidate("late")
    assert explain(function).cause.tag == "late"


def test_explain_refuses_what_is_no_key_and_no_function():
    for nonsense in (print, 5, None, b"key"):
        with pytest.raises(TypeError, match="cached function"):
            explain(nonsense)
    with pytest.raises(TypeError, match="no further arguments"):
        explain("key", 1)


def test_a_refresh_beside_a_computation():
    inside, proceed = threading.Event(), threading.Event()
    slow = True

    @cacheable
    def function():
        if slow:
            inside.set()
            wait_for(proceed)
        return slow

    other = Running(function)
    wait_for(inside)
    slow = False
    assert function.refresh() is False
    proceed.set()
    assert other.result() in {True, False}
    # The later computation is not overwritten by the earlier one.
    assert function() is False

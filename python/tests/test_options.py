"""Options of `cacheable`: what is stored, under which key, for how long."""

import asyncio
import datetime as dt
import inspect
import threading

import pytest
from helpers import Running, wait_for, wait_until

from zoocache import (
    ConfigError,
    SerializationError,
    add_deps,
    cacheable,
    configure,
    explain,
    invalidate,
    stats,
)
from zoocache._options import CacheableOptions


@pytest.mark.parametrize(
    "ttl", [90, 90.0, "90", dt.timedelta(seconds=90), "90s", "1m30s", "1.5m", "90000ms", " 1m 30s "]
)
def test_a_ttl_in_every_notation(clock, ttl):
    if ttl == "90":
        with pytest.raises(ConfigError, match="ttl"):
            cacheable(ttl=ttl)(lambda: None)
        return
    function = cacheable(ttl=ttl)(lambda: None)
    function()
    assert explain(function).expires_in == 90


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h", 3600), ("1h30m", 5400), ("2d", 172_800), ("1w", 604_800), ("0.5s", 0.5), ("10m", 600)],
)
def test_units(clock, text, seconds):
    function = cacheable(ttl=text)(lambda: None)
    function()
    assert explain(function).expires_in == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "10", "10 minutes", "1h-5m", "-1s", "1e3s", "٣s", "1m" * 100, "0s"]
)
def test_texts_that_are_no_ttl(text):
    with pytest.raises(ConfigError, match="ttl"):
        cacheable(ttl=text)(lambda: None)


def test_configure_takes_texts_too(clock):
    configure(default_ttl="1m", flight_timeout="10s")
    function = cacheable(lambda: None)
    function()
    assert explain(function).expires_in == 60


def test_a_ttl_of_the_result(clock):
    runs = []

    @cacheable(ttl=lambda result: {"short": 1, "long": "1h", "none": 0, "default": None}[result])
    def function(result):
        runs.append(result)
        return result

    for result in ("short", "long", "none", "default"):
        function(result)
    assert explain(function, "short").expires_in == 1
    assert explain(function, "long").expires_in == 3600
    assert explain(function, "none").state == "absent"
    assert explain(function, "default").expires_in is None


@pytest.mark.parametrize("answer", [-1, "soon", True, [1]])
def test_a_nonsense_ttl_of_the_result_is_an_error_of_the_call(answer):
    function = cacheable(ttl=lambda _: answer)(lambda: 1)
    for _ in range(2):
        with pytest.raises(ConfigError, match="ttl"):
            function()
    assert stats()["entries"] == 0


def test_results_that_are_not_stored():
    runs = []

    @cacheable(cache_if=lambda result: result is not None)
    def function(key):
        runs.append(key)
        return key or None

    assert [function(0), function(0), function(1), function(1)] == [None, None, 1, 1]
    assert runs == [0, 0, 1]


def test_results_that_are_not_stored_async():
    runs = []

    @cacheable(cache_if=bool)
    async def function(key):
        runs.append(key)
        return key

    async def main():
        return [await function(0), await function(0), await function(1), await function(1)]

    assert asyncio.run(main()) == [0, 0, 1, 1]
    assert runs == [0, 0, 1]


def test_what_is_not_stored_is_shared_by_those_who_wait():
    entered, go_on, runs = threading.Event(), threading.Event(), []

    @cacheable(cache_if=lambda _: False)
    def function():
        runs.append(1)
        entered.set()
        wait_for(go_on)
        return len(runs)

    first = Running(function)
    wait_for(entered)
    second = Running(function)
    wait_until(lambda: stats()["waits"] == 1)
    go_on.set()
    assert (first.result(), second.result()) == (1, 1)
    assert function() == 2


def test_what_is_not_stored_leaves_what_is():
    results = iter([1, None, 3])
    function = cacheable(ttl=10, cache_if=lambda result: result is not None)(lambda: next(results))
    assert function() == 1
    assert function.refresh() is None
    assert function() == 1


def test_what_is_not_stored_passes_its_dependencies_on():
    inner = cacheable(deps=["inner"], cache_if=lambda _: False)(lambda: 1)
    runs = []

    @cacheable
    def outer():
        runs.append(1)
        return inner()

    outer(), outer()
    invalidate("inner")
    outer()
    assert len(runs) == 2


@pytest.mark.parametrize("option", ["cache_if", "ttl"])
def test_what_such_a_function_raises_reaches_the_caller(option):
    def fail(_):
        raise LookupError("no answer")

    function = cacheable(**{option: fail})(lambda: 1)
    for _ in range(2):
        with pytest.raises(LookupError, match="no answer"):
            function()
    assert stats()["errors"] == 2


@pytest.mark.parametrize("option", ["cache_if", "ttl", "key"])
def test_such_a_function_may_not_be_async(option):
    async def asynchronous(_):
        return 1

    with pytest.raises(ConfigError, match=option):
        cacheable(**{option: asynchronous})(lambda: 1)


def test_such_a_function_is_part_of_the_computation():
    @cacheable(cache_if=lambda _: add_deps(["found:late"]) or True)
    def function():
        return 1

    function()
    assert "found:late" in [dependency.tag for dependency in explain(function).dependencies]


def test_a_key_of_ones_own():
    runs = []

    class Request:
        def __init__(self, user, trace):
            self.user, self.trace = user, trace

    @cacheable(key=lambda request: request.user)
    def function(request, verbose=False):
        runs.append(request)
        return request.user

    assert function(Request("ann", 1)) == function(Request("ann", 2), verbose=True) == "ann"
    assert function(Request("bob", 3)) == "bob"
    assert len(runs) == 2
    assert function.key(Request("ann", 4)).endswith("('ann')")


def test_a_key_of_ones_own_may_depend_on_more_than_the_arguments():
    tenant = ["a"]
    function = cacheable(key=lambda number: (tenant[0], number))(lambda number: (tenant[0], number))
    assert function(1) == ("a", 1)
    assert function(1) == ("a", 1)
    tenant[0] = "b"
    assert function(1) == ("b", 1)
    tenant[0] = "a"
    assert function.invalidate(1)
    assert not function.invalidate(1)


def test_keys_of_ones_own_are_never_confused():
    def repr_of(value):
        return repr(value)

    function = cacheable(key=lambda value: value)(repr_of)
    values = [1, True, 1.0, "1", (1,), [1], None, b"1", "'1'", ("1", 2), "1', 2"]
    assert [function(value) for value in values] == [repr(value) for value in values]


def test_a_key_of_ones_own_on_a_method():
    class Shop:
        def __init__(self, number):
            self.number = number

        @cacheable(key=lambda self, item: (self.number, item))
        def price(self, item):
            return (self.number, item)

    assert Shop(1).price("a") == (1, "a")
    assert Shop(2).price("a") == (2, "a")
    assert Shop(1).price(item="a") == (1, "a")


def test_a_key_of_ones_own_without_an_encoding():
    function = cacheable(key=lambda value: object())(lambda value: value)
    with pytest.raises(ValueError, match=r"key.*stable encoding"):
        function(1)


@pytest.mark.parametrize(
    "options",
    [{"key": "name"}, {"key": lambda value: value, "ignore": ["value"]}, {"key": 3}],
)
def test_keys_that_make_no_sense(options):
    with pytest.raises(ConfigError, match=r"key|ignore"):
        cacheable(**options)(lambda value: value)


def test_a_key_that_wants_an_unknown_parameter():
    with pytest.raises(TypeError, match="key wants 'user'"):
        cacheable(key=lambda user: user)(lambda value: value)


def test_jitter_shortens_by_chance(clock):
    function = cacheable(ttl=100, jitter=0.2)(lambda number: number)
    for number in range(200):
        function(number)
    left = [explain(function, number).expires_in for number in range(200)]
    assert 80 <= min(left) < 85
    assert 95 < max(left) <= 100
    assert len(set(left)) > 100


@pytest.mark.parametrize("jitter", [-0.1, 1, 1.5, "0.1", True, float("nan")])
def test_jitter_that_makes_no_sense(jitter):
    with pytest.raises(ConfigError, match="jitter"):
        cacheable(jitter=jitter)(lambda: None)


def test_an_early_refresh_happens_before_the_expiry(clock):
    runs = []

    # The computation takes two seconds; a beta this large makes the refresh all but certain.
    @cacheable(ttl=100, early_refresh=1e9)
    def function():
        runs.append(1)
        clock.advance(2)
        return len(runs)

    assert function() == 1
    assert function() == 1  # served, and begun anew
    wait_until(lambda: stats()["computations"] == 2)
    assert function() >= 2
    assert stats()["refreshes"] >= 1
    assert stats()["expired"] == 0


def test_an_early_refresh_is_rare_long_before_the_expiry(clock):
    runs = []

    @cacheable(ttl=1000, early_refresh=1.0)
    def function():
        runs.append(1)
        clock.advance(0.01)
        return len(runs)

    for _ in range(1000):
        assert function() == 1
    assert stats()["refreshes"] == 0


def test_reads_do_not_extend_the_life_of_what_is_refreshed_early(clock):
    runs = []
    function = cacheable(ttl=10, early_refresh=0.001)(lambda: runs.append(1))
    for _ in range(12):
        function()
        clock.advance(1)
    assert len(runs) == 2


def test_an_early_refresh_of_an_async_function(clock):
    runs = []

    @cacheable(ttl=100, early_refresh=1e9)
    async def function():
        runs.append(1)
        clock.advance(2)
        return len(runs)

    async def main():
        assert await function() == 1
        assert await function() == 1
        while stats()["computations"] < 2:
            await asyncio.sleep(0)
        assert await function() >= 2

    asyncio.run(main())


@pytest.mark.parametrize("beta", [0, -1, True, "1", float("inf"), float("nan")])
def test_an_early_refresh_that_makes_no_sense(beta):
    with pytest.raises(ConfigError, match="early_refresh"):
        cacheable(early_refresh=beta)(lambda: None)


def test_what_cannot_be_stored_is_an_error_or_returned():
    def numbers():
        yield 1

    def function():
        return numbers()

    strict = cacheable(function)
    lenient = cacheable(on_unserializable="return")(function)
    with pytest.raises(SerializationError):
        strict()
    assert list(lenient()) == [1]
    assert list(lenient()) == [1]
    assert stats()["entries"] == 0


def test_what_cannot_be_stored_is_computed_by_each_who_waits():
    entered, go_on, runs = threading.Event(), threading.Event(), []

    @cacheable(on_unserializable="return")
    def function():
        runs.append(1)
        entered.set()
        wait_for(go_on)
        return iter([len(runs)])

    first = Running(function)
    wait_for(entered)
    second = Running(function)
    wait_until(lambda: stats()["waits"] == 1)
    go_on.set()
    assert sorted([*first.result(), *second.result()]) == [1, 2]


@pytest.mark.parametrize("value", ["ignore", None, True])
def test_on_unserializable_that_makes_no_sense(value):
    with pytest.raises(ConfigError, match="on_unserializable"):
        cacheable(on_unserializable=value)(lambda: None)


def test_copy_that_makes_no_sense():
    with pytest.raises(ConfigError, match="copy"):
        cacheable(copy="deepest")(lambda: None)


def test_options_through_a_name_that_does_not_exist():
    with pytest.raises(TypeError, match="expires"):
        cacheable(expires=3)(lambda: None)


def test_the_typed_options_are_those_that_there_are():
    names = list(inspect.signature(cacheable).parameters)
    assert names[0] == "func"
    assert names[1:] == list(CacheableOptions.__annotations__)

"""The module functions: configuration, tags, and the storage by key."""

import asyncio
import datetime as dt
import re

import pytest
from helpers import program, wait_until

import zoocache
from zoocache import (
    ConfigError,
    InvalidTag,
    add_deps,
    cacheable,
    clear,
    configure,
    get,
    get_tag_version,
    invalidate,
    prune,
    reset,
)


def test_first_use_configures_the_defaults():
    zoocache.set("key", "value")
    assert get("key") == "value"
    configure()
    with pytest.raises(RuntimeError, match="max_entries"):
        configure(max_entries=5)


def test_configuring_again_with_the_same_settings_is_harmless():
    configure(max_entries=100, default_ttl=5)
    zoocache.set("key", "value")
    configure(max_entries=100, default_ttl=5)
    configure(max_entries=100)
    configure()
    assert get("key") == "value"


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({}, {"max_entries": 7}, "max_entries=None"),
        ({"max_entries": 6}, {"max_entries": 7}, "max_entries=6"),
        ({"default_ttl": 5}, {"default_ttl": 6}, "default_ttl"),
        ({"prefix": "a"}, {"prefix": "b"}, "prefix"),
        ({"read_extend_ttl": True}, {"read_extend_ttl": False}, "read_extend_ttl"),
        ({"flight_timeout": 5}, {"flight_timeout": 6}, "flight_timeout"),
        ({"storage_url": None}, {"lru_cache_size": 6}, "lru_cache_size"),
    ],
)
def test_other_settings_are_refused(first, second, named):
    configure(**first)
    with pytest.raises(RuntimeError, match=re.escape(named)):
        configure(**second)


def test_memory_urls_are_the_same_setting():
    configure()
    configure(storage_url="memory://")


def test_reset_allows_other_settings():
    configure(max_entries=5)
    zoocache.set("key", "value")
    reset()
    configure(max_entries=6)
    assert get("key") is None


@pytest.mark.parametrize(
    ("parameter", "nonsense"),
    [
        ("max_entries", 0),
        ("max_entries", -1),
        ("max_entries", 1.5),
        ("max_entries", True),
        ("max_entries", 2**64),
        ("default_ttl", -1),
        ("default_ttl", 0),
        ("default_ttl", float("nan")),
        ("default_ttl", float("-inf")),
        ("default_ttl", "10"),
        ("default_ttl", dt.timedelta(seconds=-1)),
        ("flight_timeout", -1),
        ("flight_timeout", 0),
        ("storage_url", "ftp://host"),
        ("storage_url", "nonsense"),
        ("storage_url", ""),
        ("storage_url", 5),
        ("prune_after", -1),
        ("auto_prune_secs", -1),
        ("auto_prune_interval", -1),
        ("tti_flush_secs", -1),
        ("lru_update_interval", -1),
        ("lmdb_map_size", 0),
        ("lmdb_map_size", -5),
        ("channel_capacity", 0),
        ("batch_size", 0),
        ("lru_cache_size", -1),
        ("prefix", 5),
    ],
)
def test_nonsense_is_a_value_error_that_names_the_parameter(parameter, nonsense):
    with pytest.raises(ValueError, match=parameter) as caught:
        configure(**{parameter: nonsense})
    assert isinstance(caught.value, ConfigError)
    # Nothing was configured.
    configure(max_entries=5)


def test_a_refused_url_does_not_show_its_password():
    with pytest.raises(ConfigError) as caught:
        configure(storage_url="ftp://user:secret@host")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_a_switch_is_a_bool(value):
    with pytest.raises(ConfigError, match="read_extend_ttl must be a bool"):
        configure(read_extend_ttl=value)
    configure(read_extend_ttl=False)


@pytest.mark.parametrize("url", ["memory://x", "memory://user:secret@host", "memory:///"])
def test_the_memory_url_takes_nothing_after_it(url):
    with pytest.raises(ConfigError, match="memory:// takes nothing after it") as caught:
        configure(storage_url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("copy", [1, None, True, "never", b"auto", ["auto"]])
def test_a_senseless_copy_is_refused(copy):
    with pytest.raises(ConfigError, match='copy must be "auto", "share" or "deep"'):
        cacheable(copy=copy)(lambda: None)


def test_importing_does_not_import_asyncio():
    source = """
        import sys, threading
        import zoocache
        f = zoocache.cacheable(lambda x: x)
        thread = threading.Thread(target=f, args=(1,))
        thread.start(); f(1); thread.join(); f(1)
        print("asyncio" in sys.modules)
        @zoocache.cacheable
        async def g(): ...
        # Now, not in a process that is forked while another thread imports it.
        print("zoocache._async" in sys.modules)
    """
    assert program(source) == "False\nTrue\n"


def test_cached_functions_are_made_by_the_decorator_only():
    for arguments in [(1, 2), (len, None), (len, object())]:
        with pytest.raises(TypeError, match=r"made by zoocache\.cacheable"):
            zoocache.CachedFunction(*arguments)


def test_every_published_parameter_is_accepted():
    configure(
        storage_url="memory://",
        bus_url=None,
        prefix="app",
        prune_after=60,
        default_ttl=60,
        read_extend_ttl=False,
        max_entries=10,
        lmdb_map_size=1 << 20,
        flight_timeout=5,
        tti_flush_secs=1,
        auto_prune_secs=60,
        auto_prune_interval=60,
        lru_update_interval=1,
        channel_capacity=10,
        batch_size=10,
        lru_cache_size=10,
        telemetry=None,
    )
    assert get("key") is None


@pytest.mark.parametrize("ttl", [10**400, 1e308, float("inf"), 2**63, 2**53, dt.timedelta.max])
def test_a_huge_ttl_never_overflows(ttl):
    configure(default_ttl=ttl, flight_timeout=ttl)

    @cacheable(ttl=ttl)
    def f(x):
        return [x]

    assert f(1) == f(1) == [1]
    assert f.stats()["hits"] == 1
    zoocache.set("key", 1, ttl=ttl)
    assert get("key") == 1


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), "5", True, dt.timedelta(0)])
def test_a_senseless_ttl_is_refused(ttl):
    with pytest.raises(ConfigError, match="ttl"):
        cacheable(ttl=ttl)(lambda: None)
    with pytest.raises(ConfigError, match="ttl"):
        zoocache.set("key", 1, ttl=ttl)
    assert get("key") is None


def test_get_and_set():
    assert get("key") is None
    zoocache.set("key", {"a": [1]})
    assert get("key") == {"a": [1]}
    zoocache.set("key", 2)
    assert get("key") == 2
    zoocache.set("", "the empty key is a key")
    assert get("") == "the empty key is a key"


def test_set_with_dependencies():
    zoocache.set("key", 1, deps=["a:b"])
    invalidate("other")
    assert get("key") == 1
    invalidate("a")
    assert get("key") is None
    zoocache.set("key", 2, ("a:b",))
    assert get("key") == 2


def test_set_refuses_a_single_string_as_dependencies():
    with pytest.raises(TypeError, match=r"deps=\['a:b'\]"):
        zoocache.set("key", 1, "a:b")
    with pytest.raises(TypeError, match="must be a str"):
        zoocache.set("key", 1, [5])
    assert get("key") is None


def test_async_forms_do_the_same():
    async def main():
        await zoocache.set_async("key", 1, deps=["a"], ttl=60)
        assert await zoocache.get_async("key") == 1
        position = await zoocache.invalidate_async("a")
        assert get_tag_version("a") == position
        assert await zoocache.get_async("key") is None
        await zoocache.set_async("key", 2)
        await zoocache.clear_async()
        assert await zoocache.get_async("key") is None

    asyncio.run(main())


def test_clear_makes_everything_stale_and_positions_keep_rising():
    calls = []

    @cacheable
    def f(x):
        calls.append(x)
        return x

    first = invalidate("a")
    zoocache.set("key", 1, deps=["a"])
    f(1)
    clear()
    assert get("key") is None
    f(1)
    assert calls == [1, 1]
    assert get_tag_version("a") >= first
    assert invalidate("a") > first


def test_versions_rise_strictly():
    assert get_tag_version("a:b") == 0
    last = 0
    for _ in range(1000):
        position = invalidate("a:b")
        assert position > last
        assert get_tag_version("a:b") == position
        last = position
    assert get_tag_version("a") == 0
    assert get_tag_version("a:b:c") == last


def test_invalidating_several_tags_is_one_position():
    position = invalidate("a", "b:c", "d:*")
    assert [get_tag_version(tag) for tag in ("a", "b:c", "d")] == [position] * 3


def test_invalidating_nothing_is_an_error():
    with pytest.raises(TypeError):
        invalidate()


def test_one_bad_tag_invalidates_nothing():
    with pytest.raises(InvalidTag):
        invalidate("good", "not good")
    assert get_tag_version("good") == 0


def test_prune_forgets_only_what_nothing_needs():
    zoocache.set("key", 1, deps=["used:1"])
    for number in range(100):
        invalidate(f"unused:{number}")
    assert prune(3600) == 0

    def forgotten():
        # Positions made within one microsecond run ahead of the clock a little.
        prune(0)
        return zoocache.stats()["tags"] <= 3

    wait_until(forgotten)
    assert get("key") == 1
    invalidate("used:1")
    prune(0)
    assert get("key") is None


def test_prune_never_brings_a_stale_entry_back():
    zoocache.set("key", 1, deps=["a:b:c"])
    invalidate("a:b")
    for _ in range(3):
        prune(0)
        assert get("key") is None


@pytest.mark.parametrize("nonsense", [-1, float("nan"), "5"])
def test_prune_refuses_nonsense(nonsense):
    with pytest.raises(ValueError, match="max_age_secs"):
        prune(nonsense)


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", zoocache.version())
    assert zoocache.__version__ == zoocache.version()


def test_importing_warns_about_nothing():
    assert program("import zoocache; print(zoocache.version())", "-W", "error").strip() == zoocache.version()


def test_every_public_name_exists():
    for name in zoocache.__all__:
        assert getattr(zoocache, name) is not None


BAD_TAGS = [
    ("", "Tag cannot be empty"),
    ("x" * 257, "Tag length exceeded"),
    (":".join("x" * 17), "Tag depth exceeded"),
    (":a", "Tag cannot start or end with ':' or '.'"),
    ("a:", "Tag cannot start or end with ':' or '.'"),
    (".a", "Tag cannot start or end with ':' or '.'"),
    ("a.", "Tag cannot start or end with ':' or '.'"),
    ("a::b", "Tag cannot contain consecutive separators"),
    ("a..b", "Tag cannot contain consecutive separators"),
    ("a.:b", "Tag cannot contain consecutive separators"),
    ("a:.b", "Tag cannot contain consecutive separators"),
    ("a|b", "Invalid character '|' in tag"),
    ("a b", "Invalid character ' ' in tag"),
    ("a\0b", "Invalid character"),
    ("a\nb", "Invalid character"),
    ("a:*:b", "Invalid character '*' in tag"),
    ("a*", "Invalid character '*' in tag"),
    ("a\ud800", "Invalid character"),
]


@pytest.mark.parametrize(("tag", "fault"), BAD_TAGS)
def test_the_text_of_an_invalid_tag_names_the_fault(tag, fault):
    def refused(use):
        with pytest.raises(InvalidTag) as caught:
            use()
        assert str(caught.value).startswith(fault)
        assert isinstance(caught.value, ValueError)

    refused(lambda: invalidate(tag))
    refused(lambda: get_tag_version(tag))
    refused(lambda: zoocache.set("key", 1, deps=[tag]))
    refused(lambda: cacheable(deps=[tag])(lambda: None))
    assert get("key") is None


@pytest.mark.parametrize(
    "tag",
    [
        "x",
        "x" * 256,
        "é" * 256,
        ":".join("x" * 16),
        "a-b_c/d@e+f=g~h%i.j:1",
        "商品:42",
        "a:b:*",
    ],
)
def test_good_tags(tag):
    zoocache.set("key", 1, deps=[tag])
    assert get("key") == 1
    invalidate(tag)
    assert get("key") is None


def test_an_invalid_computed_tag_is_refused_before_anything_is_computed():
    calls = []

    @cacheable(deps=lambda x: [f"good:{x}", f"bad {x}"])
    def f(x):
        calls.append(x)

    @cacheable(deps=lambda x: [f"bad {x}"])
    async def g(x):
        calls.append(x)

    for _ in range(2):
        with pytest.raises(InvalidTag, match="Invalid character ' '"):
            f(1)
        with pytest.raises(InvalidTag, match="Invalid character ' '"):
            asyncio.run(g(1))
    assert calls == []


def test_an_invalid_tag_of_add_deps_reaches_the_function():
    @cacheable
    def f():
        add_deps(["bad tag"])

    with pytest.raises(InvalidTag):
        f()
    with pytest.raises(InvalidTag):
        f()


def test_add_deps_outside_of_a_cached_function_does_nothing():
    add_deps(["a:b"])
    add_deps(["not even valid!"])
    assert get_tag_version("a:b") == 0


def test_add_deps_refuses_a_single_string():
    @cacheable
    def f():
        add_deps("product:1")

    with pytest.raises(TypeError, match="product:1"):
        f()


def test_deps_may_name_only_the_parameters_it_needs():
    seen = []

    @cacheable(deps=lambda pid: seen.append(pid) or [f"product:{pid}"])
    def f(store, pid=7, *, lang="en", **more):
        return (store, pid, lang, more)

    f(1)
    f(1, 8)
    f(1, pid=9, lang="de", colour="red")
    assert seen == [7, 8, 9]
    assert f.stats()["entries"] == 3
    invalidate("product:8")
    assert f.stats()["entries"] == 2


def test_deps_may_be_given_everything():
    seen = []

    @cacheable(deps=lambda **given: seen.append(given) or ["a"])
    def f(a, b=2, **more):
        return a

    f(1, c=3)
    assert seen == [{"a": 1, "b": 2, "c": 3}]


def test_deps_may_be_given_the_positional_arguments():
    @cacheable(deps=lambda *ids: [f"product:{pid}" for pid in ids])
    def f(*ids):
        return sum(ids)

    assert f(1, 2, 3) == 6
    invalidate("product:2")
    assert f.stats()["entries"] == 0


def test_deps_may_name_the_extra_arguments():
    seen = []

    @cacheable(deps=lambda ids, more: seen.append((ids, more)) or [f"product:{pid}" for pid in ids])
    def f(first, /, *ids, **more):
        return first

    f(0, 1, 2, first=3)
    assert seen == [((1, 2), {"first": 3})]
    invalidate("product:2")
    assert f.stats()["entries"] == 0


def test_deps_gets_positional_and_named_arguments():
    seen = []

    @cacheable(deps=lambda a, *rest, flag, **more: seen.append((a, rest, flag, more)) or [])
    def f(a, b, *rest, flag=True, other=1, **more):
        return a

    f(1, 2, 3, x=4)
    assert seen == [(1, (2, 3), True, {"other": 1, "x": 4})]


def test_deps_may_have_positional_only_parameters():
    @cacheable(deps=lambda pid, /: [f"product:{pid}"])
    def f(pid, lang="en"):
        return pid

    f(1)
    f(pid=2)
    assert f.stats()["entries"] == 2
    invalidate("product:2")
    assert f.stats()["entries"] == 1


def test_deps_may_be_a_function_without_a_signature():
    @cacheable(deps={1: ["a"], 2: ["b"]}.get)
    def f(key):
        return key

    f(1)
    f(2)
    invalidate("a")
    assert f.stats()["entries"] == 1


def test_deps_that_wants_what_is_not_there_is_refused_at_decoration():
    with pytest.raises(TypeError, match="'product'"):

        @cacheable(deps=lambda product: [])
        def f(pid):
            return pid


def test_a_single_string_as_deps_is_refused_at_decoration():
    with pytest.raises(TypeError, match=r"deps=\['a:b'\]"):
        cacheable(deps="a:b")(lambda: None)
    with pytest.raises(TypeError, match="must be a str"):
        cacheable(deps=[5])(lambda: None)


def test_deps_may_be_any_iterable_and_is_read_once():
    @cacheable(deps=(tag for tag in ("a", "b")))
    def f(x):
        return x

    for tag in ("a", "b"):
        f(1)
        invalidate(tag)
        assert f.stats()["entries"] == 0


def test_an_exception_of_deps_passes_through_and_nothing_is_computed():
    error = LookupError("no")
    calls = []

    def deps(x):
        raise error

    @cacheable(deps=deps)
    def f(x):
        calls.append(x)

    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            f(1)
        assert caught.value is error
    assert calls == []


def test_cached_none_is_a_hit():
    calls = []

    @cacheable
    def f():
        calls.append(1)

    assert f() is f() is None
    assert len(calls) == 1


def test_exceptions_are_not_cached_and_pass_through():
    error = LookupError("gone")
    calls = []

    @cacheable
    def f(x):
        calls.append(x)
        if len(calls) < 3:
            raise error
        return "there"

    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            f(1)
        assert caught.value is error
    assert f(1) == f(1) == "there"
    assert len(calls) == 3
    assert f.stats() == {"hits": 1, "misses": 3, "stale": 0, "errors": 2, "entries": 1}


def test_arguments_that_do_not_fit_raise_what_the_function_raises():
    def plain(a, b):
        return a

    cached = cacheable(plain)
    for call in (lambda f: f(1), lambda f: f(1, 2, 3), lambda f: f(1, a=2), lambda f: f(1, 2, c=3)):
        with pytest.raises(TypeError) as expected:
            call(plain)
        with pytest.raises(TypeError) as caught:
            call(cached)
        assert str(caught.value) == str(expected.value)
    with pytest.raises(TypeError):
        cached.key(1)


def test_max_entries_bounds_the_whole_cache():
    configure(max_entries=100)

    @cacheable
    def f(x):
        return x

    @cacheable
    def g(x):
        return -x

    for number in range(1000):
        assert f(number) == number
        assert g(number) == -number
        zoocache.set(f"key {number}", number)
        assert zoocache.stats()["entries"] <= 100
    assert zoocache.stats()["evicted"] >= 2900
    assert f.stats()["entries"] + g.stats()["entries"] <= 100


def test_max_entries_of_one():
    configure(max_entries=1)

    @cacheable
    def f(x):
        return [x]

    for number in range(20):
        assert f(number) == [number]
        assert zoocache.stats()["entries"] <= 1


def test_ttl_expires():
    configure(read_extend_ttl=False)
    calls = []

    @cacheable(ttl=0.02)
    def f(x):
        calls.append(x)
        return len(calls)

    first = f(1)
    # Read in a loop: a hit does not extend the time.
    wait_until(lambda: f(1) != first)
    zoocache.set("key", 1, ttl=dt.timedelta(milliseconds=5))
    wait_until(lambda: get("key") is None)


def test_default_ttl_expires():
    configure(default_ttl=0.01, read_extend_ttl=False)
    zoocache.set("key", 1)
    wait_until(lambda: get("key") is None)

    @cacheable
    def f():
        return object()

    first = f()
    wait_until(lambda: f() is not first)


def test_ttl_of_the_function_wins_over_the_default():
    configure(default_ttl=0.001)

    @cacheable(ttl=3600)
    def f():
        return object()

    first = f()
    zoocache.set("key", 1)
    wait_until(lambda: get("key") is None)
    assert f() is first


def test_time_to_idle_is_extended_by_hits():
    configure(default_ttl=0.4)
    zoocache.set("idle", 1)
    zoocache.set("busy", 1)

    def idle_is_gone():
        assert get("busy") == 1
        return zoocache.explain("idle").state != "fresh"

    wait_until(idle_is_gone)
    assert get("busy") == 1
    assert get("idle") is None

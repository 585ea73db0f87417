"""`invalidates`: functions that change data say what they change."""

import asyncio
import functools
import inspect
import pickle
from dataclasses import dataclass

import pytest

import zoocache
from zoocache import (
    Cache,
    ConfigError,
    InvalidTag,
    cacheable,
    explain,
    invalidates,
    invalidation_batch,
    on_invalidate,
)
from zoocache.testing import frozen_time


@pytest.fixture
def told():
    told = []
    on_invalidate(lambda tags, position: told.append(tags))
    return told


@dataclass
class Order:
    number: int
    customer_id: int
    _secret: int = 0


def test_tags_and_templates(told):
    @invalidates("stock", "product:{pid}:price", "customer:{order.customer_id}:{lang}")
    def buy(pid, order, /, amount=1, *, lang="en"):
        assert told == []
        return pid * amount

    assert buy(7, Order(1, 5), 2) == 14
    assert told == [["stock", "product:7:price", "customer:5:en"]]
    told.clear()
    buy(8, Order(1, 6), lang="de")
    assert told == [["stock", "product:8:price", "customer:6:de"]]


def test_callables_name_what_they_need(told):
    @invalidates(
        lambda pid: [f"product:{pid}"],
        lambda **arguments: {f"all-{len(arguments)}"},
        lambda result, pid: (f"order:{result.number}", f"customer:{result.customer_id}:{pid}"),
        lambda missing="default": [missing],
    )
    def order(pid, amount=1):
        return Order(number=9, customer_id=amount)

    order(7)
    assert told == [["product:7", "all-2", "default", "order:9", "customer:1:7"]]


def test_a_parameter_called_result_is_the_argument(told):
    @invalidates(lambda result: [f"r:{result}"])
    def f(result):
        return "other"

    f(1)
    assert told == [["r:1"]]


def test_async(told):
    @invalidates("product:{pid}", lambda result: [f"order:{result}"])
    async def buy(pid):
        await asyncio.sleep(0)
        assert told == []
        return pid + 1

    assert inspect.iscoroutinefunction(buy)
    assert asyncio.run(buy(1)) == 2
    assert told == [["product:1", "order:2"]]


def test_an_exception_invalidates_nothing(told):
    @invalidates("a")
    def fails():
        raise KeyError

    @invalidates("a")
    async def fails_too():
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    with pytest.raises(KeyError):
        asyncio.run(fails_too())
    assert told == []


def test_what_does_not_need_the_result_is_checked_before(told):
    calls = []

    @invalidates("product:{pid}", lambda tags: tags)
    def change(pid, tags=()):
        calls.append(pid)

    for pid, tags, error in [
        ("a|b", (), InvalidTag),
        ("", (), InvalidTag),
        ("a:b", (), InvalidTag),
        ("*", (), InvalidTag),
        (1, ("x|",), InvalidTag),
        (1, ("x", 5), TypeError),
        (1, "x", TypeError),
    ]:
        with pytest.raises(error):
            change(pid, tags)
    with pytest.raises(TypeError):
        change()
    assert [calls, told] == [[], []]


def test_a_value_with_levels_names_itself_and_the_remedy():
    @invalidates("product:{pid}")
    def change(pid):
        raise AssertionError

    with pytest.raises(InvalidTag, match=r"\{pid\}.*'1:2'.*callable"):
        change("1:2")


def test_an_invalid_tag_of_the_result_invalidates_the_others(told):
    @invalidates("known", lambda result: [result])
    def change(value):
        return value

    with pytest.raises(InvalidTag):
        change("a|b")
    assert told == [["known"]]


@pytest.mark.parametrize(
    ("template", "error", "text"),
    [
        ("product:{id}", TypeError, "names 'id'.*it has \\['pid', 'order'\\]"),
        ("product:{result}", TypeError, "callables"),
        ("product:{}", InvalidTag, "names of parameters"),
        ("product:{0}", InvalidTag, "names of parameters"),
        ("product:{pid!r}", InvalidTag, "callable"),
        ("product:{pid:>5}", InvalidTag, "callable"),
        ("product:{order[0]}", InvalidTag, "callable"),
        ("product:{order._secret}", InvalidTag, "public"),
        ("product:{order.__class__}", InvalidTag, "public"),
        ("product:{pid", InvalidTag, "not valid"),
        ("product|{pid}", InvalidTag, "Invalid character"),
        ("{{pid}}", InvalidTag, "Invalid character"),
        ("", InvalidTag, "empty"),
    ],
)
def test_a_template_is_checked_at_decoration(template, error, text):
    with pytest.raises(error, match=text):

        @invalidates(template)
        def change(pid, order):
            raise AssertionError


def test_a_callable_is_checked_at_decoration():
    with pytest.raises(TypeError, match="names 'id'"):
        invalidates(lambda id: [id])(lambda pid: pid)
    for by_position in (lambda *args: [], lambda pid, /: [pid]):
        with pytest.raises(TypeError, match="by position"):
            invalidates(by_position)(lambda pid: pid)


def test_what_cannot_be_decorated():
    def generator():
        yield

    async def async_generator():
        yield

    for func in (generator, async_generator, cacheable(lambda: 1), 5, Order):
        with pytest.raises(TypeError):
            invalidates("a")(func)
    with pytest.raises(TypeError, match="at least one tag"):
        invalidates()
    with pytest.raises(TypeError, match="a tag must be"):
        invalidates(5)


class Shop:
    def __init__(self, name):
        self.name = name

    @invalidates("shop:{self.name}:{pid}")
    def change(self, pid):
        """Change it."""
        return pid

    @invalidates("shop-class:{name}")
    @classmethod
    def of(cls, name):
        return cls(name)

    @classmethod
    @invalidates("shop-class:{name}")
    def also_of(cls, name):
        return cls(name)

    @invalidates("static:{name}")
    @staticmethod
    def static(name):
        return name


def module_level(pid):
    """Say what it does."""
    return pid


module_level = invalidates("product:{pid}")(module_level)


def test_methods(told):
    shop = Shop("a")
    assert shop.change(1) == 1
    assert Shop.change(shop, pid=2) == 2
    assert [Shop.of("b").name, Shop.also_of("c").name] == ["b", "c"]
    assert Shop.static("d") == "d"
    assert told == [["shop:a:1"], ["shop:a:2"], ["shop-class:b"], ["shop-class:c"], ["static:d"]]


def test_it_looks_like_the_function():
    assert module_level.__name__ == "module_level"
    assert module_level.__doc__ == "Say what it does."
    assert str(inspect.signature(module_level)) == "(pid)"
    assert pickle.loads(pickle.dumps(module_level)) is module_level  # noqa: S301 - our own


def test_partial_functions_and_callable_objects(told):
    class Changer:
        async def __call__(self, pid):
            return pid

    assert invalidates("product:{pid}")(functools.partial(lambda lang, pid: pid, "en"))(pid=1) == 1
    assert asyncio.run(invalidates("product:{pid}")(Changer())(2)) == 2
    assert told == [["product:1"], ["product:2"]]


def test_in_a_batch(told):
    @invalidates("product:{pid}")
    def change(pid):
        return pid

    with invalidation_batch():
        change(1)
        change(2)
        assert told == []
    assert told == [["product:1", "product:2"]]


def test_of_another_cache(told):
    cache = Cache()
    own = []
    cache.on_invalidate(lambda tags, position: own.append(tags))

    @cache.invalidates("a")
    def change():
        return 1

    change()
    assert [told, own] == [[], [["a"]]]


def test_no_tags_at_all(told):
    @invalidates(lambda result: result)
    def change(tags):
        return tags

    change([])
    change(["a"])
    assert told == [["a"]]


class TestTimeout:
    def test_runs_inside_changing(self, told):
        zoocache.set("key", 1, deps=["product:1"])

        @invalidates("product:{pid}", lambda result: [f"order:{result}"], timeout=5)
        def change(pid):
            assert explain("key").state == "changing"
            return 9

        change(1)
        assert told == [["product:1"], ["order:9"]]

    def test_async(self, told):
        zoocache.set("key", 1, deps=["product:1"])

        @invalidates("product:{pid}", timeout=5)
        async def change(pid):
            await asyncio.sleep(0)
            assert explain("key").state == "changing"

        asyncio.run(change(1))
        assert told == [["product:1"]]

    def test_an_exception_invalidates(self, told):
        @invalidates("a", lambda result: ["b"], timeout=5)
        def fails():
            raise KeyError

        with pytest.raises(KeyError):
            fails()
        assert told == [["a"]]

    @pytest.mark.not_on_server("a server has a clock of its own")
    def test_reaches_its_deadline(self):
        with frozen_time() as time:
            zoocache.set("key", 1, deps=["a"])

            @invalidates("a", timeout=5)
            def slow():
                time.advance(6)
                zoocache.set("key", 2, deps=["a"])
                assert zoocache.get("key") == 2

            slow()
            assert zoocache.get("key") is None

    def test_that_makes_no_sense(self):
        with pytest.raises(ConfigError, match="timeout"):
            invalidates("a", timeout=0)
        with pytest.raises(ConfigError, match="timeout"):
            invalidates(lambda result: [result], timeout=5)(lambda: 1)

        @invalidates(lambda tags: tags, timeout=5)
        def change(tags):
            raise AssertionError

        with pytest.raises(ConfigError, match="timeout"):
            change([])

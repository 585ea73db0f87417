"""Keys of arguments that are large, that change meanwhile, or that hold more than they show."""

import sys
import time

import pytest
from helpers import Running

from zoocache import cacheable


@cacheable
def outer_name(the_argument):
    return the_argument


def shared_dictionaries(levels=40):
    value = {}
    for _ in range(levels):
        value = {"a": value, "b": value}
    return value


def shared_sets(levels=40):
    value = frozenset()
    for number in range(levels):
        value = frozenset([(0, value), (1, value), number])
    return value


def shared_mixture(levels=20):
    value = {}
    for _ in range(levels):
        value = [{"a": (value, value)}, {"b": value}]
    return value


TOO_LONG = {
    "dict": shared_dictionaries(),
    "set": shared_sets(30),
    "mixture": shared_mixture(),
    "str": "x" * (1 << 20),
    "quotes": "'" * (1 << 19),
    "bytes": b"x" * (1 << 20),
    "escaped bytes": b"\0" * (1 << 19),
    "bytearray": bytearray(1 << 20),
    "surrogates": "\ud800" * (1 << 20),
    "int": 1 << (1 << 23),
    "list of str": ["x" * (1 << 19), "y" * (1 << 19)],
    "dict of str": {"a": "x" * (1 << 19), "b": "y" * (1 << 19)},
}


@pytest.mark.parametrize("argument", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_an_argument_whose_key_would_be_too_long_is_an_error_that_says_what_to_do(argument):
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"(?s)outer_name.*the_argument.*1048576 bytes.*ignore="):
        outer_name(argument)
    # Not seconds, and certainly not for ever.
    assert time.monotonic() - began < 5
    assert outer_name.stats()["entries"] == 0


def test_all_arguments_together_have_one_limit():
    @cacheable
    def f(*args, **kwargs):
        return 1

    with pytest.raises(ValueError, match="1048576"):
        f(*["x" * 1000] * 2000)
    with pytest.raises(ValueError, match="1048576"):
        f(**{f"name{number}": "x" * 1000 for number in range(2000)})


def test_arguments_below_the_limit_are_encoded():
    for argument in ("x" * (1 << 19), b"x" * (1 << 19), dict.fromkeys(range(5000), "x" * 100)):
        assert outer_name(argument) == outer_name(argument)
    assert outer_name.stats()["entries"] == 3


class Slow:
    """An argument during whose encoding other threads run."""

    def __init__(self, number):
        self.number = number

    def __zoocache_key__(self):
        time.sleep(0)
        return self.number


@pytest.mark.parametrize("kind", [dict, set])
def test_a_container_may_change_in_another_thread_meanwhile(kind):
    shared = kind.fromkeys(map(Slow, range(50))) if kind is dict else set(map(Slow, range(50)))
    ended = []

    def change():
        while not ended:
            extra = Slow(99)
            shared.update({extra: None} if kind is dict else {extra})
            shared.pop(extra) if kind is dict else shared.remove(extra)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    changing = Running(change)
    try:
        for _ in range(300):
            assert outer_name.key(shared)
    finally:
        ended.append(True)
        sys.setswitchinterval(interval)
        changing.result()


def named(name, module="module"):
    """Make a class whose objects' key is a number."""
    return type("X", (Number,), {"__qualname__": name, "__module__": module})


class Number:
    def __init__(self, number):
        self.number = number

    def __zoocache_key__(self):
        return self.number


def test_a_class_name_cannot_forge_another_key():
    inner, forged = named("Inner"), named("Outer<module.Inner")
    outer = named("Outer")
    assert outer_name.key(outer(inner(1))) != outer_name.key(forged(1)) + ">"
    pairs = [
        ([named("A")(1), named("B")(2)], [named("A<1>,module.B")(2)]),
        ([1, named("C")(2)], [named("C", "1,module")(2)]),
        ([named("D'")(1)], [named("D\\'")(1)]),
        ({1: named("E")(1)}, {named("E", "1:module")(1)}),
    ]
    for left, right in pairs:
        assert outer_name.key(left) != outer_name.key(right)


def test_a_numbered_class_name_cannot_be_forged():
    classes = [named("Same") for _ in range(3)]
    keys = [outer_name.key(cls(1)) for cls in classes]
    for number in range(500):
        cls = named(f"Same#{number}")
        assert outer_name.key(cls(1)) not in keys


def test_a_replaced_key_method_takes_effect():
    class Item:
        def __init__(self, number):
            self.number = number

        def __zoocache_key__(self):
            return 1

    calls = []

    @cacheable
    def read(item):
        calls.append(item)
        return item.number

    assert [read(Item(5)) for _ in range(3)] == [5, 5, 5]
    assert read(Item(6)) == 5
    Item.__zoocache_key__ = lambda self: self.number
    assert [read(Item(6)) for _ in range(3)] == [6, 6, 6]
    assert read(Item(7)) == 7
    assert len(calls) == 3
    del Item.__zoocache_key__
    with pytest.raises(ValueError, match="no stable encoding"):
        read(Item(6))

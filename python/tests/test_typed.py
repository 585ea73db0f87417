"""`typed=False`: arguments that are equal share an entry, whatever their types."""

import collections
import enum
import fractions
import math
import typing
from decimal import Decimal
from fractions import Fraction

import pytest
from helpers import Counted
from hypothesis import given, settings
from hypothesis import strategies as st

from zoocache import ConfigError, cacheable


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Rights(enum.IntFlag):
    READ = 1


class Text(str, enum.Enum):
    A = "a"


class Size(float):
    pass


class Pair(typing.NamedTuple):
    left: int
    right: int


EQUAL = [
    [1, 1.0, True, Decimal(1), Decimal("1.00"), Fraction(1), 1 + 0j, Number.ONE, Rights.READ, Size(1)],
    [0, 0.0, -0.0, False, Decimal("-0"), Decimal("0.000"), 0j, -0j, Fraction(0)],
    [2, 2.0, Number.TWO],
    [0.5, Decimal("0.5"), Fraction(1, 2), 0.5 + 0j, Size(0.5)],
    [-1.5, Decimal("-1.50"), Fraction(-3, 2)],
    [0.1, Fraction(0.1), Fraction(3602879701896397, 2**55)],
    [Decimal("0.1"), Fraction(1, 10)],
    [10**30, Decimal(10) ** 30, Fraction(10**30)],
    [2.0**70, 2**70, Decimal(2) ** 70],
    [math.inf, Decimal("inf"), complex(math.inf, 0)],
    [-math.inf, Decimal("-inf")],
    [1 + 2j, complex(1, 2)],
    [Decimal("1e2000000"), Decimal("10e1999999")],
    [Decimal("1e-2000000"), Decimal("10e-2000001")],
    ["1"],
    ["a", Text.A],
    [b"1", bytearray(b"1")],
    ["True"],
    [None],
    [(1, 2), (1.0, 2.0), (True, Decimal(2)), Pair(1, 2), Pair(1.0, Number.TWO)],
    [[1, 2], [1.0, 2]],
    [{1: 2}, {1.0: 2.0}, {True: 2}, collections.defaultdict(int, {1: 2})],
    [{1, 2}, {1.0, 2}, frozenset({True, 2})],
    [((1, (True,)), [{0: 0.0}]), ((1.0, (1,)), [{False: -0.0}])],
]


@pytest.mark.parametrize("group", EQUAL)
def test_equal_arguments_share_an_entry(group):
    for value in group:
        assert value == group[0]
    counted = Counted("x", typed=False)
    assert counted.entries(*[lambda f, value=value: f(value) for value in group]) == 1
    # Each on its own, one after the other: what is remembered of the calls before does not matter.
    for value in group:
        assert counted.f(value) == 1


def test_others_do_not():
    counted = Counted("x", typed=False)
    calls = [lambda f, value=group[-1]: f(value) for group in EQUAL]
    assert counted.entries(*calls) == len(EQUAL)


def test_by_default_types_tell_calls_apart():
    for options in ({}, {"typed": True}):
        counted = Counted("x", **options)
        assert counted.entries(*[lambda f, value=value: f(value) for value in (1, 1.0, True, "1")]) == 4


def test_other_ways_to_pass_an_argument():
    counted = Counted("x=1, *args, key=2, **kwargs", typed=False)
    assert counted.entries(lambda f: f(), lambda f: f(True), lambda f: f(x=1.0, key=2.0)) == 1
    assert counted.entries(lambda f: f(1, 3), lambda f: f(1.0, 3.0)) == 1
    assert counted.entries(lambda f: f(more=1), lambda f: f(more=True)) == 1


def test_methods():
    class Account:
        def __init__(self, number):
            self.number = number

        def __zoocache_key__(self):
            return self.number

        @cacheable(typed=False)
        def method(self, x):
            return object()

    first = Account(1).method(1)
    for _ in range(3):
        assert Account(1).method(1.0) is first
        assert Account(1.0).method(True) is first
        assert Account(1).method.key(1) == Account(True).method.key(1.0)
    assert Account(2).method(1) is not first


def test_what_derives_from_a_number_and_compares_otherwise_is_not_that_number():
    class Odd(int):
        def __eq__(self, other):
            return NotImplemented

        __hash__ = int.__hash__

    class Tagged(int):
        pass

    counted = Counted("x", typed=False)
    assert counted.entries(lambda f: f(1), lambda f: f(Odd(1))) == 2
    tagged = Tagged(1)
    tagged.colour = "red"
    with pytest.raises(ValueError, match="no stable encoding"):
        counted.f(tagged)


def test_not_a_number():
    counted = Counted("x", typed=False)
    assert counted.entries(lambda f: f(math.nan), lambda f: f(float("nan"))) == 1
    assert counted.entries(lambda f: f(Decimal("nan"))) == 1


@pytest.mark.parametrize("exponent", [1_000_000_000, -1_000_000_000])
def test_the_greatest_numbers_cost_no_memory(exponent):
    counted = Counted("x", typed=False)
    same = [Decimal((1, (5, 0), exponent)), Decimal((1, (5,), exponent + 1))]
    assert counted.entries(*[lambda f, number=number: f(number) for number in same]) == 1
    assert counted.entries(lambda f: f(Decimal((1, (5,), exponent)))) == 1


@pytest.mark.parametrize("typed", [0, None, "no"])
def test_a_senseless_option_is_refused(typed):
    with pytest.raises(ConfigError, match="typed must be a bool"):
        cacheable(typed=typed)(lambda x: x)


numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False),
    st.integers(-9, 9).map(lambda number: number / 4),
    st.decimals(allow_nan=False, min_value=-10, max_value=10, places=2),
    st.fractions(max_denominator=4),
    st.complex_numbers(allow_nan=False),
    st.sampled_from([Number.ONE, Number.TWO, 0.5, Decimal("0.5"), fractions.Fraction(1, 2), 1j, 1 + 0j]),
)
values = st.recursive(
    st.one_of(numbers, st.sampled_from(["1", "0", "", b"1"])),
    lambda inner: st.one_of(st.tuples(inner), st.tuples(inner, inner), st.frozensets(inner, max_size=2)),
    max_leaves=4,
)


@settings(max_examples=1500, deadline=None)
@given(values, values)
def test_two_calls_share_a_key_exactly_if_their_arguments_are_equal(left, right):
    f = Counted("x", typed=False).f
    assert (f.key(left) == f.key(right)) == (left == right)

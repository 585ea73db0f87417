"""Which calls share an entry: the same call however it is written, and no two different ones."""

import collections
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import math
import pathlib
import types
import uuid

import attrs
import msgspec
import pydantic
import pytest
from helpers import Counted
from hypothesis import given, settings
from hypothesis import strategies as st

from zoocache import cacheable, configure


def test_types_tell_calls_apart():
    f = Counted("x")
    values = [
        1,
        1.0,
        True,
        "1",
        b"1",
        bytearray(b"1"),
        decimal.Decimal(1),
        fractions.Fraction(1),
        1 + 0j,
        None,
        "None",
    ]
    assert f.entries(*(lambda f, v=v: f(v) for v in values)) == len(values)


def test_types_inside_containers_tell_calls_apart():
    f = Counted("x")
    values = [
        wrap(value)
        for value in (1, 1.0, True, "1")
        for wrap in (
            lambda v: [v],
            lambda v: (v,),
            lambda v: {v},
            lambda v: frozenset([v]),
            lambda v: {v: 0},
            lambda v: {0: v},
        )
    ]
    assert f.entries(*(lambda f, v=v: f(v) for v in values)) == len(values)


def test_unhashable_arguments():
    f = Counted("x")
    values = [[], {}, set(), [[1], {"a": [2]}], {1: [2]}, {1: {2}}, bytearray(b"x"), [[1], {"a": (2,)}]]
    assert f.entries(*(lambda f, v=v: f(v) for v in values)) == len(values)


def test_numbers():
    f = Counted("x")
    values = [
        0,
        -1,
        0.0,
        -0.0,
        1e16,
        10**16,
        math.nan,
        math.inf,
        -math.inf,
        2**63 - 1,
        2**63,
        2**64,
        -(2**63),
        -(2**63) - 1,
        2**200,
        -(2**200),
        10**5000,
        10**5000 + 1,
        0.1,
        0.1 + 2**-55,
        5e-324,
        complex(0, -0.0),
        complex(0, 0),
        complex(math.nan, 1),
    ]
    assert f.entries(*(lambda f, v=v: f(v) for v in values)) == len(values)
    # Other objects, the same numbers.
    assert (
        f.entries(
            lambda f: f(float("nan")),
            lambda f: f(-0.0),
            lambda f: f(int("9" * 30)),
            lambda f: f(int("9" * 30)),
        )
        == 1
    )
    assert f.entries(*(lambda f, v=v: f([v]) for v in values)) == len(values)


def test_huge_numbers_of_the_same_low_bits():
    f = Counted("x")
    values = [5 + k * 2**64 for k in range(50)] + [5 - k * 2**64 for k in range(1, 50)]
    assert f.entries(*(lambda f, v=v: f(v) for v in values)) == len(values)


def test_strings():
    f = Counted("x")
    values = [
        "",
        "'",
        "\\",
        "\\'",
        "'a'",
        "a','b",
        "\0",
        "\ud800",
        "\udfff",
        "\\ud800",
        "é",
        "e\u0301",
        "𝄞",
        b"",
        b"'",
        b"\\x27",
        b"\\",
        b"\xff",
        "b'\\xff'",
    ]
    assert f.entries(*(lambda f, v=v: f(v) for v in values)) == len(values)
    assert f.entries(*(lambda f, v=v: f([v]) for v in values)) == len(values)


def test_a_string_cannot_forge_another_key():
    f = Counted("*args")
    calls = [
        ("a", "b"),
        ("a','b",),
        ("a'", "'b"),
        ("a\\", "b"),
        ("a\\','b",),
        ("a", "','", "b"),
        ("',*'",),
        ("'", "'"),
        ("', '",),
    ]
    assert f.entries(*(lambda f, c=c: f(*c) for c in calls)) == len(calls)


def test_dictionaries_and_sets_are_what_they_hold():
    f = Counted("x")
    assert f.entries(lambda f: f({"a": 1, "b": 2}), lambda f: f({"b": 2, "a": 1})) == 1
    assert f.entries(lambda f: f({3, 1, 2}), lambda f: f({2, 3, 1})) == 1
    assert f.entries(lambda f: f({1: 2}), lambda f: f({(1, 2)}), lambda f: f({"1": 2})) == 3
    first = set(range(100))
    second = {99 - number for number in range(100)}
    assert f.entries(lambda f: f(first), lambda f: f(second)) == 1


class Colour(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - an alias
    BLUE = 2


class Number(enum.IntEnum):
    ONE = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Point:
    x: int
    y: object = 0


@dataclasses.dataclass
class Vector:
    x: int
    y: object = 0


Pair = collections.namedtuple("Pair", "x y")  # noqa: PYI024 - tells nothing about types
Couple = collections.namedtuple("Couple", "x y")  # noqa: PYI024 - tells nothing about types


class Text(str):
    __slots__ = ()


class Hidden(str):
    __slots__ = ()

    def __str__(self):
        return "***"

    def __repr__(self):
        return "***"

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


class Whole(int):
    def __int__(self):
        return 0

    __index__ = __int__
    __str__ = __repr__ = lambda self: "0"


class Real(float):
    def __float__(self):
        return 0.0


class Items(list):
    def __iter__(self):
        return iter(())


class Row(tuple):
    __slots__ = ()

    def __iter__(self):
        return iter(())


class Raw(bytes):
    def __bytes__(self):
        return b""

    def __iter__(self):
        return iter(())


class Mapping(dict):
    def __iter__(self):
        return iter(())

    def keys(self):
        return ()

    def items(self):
        return ()


class Members(frozenset):
    def __iter__(self):
        return iter(())


UTC = dt.timezone.utc
PLUS_ONE = dt.timezone(dt.timedelta(hours=1))
MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - naive on purpose


@pytest.mark.parametrize(
    "values",
    [
        [Colour.RED, Colour.BLUE, 1, "RED", Number.ONE],
        [Rights.READ, Rights.WRITE, Rights.READ | Rights.WRITE, Rights(0)],
        [
            MOMENT,
            MOMENT.replace(tzinfo=UTC),
            MOMENT.replace(tzinfo=PLUS_ONE),
            MOMENT.replace(fold=1),
            MOMENT.replace(microsecond=7),
            MOMENT.date(),
            MOMENT.time(),
            MOMENT.isoformat(),
        ],
        [dt.time(1), dt.time(1, fold=1), dt.time(1, tzinfo=UTC)],
        [
            dt.timedelta(1),
            dt.timedelta(0, 1),
            dt.timedelta(0, 0, 1),
            dt.timedelta(-1),
        ],
        [
            Point(1),
            Point(2),
            Point(1, 1),
            Point(1, 0.0),
            Vector(1),
            Point(1, Point(1)),
            Point(1, [1]),
            Point(1, (1,)),
        ],
        [Pair(1, 2), Couple(1, 2), (1, 2), Pair(1, 3), [1, 2]],
        [
            decimal.Decimal("1.0"),
            decimal.Decimal("1.00"),
            decimal.Decimal("NaN"),
            decimal.Decimal("sNaN"),
            decimal.Decimal("-0"),
            decimal.Decimal(0),
            decimal.Decimal("Infinity"),
        ],
        [uuid.UUID(int=1), uuid.UUID(int=2), 1],
        [
            pathlib.PurePosixPath("a/b"),
            pathlib.PureWindowsPath("a/b"),
            pathlib.Path("a/b"),
            pathlib.Path("a\udc80"),
            "a/b",
        ],
        [Text("a"), "a", Text("b"), Hidden("a"), Hidden("b")],
        [Whole(1), Whole(2), 1, 2, 0, Real(1), Real(2), 1.0, 0.0],
        [Items([1]), Items([2]), Items(), [1], []],
        [Row([1]), Row([2]), (1,), ()],
        [Raw(b"1"), Raw(b"2"), b"1", b""],
        [Mapping({1: 1}), Mapping({1: 2}), {1: 1}, {}],
        [Members({1}), Members({2}), frozenset({1}), frozenset()],
        [range(3), range(4), range(0, 4, 3), (0, 1, 2)],
        [int, float, Point, Colour, "int"],
        [collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), {"a": 1, "b": 2}],
        [collections.Counter("ab"), collections.Counter("a"), {"a": 1, "b": 1}],
        [collections.defaultdict(int, a=1), collections.defaultdict(int, a=2)],
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_values_of_other_types(values):
    f = Counted("x")
    assert f.entries(*(lambda f, v=v: f(v) for v in values)) == len(values)


def test_an_alias_of_an_enum_member_is_that_member():
    f = Counted("x")
    assert f.entries(lambda f: f(Colour.RED), lambda f: f(Colour.CRIMSON)) == 1


def test_classes_of_the_same_name_are_not_one():
    def make():
        @dataclasses.dataclass
        class Same:
            x: int

        return Same

    f = Counted("x")
    first, second = make(), make()
    assert (
        f.entries(lambda f: f(first(1)), lambda f: f(second(1)), lambda f: f(first), lambda f: f(second)) == 4
    )


class Keyed:
    def __init__(self, key):
        self.key = key

    def __zoocache_key__(self):
        return self.key


class OtherKeyed(Keyed):
    pass


def test_objects_may_say_what_identifies_them():
    f = Counted("x, y=0")
    values = [
        Keyed(1),
        Keyed(2),
        Keyed(1.0),
        Keyed("1"),
        Keyed((1, "a")),
        Keyed([1]),
        OtherKeyed(1),
        Keyed(Keyed(1)),
        Keyed(None),
    ]
    assert f.entries(*(lambda f, v=v: f(Keyed(v.key) if type(v) is Keyed else v) for v in values)) == len(
        values
    )
    assert f.entries(*(lambda f, v=v: f(0, v) for v in values)) == len(values)
    assert f.entries(*(lambda f, v=v: f([v]) for v in values)) == len(values)


def test_an_exception_of_the_objects_own_key_passes_through():
    class Broken:
        def __zoocache_key__(self):
            raise LookupError("mine")

    f = Counted("x")
    for argument in (Broken(), [Broken()]):
        with pytest.raises(LookupError, match="mine"):
            f.f(argument)
    assert f.calls == 0


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def cyclic():
    value = {}
    value["self"] = [value]
    return value


def doubled(kind, levels=60):
    value = kind()
    for _ in range(levels):
        value = kind([value, value])
    return value


class Itself:
    def __zoocache_key__(self):
        return self


@pytest.mark.parametrize(
    "argument",
    [
        object(),
        lambda: None,
        types.SimpleNamespace(a=1),
        [object()],
        {"a": (object(),)},
        iter(()),
        (number for number in ()),
        memoryview(b"x"),
        nested(1000),
        nested(100_000),
        cyclic(),
        doubled(tuple),
        doubled(list),
        Itself(),
        Point(1, object()),
        Exception("x"),
    ],
    ids=lambda argument: type(argument).__name__,
)
def test_what_has_no_stable_encoding_is_an_error_that_names_it(argument):
    @cacheable
    def outer_name(first, the_argument):
        return 1

    @cacheable
    def extra(*args, **kwargs):
        return 1

    with pytest.raises(ValueError, match=r"outer_name.*the_argument"):
        outer_name(1, argument)
    with pytest.raises(ValueError, match=r"outer_name.*the_argument"):
        outer_name.key(1, argument)
    with pytest.raises(ValueError, match=r"extra.*\*args"):
        extra(argument)
    with pytest.raises(ValueError, match=r"extra.*'?the_argument"):
        extra(the_argument=argument)
    assert outer_name.stats()["entries"] == 0


def test_the_error_says_what_to_do():
    class Service:
        @cacheable
        def method(self, x):
            return x

    with pytest.raises(ValueError, match=r"(?s)method.*self.*__zoocache_key__.*ignore") as caught:
        Service().method(1)
    assert "Service" in str(caught.value)


def test_state_beside_the_builtin_value_is_not_lost():
    class Marked(str):
        __slots__ = ("mark",)

    class Noted(list):
        pass

    first, second = Marked("a"), Marked("a")
    first.mark, second.mark = 1, 2
    noted = Noted([1])
    noted.note = 1
    f = Counted("x")
    for value in (first, second, noted):
        with pytest.raises(ValueError, match="no stable encoding"):
            f.f(value)


class Forced(str):
    """Equal hashes, and equal to everything."""

    __slots__ = ()

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 42


class ForcedKey:
    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 42

    def __zoocache_key__(self):
        return self.name


def test_objects_of_equal_hash_that_claim_to_be_equal():
    f = Counted("x")
    names = [f"name {number}" for number in range(300)]
    assert f.entries(*(lambda f, n=n: f(Forced(n)) for n in names)) == 300
    assert f.entries(*(lambda f, n=n: f(ForcedKey(n)) for n in names)) == 300
    assert f.entries(*(lambda f, n=n: f(Keyed(Forced(n))) for n in names)) == 300


def test_integers_of_equal_hash():
    f = Counted("x")
    prime = 2**61 - 1
    values = [1 + k * prime for k in range(300)]
    assert len({hash(value) for value in values}) == 1
    assert f.entries(*(lambda f, v=v: f(v) for v in values)) == 300


def test_equal_arguments_that_are_different_objects():
    f = Counted("a, b, c, d")
    for _ in range(300):
        f.f("x".upper().lower() + "y", int("123456789"), float("1.5"), bytes([65, 66]))
    assert f.calls == 1


def test_the_address_of_an_argument_is_not_its_value():
    f = Counted("x")
    results = {}
    for number in range(3000):
        # Floats and byte strings that die at once, so that addresses are used again.
        for value in (number + 0.5, b"%d" % number, f"{number}", (number,), Keyed(number + 0.25)):
            results.setdefault(f.f(value), []).append(value)
    assert all(len(values) == 1 for values in results.values())


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(codec=None), max_size=5),
    st.text("'\\,*(){}[]=b<>0x1 ", max_size=8),
    st.binary(max_size=5),
    st.complex_numbers(),
    st.decimals().filter(lambda number: not number.is_snan()),  # which cannot be members of a set
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from([Colour.RED, Colour.BLUE, Number.ONE, Rights.READ, Text("a"), int, float]),
)
hashable = st.recursive(
    scalars,
    lambda inner: st.one_of(st.tuples(inner), st.tuples(inner, inner), st.frozensets(inner, max_size=3)),
    max_leaves=4,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashable, inner, max_size=3),
        st.sets(hashable, max_size=3),
        st.frozensets(hashable, max_size=3),
        st.builds(Point, inner, inner),
        st.builds(Pair, inner, inner),
        st.builds(Keyed, inner),
    ),
    max_leaves=8,
)


def model(value):  # noqa: PLR0911 - one case a type
    """What a value is, made of nothing but hashable tuples, types and exact texts."""
    cls = type(value)
    if isinstance(value, enum.Enum):
        return cls, value.name
    if isinstance(value, Keyed):
        return cls, model(value.key)
    if cls is Point:
        return cls, model(value.x), model(value.y)
    if isinstance(value, (list, tuple)):
        return cls, tuple(map(model, value))
    if isinstance(value, dict):
        return cls, frozenset((model(key), model(item)) for key, item in value.items())
    if isinstance(value, (set, frozenset)):
        return cls, frozenset(map(model, value))
    if isinstance(value, float):
        return cls, "nan" if math.isnan(value) else value.hex()
    if isinstance(value, complex):
        return cls, model(value.real), model(value.imag)
    if isinstance(value, decimal.Decimal):
        return cls, value.as_tuple()
    if isinstance(value, dt.datetime):
        return cls, value.isoformat(), value.fold
    return cls, value


@settings(max_examples=1500, deadline=None)
@given(values, values)
def test_two_calls_share_a_key_exactly_if_they_are_equal_and_of_equal_types(left, right):
    assert (PROPERTY.key(left) == PROPERTY.key(right)) == (model(left) == model(right))
    assert PROPERTY.key(left) == PROPERTY.key(copy.deepcopy(left))


@settings(max_examples=500, deadline=None)
@given(
    st.tuples(st.lists(scalars, max_size=3), st.dictionaries(st.text(max_size=3), scalars, max_size=3)),
    st.tuples(st.lists(scalars, max_size=3), st.dictionaries(st.text(max_size=3), scalars, max_size=3)),
)
def test_two_argument_lists_share_a_key_exactly_if_they_are_equal(left, right):
    (args, kwargs), (other_args, other_kwargs) = left, right
    same = model(args) == model(other_args) and model(kwargs) == model(other_kwargs)
    assert (SPREAD.key(*args, **kwargs) == SPREAD.key(*other_args, **other_kwargs)) == same


@cacheable
def PROPERTY(value):  # noqa: N802
    return value


@cacheable
def SPREAD(*args, **kwargs):  # noqa: N802
    return args, kwargs


@settings(max_examples=200, deadline=None)
@given(values)
def test_a_key_is_readable_text(value):
    key = PROPERTY.key(value)
    assert key.startswith(f"{__name__}.PROPERTY(")
    assert key.endswith(")")


def test_the_key_of_a_common_call_is_what_a_reader_expects():
    @cacheable(namespace="shop")
    def product(pid, lang="en", *more, **options):
        return pid

    assert product.key(42, "de", 1.5, x=[1, None]) == (
        f"{__name__}.test_the_key_of_a_common_call_is_what_a_reader_expects.<locals>.product@shop(42,'de',*1.5,'x'=[1,None])"
    )


def test_keys_do_not_depend_on_the_configuration():
    before = PROPERTY.key({"a": [1]})
    configure(max_entries=5)
    assert PROPERTY.key({"a": [1]}) == before


class Model(pydantic.BaseModel):
    number: int = 0
    inner: "Model | None" = None


class Loose(pydantic.BaseModel, extra="allow"):
    number: int = 0
    _hidden: int = 0


class Struct(msgspec.Struct):
    number: int = 0
    inner: "Struct | None" = None


@attrs.define
class Defined:
    number: int = 0


@attrs.define
class AlsoDefined:
    number: int = 0


@pytest.mark.parametrize("make", [Model, Loose, Struct, Defined])
def test_models_are_told_apart_by_what_they_hold(make):
    counted = Counted("x")
    assert counted.entries(lambda f: f(make(number=1)), lambda f: f(make(number=1))) == 1
    assert counted.entries(lambda f: f(make(number=2)), lambda f: f(make(number=1))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # An endpoint may ask which fields were given.
        (Model(), Model(number=0)),
        (Model(inner=Model(number=1)), Model(inner=Model(number=2))),
        (Model(number=1), Loose(number=1)),
        (Loose(more=1), Loose(more=2)),
        (Struct(inner=Struct(number=1)), Struct(inner=Struct(number=2))),
        (Defined(1), AlsoDefined(1)),
        (Model(number=1), {"number": 1}),
    ],
)
def test_models_that_differ_have_different_keys(one, other):
    counted = Counted("x")
    assert counted.entries(lambda f: f(one), lambda f: f(other)) == 2


def test_what_a_model_hides_is_part_of_the_key():
    one, other = Loose(number=1), Loose(number=1)
    other._hidden = 1
    counted = Counted("x")
    assert counted.entries(lambda f: f(one), lambda f: f(other)) == 2


def test_a_model_with_more_than_its_fields_has_no_key():
    struct = Model(number=1)
    object.__setattr__(struct, "more", 1)
    with pytest.raises(ValueError, match="a Model has no stable encoding"):
        Counted("x").f(struct)

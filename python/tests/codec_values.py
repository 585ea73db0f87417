"""Values of every type that is stored, made of random bytes, and what it means that two are the same."""

import collections
import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import math
import pathlib
import struct
import typing
import uuid
import zoneinfo

import attrs
import msgspec
import numpy as np
import pydantic

T = typing.TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    GREEN = ("g", 2)
    CRIMSON = "red"  # noqa: PIE796 - another name of it


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 10


class Word(str, enum.Enum):
    YES = "yes"
    NO = "no"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2
    ALL = 3
    RUN = 8


class Bits(enum.IntFlag):
    LOW = 1
    HIGH = 128


@dataclasses.dataclass
class Plain:
    a: typing.Any
    b: typing.Any = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: typing.Any
    total: typing.Any = dataclasses.field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "total", [self.a])


@dataclasses.dataclass(slots=True)
class Slotted:
    a: typing.Any
    b: dataclasses.InitVar[typing.Any] = None

    def __post_init__(self, b):
        Slotted.made += 1


Slotted.made = 0


@dataclasses.dataclass
class Box(typing.Generic[T]):
    item: T


class Point(typing.NamedTuple):
    x: typing.Any
    y: typing.Any = 0


OldPoint = collections.namedtuple("OldPoint", "x y")  # noqa: PYI024 - people have them


class Address(pydantic.BaseModel):
    street: typing.Any
    number: int = 1


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: typing.Any
    address: Address | None = None
    tags: list[typing.Any] = pydantic.Field(default_factory=list)
    _secret: typing.Any = pydantic.PrivateAttr(default=None)


class Locked(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    a: typing.Any


class Record(msgspec.Struct):
    a: typing.Any
    b: typing.Any = None


class Keyed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    a: typing.Any
    b: typing.Any

    def __post_init__(self):
        Keyed.made.append(self.a)


Keyed.made = collections.deque(maxlen=1)


@attrs.define
class Slots:
    a: typing.Any
    b: typing.Any = None


@attrs.define(slots=False)
class Open:
    _a: typing.Any = attrs.field(converter=lambda value: value)


@attrs.frozen(cache_hash=True)
class Hashed:
    a: str


class Source:
    """Decisions taken from bytes; when those are used up, the simplest one."""

    def __init__(self, data):
        self._data = iter(data)

    def below(self, count):
        return next(self._data, 0) % count

    def choose(self, options):
        return options[self.below(len(options))]

    def integer(self, size):
        return int.from_bytes(bytes(next(self._data, 0) for _ in range(size)), "little", signed=True)

    def items(self, make):
        return [make() for _ in range(self.below(4))]


FLOATS = [0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308]
NANS = [struct.unpack("<d", pattern)[0] for pattern in (b"\1\0\0\0\0\0\xf8\xff", b"\5\0\0\0\0\0\xf8\x7f")]
TEXTS = ["", "a", "zip", "é", "\U0001f600", "\0", "x" * 40, "long " * 60, "\ud800", "a\udfffb"]
DECIMALS = ["0", "-0", "1.50", "NaN", "-NaN12", "sNaN", "sNaN7", "Infinity", "-Infinity", "1E+999", "-3E-77"]
OFFSETS = [dt.timedelta(0), dt.timedelta(hours=-3, minutes=30), dt.timedelta(seconds=1, microseconds=5)]
ZONES = [
    None,
    dt.timezone.utc,
    *map(dt.timezone, OFFSETS),
    dt.timezone(OFFSETS[0], "zero"),
    dt.timezone(OFFSETS[1], "X"),
]
with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError):  # a machine without time zones
    ZONES += [zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("UTC")]
DTYPES = ["?", "i1", "<i4", ">i8", "u2", "<f2", "f8", "c16", "S3", "<U2", "M8[ns]", "m8[3D]", "longlong"]
FACTORIES = [None, list, dict, set, int, str, float, tuple, collections.OrderedDict]


def hashable(source, depth):
    """Make a value that can be a key or a member of a set."""
    inner = lambda: hashable(source, depth - 1)  # noqa: E731
    makers = [
        lambda: source.integer(1),
        lambda: source.choose([None, True, False, ...]),
        lambda: source.choose(TEXTS),
        lambda: source.integer(source.choose([2, 8, 9, 16, 40])),
        lambda: source.choose([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**400]),
        lambda: source.choose([*FLOATS, *NANS, float(source.integer(7))]),
        lambda: bytes(source.items(lambda: source.below(256))),
        lambda: complex(source.choose(FLOATS), source.choose(NANS + FLOATS)),
        lambda: moment(source),
        lambda: source.choose([dt.date.min, dt.date.max, dt.date(2024, 2, 29)]),
        lambda: dt.time(
            source.below(24), 59, 0, source.below(256), source.choose(ZONES), fold=source.below(2)
        ),
        lambda: dt.timedelta(source.integer(3), source.below(256), source.integer(2)),
        lambda: source.choose([zone for zone in ZONES if zone is not None]),
        lambda: fractions.Fraction(source.integer(9), source.below(200) + 1),
        lambda: uuid.UUID(int=source.integer(14) & (2**128 - 1), is_safe=source.choose(list(uuid.SafeUUID))),
        lambda: source.choose([pathlib.Path, pathlib.PurePosixPath, pathlib.PureWindowsPath])(
            source.choose(["", "/a/b", "a/../b", "c:/x", "é"])
        ),
        lambda: range(source.integer(2), source.integer(9), source.choose([1, -1, 7])),
        lambda: source.choose([*Color, *Size, *Word, *Bits, Rights.READ | Rights.RUN, Rights(0), Bits(133)]),
        lambda: scalar(source),
        lambda: Hashed(source.choose(TEXTS[:5])),
    ]
    if depth > 0:
        makers += [
            lambda: tuple(source.items(inner)),
            lambda: frozenset(source.items(inner)),
            lambda: Point(inner(), inner()),
            lambda: OldPoint(x=inner(), y=inner()),
        ]
    return source.choose(makers)()


def value(source, depth=4):
    """Make a value of any type that is stored."""
    inner = lambda: value(source, depth - 1)  # noqa: E731
    key = lambda: hashable(source, 1)  # noqa: E731
    pairs = lambda: [(key(), inner()) for _ in range(source.below(4))]  # noqa: E731
    if depth == 0:
        return hashable(source, 0)
    return source.choose([
        lambda: hashable(source, depth),
        lambda: source.items(inner),
        lambda: dict(pairs()),
        lambda: tuple(source.items(inner)),
        lambda: set(source.items(key)),
        lambda: bytearray(source.items(lambda: source.below(256))),
        lambda: decimal.Decimal(source.choose(DECIMALS)),
        lambda: collections.OrderedDict(pairs()),
        lambda: collections.defaultdict(source.choose(FACTORIES), pairs()),
        lambda: collections.deque(source.items(inner), source.choose([None, 0, 2, 100])),
        lambda: collections.Counter(source.items(key)),
        lambda: array(source),
        lambda: Plain(inner(), inner()),
        lambda: Frozen(inner()),
        lambda: Slotted(inner()),
        lambda: Box(inner()),
        lambda: Point(inner(), inner()),
        lambda: person(source, inner),
        lambda: Locked(a=inner()),
        lambda: Person.model_construct(tags=[inner()]),
        lambda: Record(inner(), inner()),
        lambda: Keyed(a=inner(), b=inner()),
        lambda: Slots(inner(), inner()),
        lambda: Open(inner()),
    ])()  # fmt: skip


def moment(source):
    zone = source.choose(ZONES)
    made = dt.datetime(
        2000 + source.below(100), source.below(12) + 1, source.below(28) + 1, 2, 30, tzinfo=zone
    )
    return made.replace(microsecond=source.below(256) * 3000, fold=source.below(2))


def person(source, inner):
    made = Person(name=inner(), address=source.choose([None, Address(street=inner())]), extra=inner())
    made._secret = inner()
    return made


def array(source):
    dtype = np.dtype(source.choose(DTYPES))
    shape = source.choose([(), (0,), (3,), (2, 3), (2, 0, 4), (2, 1, 2)])
    made = np.frombuffer(bytes(source.below(64) for _ in range(math.prod(shape) * dtype.itemsize)), "u1")
    if dtype.kind in "US":
        made = np.full(shape, source.choose(["", "a", "é"]) if dtype.kind == "U" else b"ab", dtype)
    elif dtype.kind == "b":
        made = np.full(shape, True)
    else:
        made = np.ndarray(shape, dtype, made.tobytes()).copy()
    if shape:
        made = source.choose([made, np.asfortranarray(made), made.T, made[..., ::-1]])
    return made


def scalar(source):
    return source.choose([
        np.float64(source.choose(FLOATS)), np.float32(1.5), np.int8(source.below(100)), np.int64(-5),
        np.longlong(3), np.uint64(2**64 - 1), np.bool_(True), np.complex64(1j), np.str_("é\0"),
        np.bytes_(b"a\0"), np.datetime64("2024-02-29T01", "ns"), np.timedelta64(3, "D"), np.float16(0.5),
    ])  # fmt: skip


def same(left, right):  # noqa: PLR0911 - one case a type
    """Are these equal, of the same types all the way down, and in the same order?"""
    cls = type(left)
    if type(right) is not cls:
        return False
    if isinstance(left, enum.Enum):
        return left is right
    if cls is float:
        return struct.pack("<d", left) == struct.pack("<d", right)
    if cls is int:
        return bool(left == right)
    if cls is complex:
        return same([left.real, left.imag], [right.real, right.imag])
    if isinstance(left, (np.ndarray, np.generic)):
        return (
            left.dtype.char == right.dtype.char
            and left.dtype == right.dtype
            and left.shape == right.shape
            and left.tobytes() == right.tobytes()
            and (left.flags.c_contiguous, left.flags.f_contiguous) in (
                (right.flags.c_contiguous, right.flags.f_contiguous), (False, False)
            )
        )  # fmt: skip
    if isinstance(left, (list, tuple, collections.deque)):
        extra = getattr(left, "maxlen", None) == getattr(right, "maxlen", None)
        return extra and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        extra = getattr(left, "default_factory", None) is getattr(right, "default_factory", None)
        return extra and same([*left.items()], [*right.items()])
    if isinstance(left, (set, frozenset)):
        rest = list(right)
        for member in left:
            found = next((i for i, other in enumerate(rest) if same(member, other)), None)
            if found is None:
                return False
            del rest[found]
        return not rest
    if isinstance(left, pydantic.BaseModel):
        names = "__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"
        return all(same(getattr(left, name), getattr(right, name)) for name in names)
    if isinstance(left, msgspec.Struct):
        fields = left.__struct_fields__
    elif dataclasses.is_dataclass(left):
        fields = [field.name for field in dataclasses.fields(left)]
    elif attrs.has(cls):
        fields = [field.name for field in attrs.fields(cls)]
    else:
        return repr(left) == repr(right) and getattr(left, "is_safe", 0) == getattr(right, "is_safe", 0)
    return all(same(getattr(left, field), getattr(right, field)) for field in fields)

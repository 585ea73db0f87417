"""Arguments that native code does not know: each is described by a name and a simpler value.

`describe` is called for arguments other than the builtin scalars and containers, and other than objects
with a `__zoocache_key__`. The name tells types
apart, the simpler value tells values apart; together they must never be the same for two values that are
not equal.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import pathlib
import threading
import types
import typing
import uuid
import weakref
import zoneinfo
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

#: Reentrant: garbage collection may run foreign code at any time, which may need the name of a class.
_lock = threading.RLock()
#: Which class first had a name; another class of the same name gets a number.
_named: dict[str, weakref.ref[type]] = {}
#: The others by identity, since a metaclass can make classes equal.
_numbered: dict[int, tuple[weakref.ref[type], str]] = {}
_count = 0


def class_name(cls: type) -> str:
    """Name a class so that no two classes of this process have one name.

    Classes made inside functions, and classes defined anew, can share module and qualified name.
    """
    global _count  # noqa: PLW0603 - one number for each class that needs one
    # A name of its own may hold what we put before numbers; two of them are never read as one.
    name = f"{cls.__module__}.{cls.__qualname__}".replace("#", "##")
    with _lock:
        owner = _named.setdefault(name, weakref.ref(cls))
        if owner() is cls:
            return name
        known = _numbered.get(id(cls))
        if known is None or known[0]() is not cls:
            _count += 1
            forget = functools.partial(_forget, _numbered, id(cls))
            known = _numbered[id(cls)] = weakref.ref(cls, forget), f"{name}#{_count}"
        return known[1]


def _forget(numbered: dict[int, tuple[weakref.ref[type], str]], address: int, _died: object) -> None:
    numbered.pop(address, None)


def describe(value: Any) -> tuple[str, Any]:  # noqa: C901, PLR0911, PLR0912 - one case a type
    """Describe an argument as a name and a simpler value.

    Raises:
        ValueError: The argument has no stable encoding.
    """
    # The type alone is asked: an object may claim to be of another class.
    cls = type(value)
    if issubclass(cls, enum.Enum):
        return class_name(cls), value._value_ if value._name_ is None else value._name_
    if cls is str:  # with lone surrogates
        return "str", value.encode("utf-8", "surrogatepass")
    if cls is dt.datetime:
        zone = _zone(value)
        return "datetime", (value.isoformat(), value.fold, zone)
    if cls is dt.date:
        return "date", value.isoformat()
    if cls is dt.time:
        zone = _zone(value)
        return "time", (value.isoformat(), value.fold, zone)
    if cls is dt.timedelta:
        return "timedelta", (value.days, value.seconds, value.microseconds)
    if cls is decimal.Decimal:
        return "Decimal", tuple(value.as_tuple())
    if cls is fractions.Fraction:
        return "Fraction", (value.numerator, value.denominator)
    if cls is uuid.UUID:
        return "UUID", value.int
    if cls is complex:
        return "complex", (value.real, value.imag)
    if cls is bytearray:
        return "bytearray", bytes(value)
    if cls is range:
        return "range", (value.start, value.stop, value.step)
    if issubclass(cls, type):
        return "type", class_name(value)
    if issubclass(cls, pathlib.PurePath):
        if not set(_attributes(value, known=_PATHS)):
            return class_name(cls), pathlib.PurePath.__str__(value)
    elif (base := next((base for base in _READ if issubclass(cls, base)), None)) is not None:
        if not _is_native(cls, known=_READ) and not set(_attributes(value, known=_READ)):
            return class_name(cls), _READ[base](value)
    elif dataclasses.is_dataclass(cls) and not _is_native(cls, known=()):
        fields = [field.name for field in dataclasses.fields(cls)]
        if set(_attributes(value, known=())) <= {*fields}:
            return class_name(cls), tuple((f, getattr(value, f)) for f in fields if hasattr(value, f))
    elif (parts := _parts_of_model(value)) is not None:
        return class_name(cls), parts
    raise _no_encoding(cls.__qualname__, cls)


def _parts_of_model(value: Any) -> tuple[Any, ...] | None:
    """Return everything that an object of pydantic, msgspec or attrs holds; `None` for others."""
    # Here, since those modules need this one.
    from zoocache._errors import Refused  # noqa: PLC0415
    from zoocache._shapes import model_shape  # noqa: PLC0415

    try:
        shape = model_shape(type(value))
        return None if shape is None else shape.parts(value)
    except Refused:
        return None


#: Decimals beyond have no key as integers or fractions, which would be longer than a key can be.
_MOST_DIGITS = 1_300_000

#: Builtin types, and what is equal to one of their objects if it derives from them.
_PLAIN: tuple[type[Any], ...] = (int, float, str, bytes, tuple, list, dict, set, frozenset)


def plain(value: Any) -> Any:  # noqa: PLR0911 - one case a type
    """Return the simplest value that is equal to an argument, or the argument itself: for `typed=False`.

    Numbers become integers or fractions, objects of classes that derive from builtin ones the builtin ones.
    Native code asks again about what it gets.
    """
    cls = type(value)
    if cls is float:
        return int(value) if value.is_integer() else fractions.Fraction(value)
    if cls is complex:
        return value if value.imag else value.real
    if cls is decimal.Decimal:
        return _plain_decimal(value)
    if cls is fractions.Fraction:
        return value.numerator if value.denominator == 1 else value
    if cls is bytearray:
        return bytes(value)
    base = next((base for base in _PLAIN if issubclass(cls, base)), None)
    # What derives from a builtin type may compare as it likes, and may hold more than what it compares.
    if base is None or base is cls or cls.__eq__ is not base.__eq__:
        return value
    if issubclass(cls, enum.Enum) or not (
        _is_native(cls, known=_READ) or set(_attributes(value, known=_READ))
    ):
        return _READ[base](value)
    return value


def _plain_decimal(value: decimal.Decimal) -> Any:
    if value.is_infinite():
        return float(value)
    if value.is_nan():
        return value
    sign, digits, exponent = value.as_tuple()
    if not value:
        return 0
    if abs(value.adjusted()) < _MOST_DIGITS and abs(int(exponent)) < _MOST_DIGITS:
        return fractions.Fraction(*value.as_integer_ratio())
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    if not zeros:
        return value
    return decimal.Decimal((sign, digits[:-zeros], int(exponent) + zeros))


def _no_encoding(what: str, cls: type, instead: str = "something simpler (such as its id)") -> ValueError:
    return ValueError(
        f"a {what} has no stable encoding; pass {instead}, define {cls.__qualname__}.__zoocache_key__() to "
        'return what identifies it, or leave the argument out of the key with ignore=("name",)'
    )


def _zone(value: dt.datetime | dt.time) -> tuple[str, Any, str] | None:
    """Identify a time zone. Others than these may differ in more than they show."""
    zone = value.tzinfo
    if zone is None:
        return None
    cls = type(zone)
    if cls is dt.timezone:
        return "timezone", zone.utcoffset(None), zone.tzname(None) or ""
    if isinstance(zone, zoneinfo.ZoneInfo) and cls is zoneinfo.ZoneInfo and zone.key is not None:
        return "ZoneInfo", None, zone.key
    what = f"{type(value).__qualname__} whose tzinfo is a {cls.__qualname__}"
    raise _no_encoding(what, type(value), "one with a datetime.timezone or a named zoneinfo.ZoneInfo")


#: What an object of a class derived from a builtin one holds, whatever the class says about it: its own
#: methods (`__str__`, `__iter__`) may hide that.
_READ: dict[type, Callable[[Any], Any]] = {
    int: int.__index__,
    float: float.__float__,
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    list: lambda value: list.__getitem__(value, slice(None)),
    collections.defaultdict: lambda value: (
        _default_factory(value),
        dict(dict.items(value)),
    ),
    # Two of these are equal only if their order is.
    collections.OrderedDict: lambda value: tuple(collections.OrderedDict.items(value)),
    dict: lambda value: dict(dict.items(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}


def _default_factory(value: Any) -> Any:
    return vars(collections.defaultdict)["default_factory"].__get__(value)


#: Classes whose attributes only hold the path.
_PATHS = {base for cls in (pathlib.PosixPath, pathlib.WindowsPath) for base in cls.__mro__}

#: Bits of `__flags__`: a class made at run time; one that cannot be changed, as those of C modules.
_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8


def _is_native(cls: type, known: Collection[type]) -> bool:
    """Whether a class derives from one that is not written in Python and may hold what nobody sees."""
    return any(
        base.__flags__ & (_HEAP_TYPE | _IMMUTABLE_TYPE) != _HEAP_TYPE
        for base in cls.__mro__
        if base is not object and base is not typing.Generic and base not in known
    )


def _attributes(value: Any, known: Collection[type]) -> Iterator[str]:
    """Name the attributes that an object has beside what classes that are known store."""
    mro = type(value).__mro__
    for name in getattr(value, "__dict__", ()):
        # What such a property remembers follows from the rest.
        if not isinstance(_class_attribute(mro, name), functools.cached_property):
            yield name
    for cls in mro:
        if cls not in known:
            for name, attribute in vars(cls).items():
                if type(attribute) is types.MemberDescriptorType and _is_set(attribute, value):
                    yield name


def _is_set(slot: types.MemberDescriptorType, value: Any) -> bool:
    try:
        slot.__get__(value)  # unlike `hasattr`, without a `__getattr__` that would compute it
    except AttributeError:
        return False
    return True


def _class_attribute(mro: tuple[type, ...], name: str) -> Any:
    return next((vars(cls)[name] for cls in mro if name in vars(cls)), None)

"""Values of the standard library, and NumPy's: taken apart into simpler ones, and made of them again.

Nothing here imports because of what bytes say, and nothing is called but the types' own constructors.
"""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import pathlib
import pickle
import re
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any

from zoocache import _codes, _numpy
from zoocache._errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_PATHS: tuple[type[pathlib.PurePath], ...] = (
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
    pathlib.PosixPath,
    pathlib.WindowsPath,
)
#: What a `defaultdict` may call: builtin types only, so that bytes cannot name a function.
_FACTORIES: dict[str, Callable[[], Any] | None] = {
    "None": None,
    **{
        cls.__name__: cls
        for cls in (
            bool, bytearray, bytes, complex, dict, float, frozenset, int, list, object, set, str, tuple
        )
    },
    "OrderedDict": collections.OrderedDict,
    "Counter": collections.Counter,
    "deque": collections.deque,
}  # fmt: skip
_FACTORY_NAMES = {factory: name for name, factory in _FACTORIES.items()}
#: Without dots, which could lead out of the folder of the zones.
_ZONE = re.compile(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*", re.ASCII)

#: Reducing a fraction takes time in the square of its length.
_LONGEST_FRACTION = 100_000


def _zone(value: dt.datetime | dt.time) -> Any:
    zone = value.tzinfo
    if zone is not None and type(zone) not in (dt.timezone, zoneinfo.ZoneInfo):
        raise Refused(
            f"its tzinfo is a {type(zone).__qualname__}; use a datetime.timezone or a named zoneinfo.ZoneInfo"
        )
    return zone


def _take_datetime(value: dt.datetime) -> tuple[Any, ...]:
    return (
        value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond,
        value.fold, _zone(value),
    )  # fmt: skip


# The constructors of dates also take a state of pickle's, of fewer parts, and do not check it: so the parts
# are counted here.


def _make_datetime(*parts: Any) -> dt.datetime:
    year, month, day, hour, minute, second, microsecond, fold, zone = parts
    return dt.datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)


def _make_date(year: Any, month: Any, day: Any) -> dt.date:
    return dt.date(year, month, day)


def _take_time(value: dt.time) -> tuple[Any, ...]:
    return value.hour, value.minute, value.second, value.microsecond, value.fold, _zone(value)


def _make_time(*parts: Any) -> dt.time:
    hour, minute, second, microsecond, fold, zone = parts
    return dt.time(hour, minute, second, microsecond, zone, fold=fold)


def _take_timezone(value: dt.timezone) -> tuple[Any, ...]:
    return value.__getinitargs__()  # type: ignore[attr-defined, no-any-return]


def _take_zone_info(value: zoneinfo.ZoneInfo) -> tuple[Any, ...]:
    if type(value.key) is not str or not _ZONE.fullmatch(value.key):
        raise Refused("a ZoneInfo without a name; make it with ZoneInfo(name)")
    try:
        value.__reduce__()  # asks no more than where the zone comes from
    except pickle.PicklingError:
        raise Refused("a ZoneInfo read from a file of yours; make it with ZoneInfo(name)") from None
    return (value.key,)


def _make_zone_info(key: Any) -> zoneinfo.ZoneInfo:
    if type(key) is not str or not _ZONE.fullmatch(key):
        raise Refused("not the name of a time zone")
    return zoneinfo.ZoneInfo(key)


def _make_decimal(text: Any) -> decimal.Decimal:
    if type(text) is not str:
        raise Refused("not the text of a Decimal")
    return decimal.Decimal(text)


def _take_fraction(value: fractions.Fraction) -> tuple[Any, ...]:
    _check_size(value.numerator, value.denominator)
    return value.numerator, value.denominator


def _check_size(numerator: int, denominator: int) -> None:
    if numerator.bit_length() + denominator.bit_length() > _LONGEST_FRACTION:
        raise Refused(f"a Fraction of more than {_LONGEST_FRACTION} bits; store its two numbers")


def _make_fraction(numerator: Any, denominator: Any) -> fractions.Fraction:
    if type(numerator) is not int or type(denominator) is not int:
        raise Refused("not the numbers of a Fraction")
    _check_size(numerator, denominator)
    return fractions.Fraction(numerator, denominator)


def _make_uuid(number: Any, safety: Any) -> uuid.UUID:
    return uuid.UUID(bytes=number, is_safe=uuid.SafeUUID(safety))


def _make_path(number: Any, text: Any) -> pathlib.PurePath:
    if type(number) is not int or not 0 <= number < len(_PATHS) or type(text) is not str:
        raise Refused("not a path")
    return _PATHS[number](text)


def _take_defaultdict(value: collections.defaultdict[Any, Any]) -> tuple[Any, ...]:
    factory = value.default_factory
    # By identity: a metaclass can make a class equal to another.
    for known, name in _FACTORY_NAMES.items():
        if known is factory:
            return name, dict(value)
    raise Refused(
        f"a defaultdict that calls {factory!r}; use a builtin type such as list or int, or store dict(it)"
    )


def _make_defaultdict(name: Any, items: Any) -> collections.defaultdict[Any, Any]:
    if name not in _FACTORIES or type(items) is not dict:
        raise Refused("not a defaultdict")
    return collections.defaultdict(_FACTORIES[name], items)


def _take_ordered(value: collections.OrderedDict[Any, Any]) -> tuple[Any, ...]:
    return (_items_only(value),)


def _take_counter(value: collections.Counter[Any]) -> tuple[Any, ...]:
    return (_items_only(value),)


def _items_only(value: Any) -> dict[Any, Any]:
    if value.__dict__:
        raise Refused(f"it has attributes beside its items: {', '.join(sorted(value.__dict__))}")
    return dict(value)


def _make_ordered(items: Any) -> collections.OrderedDict[Any, Any]:
    if type(items) is not dict:
        raise Refused("not an OrderedDict")
    return collections.OrderedDict(items)


def _make_deque(items: Any, longest: Any) -> collections.deque[Any]:
    if type(items) is not list:
        raise Refused("not a deque")
    return collections.deque(items, longest)


def _make_counter(items: Any) -> collections.Counter[Any]:
    if type(items) is not dict:
        raise Refused("not a Counter")
    counter: collections.Counter[Any] = collections.Counter()
    dict.update(counter, items)
    return counter


_TYPES: dict[type, tuple[int, Callable[[Any], tuple[Any, ...]]]] = {
    dt.datetime: (_codes.DATETIME, _take_datetime),
    dt.date: (_codes.DATE, lambda value: (value.year, value.month, value.day)),
    dt.time: (_codes.TIME, _take_time),
    dt.timedelta: (_codes.TIMEDELTA, lambda value: (value.days, value.seconds, value.microseconds)),
    dt.timezone: (_codes.TIMEZONE, _take_timezone),
    zoneinfo.ZoneInfo: (_codes.ZONE_INFO, _take_zone_info),
    decimal.Decimal: (_codes.DECIMAL, lambda value: (str(value),)),
    fractions.Fraction: (_codes.FRACTION, _take_fraction),
    uuid.UUID: (_codes.UUID, lambda value: (value.bytes, value.is_safe.value)),
    **{
        cls: (_codes.PATH, lambda value, number=number: (number, str(value)))  # type: ignore[misc]
        for number, cls in enumerate(_PATHS)
    },
    range: (_codes.RANGE, lambda value: (value.start, value.stop, value.step)),
    type(...): (_codes.ELLIPSIS, lambda _: ()),
    collections.OrderedDict: (_codes.ORDERED_DICT, _take_ordered),
    collections.defaultdict: (_codes.DEFAULT_DICT, _take_defaultdict),
    collections.deque: (_codes.DEQUE, lambda value: (list(value), value.maxlen)),
    collections.Counter: (_codes.COUNTER, _take_counter),
}
#: How a type is taken apart: its number, and a function that returns the parts. By the identity of the type,
#: since a metaclass can make a class equal to one of these.
TAKE = {id(cls): how for cls, how in _TYPES.items()}
#: The types of parts, by identity. An object of another class would be asked what number it stands for.
_PARTS = {
    id(cls) for cls in (int, str, bytes, type(None), list, dict, dt.timedelta, dt.timezone, zoneinfo.ZoneInfo)
}

_MAKE: dict[int, Callable[..., Any]] = {
    _codes.DATETIME: _make_datetime,
    _codes.DATE: _make_date,
    _codes.TIME: _make_time,
    _codes.TIMEDELTA: dt.timedelta,
    _codes.TIMEZONE: dt.timezone,
    _codes.ZONE_INFO: _make_zone_info,
    _codes.DECIMAL: _make_decimal,
    _codes.FRACTION: _make_fraction,
    _codes.UUID: _make_uuid,
    _codes.PATH: _make_path,
    _codes.RANGE: range,
    _codes.ELLIPSIS: lambda: ...,
    _codes.NUMPY_SCALAR: _numpy.make_scalar,
    _codes.ORDERED_DICT: _make_ordered,
    _codes.DEFAULT_DICT: _make_defaultdict,
    _codes.DEQUE: _make_deque,
    _codes.COUNTER: _make_counter,
    _codes.NUMPY_ARRAY: _numpy.make_array,
}


def make(code: int, parts: tuple[Any, ...]) -> Any:
    """Make a value of its parts."""
    maker = _MAKE.get(code)
    if maker is None:
        raise Refused(f"type number {code} is of another version of zoocache")
    for part in parts:
        if id(type(part)) not in _PARTS:
            raise Refused(
                f"a part of type {type(part).__qualname__}, which no value of type number {code} has"
            )
    return maker(*parts)

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
import pathlib
import threading
import uuid
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_lock = threading.Lock()
#: Which class first had a name; another class of the same name gets a number.
_named: dict[str, weakref.ref[type]] = {}
_numbers: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_count = 0


def class_name(cls: type) -> str:
    """Name a class so that no two classes of this process have one name.

    Classes made inside functions, and classes defined anew, can share module and qualified name.
    """
    global _count  # noqa: PLW0603 - one number for each class that needs one
    name = f"{cls.__module__}.{cls.__qualname__}"
    with _lock:
        owner = _named.setdefault(name, weakref.ref(cls))
        if owner() is cls:
            return name
        if cls not in _numbers:
            _count += 1
            _numbers[cls] = f"{name}#{_count}"
        return _numbers[cls]


def describe(value: Any) -> tuple[str, Any]:  # noqa: C901, PLR0911, PLR0912 - one case a type
    """Describe an argument as a name and a simpler value.

    Raises:
        ValueError: The argument has no stable encoding.
    """
    cls = type(value)
    if isinstance(value, enum.Enum):
        return class_name(cls), value.name if value.name is not None else value.value
    if cls is str:  # with lone surrogates
        return "str", value.encode("utf-8", "surrogatepass")
    if cls is dt.datetime:
        return "datetime", (value.isoformat(), value.fold, _zone(value.tzinfo))
    if cls is dt.date:
        return "date", value.isoformat()
    if cls is dt.time:
        return "time", (value.isoformat(), value.fold, _zone(value.tzinfo))
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
    if isinstance(value, pathlib.PurePath):
        return class_name(cls), str(value)
    if isinstance(value, type):
        return "type", class_name(value)
    base = next((base for base in _READ if isinstance(value, base)), None)
    if dataclasses.is_dataclass(value) and base is None:
        return class_name(cls), tuple((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
    if base is None or _holds_more(value):
        msg = (
            f"a {cls.__qualname__} has no stable encoding; pass something simpler (such as its id), define "
            f"{cls.__qualname__}.__zoocache_key__() to return what identifies it, or leave the argument out "
            'of the key with ignore=("name",)'
        )
        raise ValueError(msg)
    return class_name(cls), _READ[base](value)


def _zone(tzinfo: dt.tzinfo | None) -> str | None:
    return None if tzinfo is None else f"{type(tzinfo).__qualname__}:{tzinfo}"


#: What an object of a class derived from a builtin one holds, whatever the class says about it: its own
#: methods (`__str__`, `__iter__`) may hide that.
_READ: dict[type, Callable[[Any], Any]] = {
    int: int.__index__,
    float: float.__float__,
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    list: lambda value: list.__getitem__(value, slice(None)),
    # Two of these are equal only if their order is.
    collections.OrderedDict: lambda value: tuple(collections.OrderedDict.items(value)),
    dict: lambda value: dict(dict.items(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}


def _holds_more(value: Any) -> bool:
    """Whether an object has attributes beside what the builtin class stores."""
    if getattr(value, "__dict__", None):
        return True
    return any(vars(cls).get("__slots__") for cls in type(value).__mro__)

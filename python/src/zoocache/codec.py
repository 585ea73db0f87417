"""Values as bytes: what the storages outside this process hold, as a pair of functions.

>>> from zoocache.codec import dumps, loads
>>> loads(dumps({"price": (1, 2.5)}))
{'price': (1, 2.5)}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoocache._errors import SerializationError
from zoocache._iterable import iterable
from zoocache._native import decode_value, encode_value
from zoocache._register_type import register_type
from zoocache._registry import by_name
from zoocache._types import classes_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SerializationError", "dumps", "loads", "register_type"]


def dumps(value: Any, *, secret: str | bytes | None = None) -> bytes:
    """Encode a value, so that `loads` returns one that is equal and of the same type.

    An object that occurs twice in the value is two objects in what `loads` returns.

    Args:
        value: Of builtin types, types of the standard library, NumPy's, dataclasses, named tuples, enums,
            pydantic models, msgspec structs, attrs classes, or classes given to `register_type`.
        secret: Authenticates the bytes: without it nobody can make bytes that `loads` takes.

    Raises:
        SerializationError: The value holds something that cannot be stored; the message says where.
    """
    return encode_value(value, _key(secret))


def loads(data: bytes, *, types: Iterable[Any] = (), secret: str | bytes | None = None) -> Any:
    """Decode what `dumps` made.

    Bytes cannot make this import a module or call a function. Classes are found by name among `types`, those
    given to `register_type`, and those of values that this process has encoded.

    Args:
        data: The bytes. They may be damaged, or made by an attacker.
        types: Classes or type annotations, such as ``list[Order]``.
        secret: The same as was given to `dumps`.

    Raises:
        SerializationError: The bytes are damaged, forged, or hold a class that is not known.
    """
    if not isinstance(data, bytes):
        raise TypeError(
            f"loads() needs bytes, as dumps() made them, not {type(data).__qualname__}: {data!r:.80}"
        )
    known = iterable(types, "types must be an iterable of classes, such as [Order]")
    expected = by_name(classes_of(*known)) if known else None
    return decode_value(data, expected, _key(secret))


def _key(secret: str | bytes | None) -> bytes | None:
    if secret is None:
        return None
    key = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
    if not isinstance(key, bytes):
        raise TypeError(f"secret must be a str or bytes, not {type(secret).__qualname__}")
    if not key:
        raise ValueError("secret must not be empty")
    return key

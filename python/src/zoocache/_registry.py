"""Which classes may be made of bytes: those that the program has named itself.

A name found in bytes is looked up, first among the classes that the caller expects, then among those given
to `register_type`, then among those of values that this process has stored. It is never imported. Nothing
here takes a lock, so that none can be held while the process forks; each step is one operation on a dict.
"""

from __future__ import annotations

import functools
import typing
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from zoocache import _codes, _numpy, _shapes, _types, _values
from zoocache._errors import Refused
from zoocache._shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_C = TypeVar("_C", bound=type[Any])


class _Registered(NamedTuple):
    cls: type
    name: str
    encode: Callable[[Any], Any] | None
    decode: Callable[[Any], Any] | None


#: By identity, since a metaclass can make classes equal.
_registered: dict[int, _Registered] = {}
_registered_names: dict[str, type] = {}
#: The classes of stored values: by name, then by identity.
_stored: dict[str, dict[int, weakref.ref[type]]] = {}
#: What is known about a class, by identity.
_shapes_known: dict[int, tuple[weakref.ref[type], Shape]] = {}

_BUILTIN = (
    type(None), bool, int, float, str, bytes, bytearray, list, dict, tuple, set, frozenset, complex
)  # fmt: skip
_LONGEST_NAME = 200


def is_registered(cls: type) -> bool:
    """Whether the program has given the class to `register_type`."""
    return id(cls) in _registered


def name_of(cls: type) -> str:
    """Name a class as bytes do."""
    registered = _registered.get(id(cls))
    return registered.name if registered else f"{cls.__module__}:{cls.__qualname__}"


def register(
    cls: _C,
    encode: Callable[[Any], Any] | None,
    decode: Callable[[Any], Any] | None,
    name: str | None,
) -> _C:
    """See `zoocache.register_type`."""
    if not isinstance(cls, type) or typing.get_origin(cls) is not None:  # `list[int]` is a type on 3.10
        raise TypeError(f"register_type takes a class, not {cls!r}")
    if any(cls is known for known in _BUILTIN) or id(cls) in _values.TAKE or _numpy.take_of(cls) is not None:
        raise ValueError(f"{cls.__qualname__} needs no register_type: its values are stored as they are")
    _check_options(encode, decode, name)
    if encode is None:
        try:
            shape = _shapes.shape_of(cls)
        except Refused as refused:
            raise ValueError(f"{cls.__qualname__} needs encode and decode: {refused}") from None
        if shape is None:
            raise ValueError(f"{cls.__qualname__} needs encode and decode, as it declares no fields")
    own_name = f"{cls.__module__}:{cls.__qualname__}"
    name = own_name if name is None else name
    owner = _registered_names.get(name)
    # A class that is defined anew, as in a notebook, replaces the old one.
    if owner is not None and owner is not cls and f"{owner.__module__}:{owner.__qualname__}" != own_name:
        raise ValueError(f"the name {name!r} is registered for {owner.__module__}.{owner.__qualname__}")
    if owner is not None and owner is not cls:
        _registered.pop(id(owner), None)
        _shapes_known.pop(id(owner), None)
    former = _registered.get(id(cls))
    if former is not None and former.name != name:
        _registered_names.pop(former.name, None)
    _registered[id(cls)] = _Registered(cls, name, encode, decode)
    _registered_names[name] = cls
    _shapes_known.pop(id(cls), None)
    return cls


def _check_options(encode: Any, decode: Any, name: Any) -> None:
    if (encode is None) != (decode is None):
        raise ValueError("register_type takes encode and decode together, or neither")
    for what, function in (("encode", encode), ("decode", decode)):
        if function is not None and not callable(function):
            raise TypeError(f"{what} must be a function, not {type(function).__name__}: {function!r}")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}: {name!r}")


def shape_of(cls: type, is_stored: bool) -> tuple[Any, ...]:
    """How native code takes objects of this class apart; the class is remembered if they are stored.

    Raises:
        Refused: They cannot be stored.
    """
    taken = _values.TAKE.get(id(cls)) or _numpy.take_of(cls)
    if taken is not None:
        code, take = taken
        return code, None, (), take, None, False
    shape = _shape(cls)
    name = name_of(cls)
    if is_stored:
        _remember(name, cls)
    return shape.code, name, shape.fields, shape.take, shape.check, shape.own_copy


def _shape(cls: type) -> Shape:
    known = _shapes_known.get(id(cls))
    if known is not None and known[0]() is cls:
        return known[1]
    registered = _registered.get(id(cls))
    shape: Shape | None
    if registered is not None and registered.encode is not None and registered.decode is not None:
        shape = _with_functions(registered.encode, registered.decode)
    else:
        try:
            shape = _shapes.shape_of(cls)
        except Refused as refused:
            raise Refused(f"a value of class {name_of(cls)}: {refused}; {_remedy(cls)}") from None
    if shape is None:
        raise Refused(f"a value of class {name_of(cls)}; {_remedy(cls)}")
    _shapes_known[id(cls)] = weakref.ref(cls, functools.partial(_forget, _shapes_known, id(cls))), shape
    return shape


def _remedy(cls: type) -> str:
    return (
        f"teach it with zoocache.register_type({cls.__qualname__}, encode=..., decode=...), or store "
        "something simpler"
    )


def _with_functions(encode: Callable[[Any], Any], decode: Callable[[Any], Any]) -> Shape:
    def make(cls: type, parts: tuple[Any, ...]) -> Any:
        if len(parts) != 1:
            raise Refused(f"not a {cls.__qualname__}")
        made = decode(parts[0])
        if type(made) is not cls:
            raise Refused(f"the decode function of {cls.__qualname__} returned a {type(made).__qualname__}")
        return made

    # What they keep of an object is theirs to say: a copy in this process has all of it.
    return Shape(_codes.REGISTERED, take=lambda value: (encode(value),), make=make, own_copy=True)


def _remember(name: str, cls: type) -> None:
    same_name = _stored.get(name)
    if same_name is None:
        same_name = _stored.setdefault(name, {})
    known = same_name.get(id(cls))
    if known is None or known() is not cls:
        same_name[id(cls)] = weakref.ref(cls, functools.partial(_forget, same_name, id(cls)))


def _forget(known: dict[int, Any], address: int, died: weakref.ref[type]) -> None:
    entry = known.get(address)
    if entry is died or (type(entry) is tuple and entry[0] is died):
        known.pop(address, None)


def by_name(classes: Iterable[type]) -> dict[str, list[type]]:
    """The classes that a caller expects, by name."""
    found: dict[str, list[type]] = {}
    for cls in classes:
        same_name = found.setdefault(name_of(cls), [])
        if all(cls is not known for known in same_name):
            same_name.append(cls)
    return found


def learn(function: Any) -> None:
    """Let values be made of the classes that a function's return annotation names."""
    for cls in _types.classes_of(_types.returned(function)):
        _remember(name_of(cls), cls)


class _Pinned(NamedTuple):
    cls: type
    shape: Shape


def pin(cls: type) -> _Pinned:
    """A class as it is now, for bytes that stay in this process, whatever is registered later."""
    return _Pinned(cls, _shape(cls))


def resolve(
    code: int, name: str, fields: tuple[str | None, ...], expected: dict[str, Any] | None
) -> tuple[type, tuple[str | None, ...], Callable[[type, tuple[Any, ...]], Any] | None]:
    """Find the class that bytes name, if it may be made, and how.

    Raises:
        Refused: It is not known, not the only one of that name, or not what it was.
    """
    pinned = expected.get(name) if expected is not None else None
    shape: Shape | None
    if isinstance(pinned, _Pinned):
        cls, shape = pinned
    else:
        cls = _find(name, expected)
        try:
            shape = _shape(cls)
        except Refused:
            shape = None
    if shape is None or shape.code != code:
        raise Refused(f"{_shown(name)} was stored as a {_codes.KINDS.get(code, 'class')}, and is none here")
    if shape.fields != fields:
        raise Refused(f"{_shown(name)} has other fields than when the value was stored")
    return cls, shape.fields, shape.make


def _find(name: str, expected: dict[str, Any] | None) -> type:
    found: list[type] = []
    if expected is not None and name in expected:
        found = expected[name]
    elif name in _registered_names:
        found = [_registered_names[name]]
    elif name in _stored:
        found = [cls for ref in list(_stored[name].values()) if (cls := ref()) is not None]
    if len(found) == 1:
        return found[0]
    what = "is the name of more than one class" if found else "is not known here"
    raise Refused(
        f"class {_shown(name)} {what}; name it in types= or in the return annotation, or register it with "
        "zoocache.register_type"
    )


def _shown(name: str) -> str:
    return repr(name) if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]!r}..."

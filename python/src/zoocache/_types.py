"""The classes that a type annotation names, also those that the fields of these classes name."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from typing import Any

#: More classes than any result has; a bound on the time that a look at them takes.
_MOST_CLASSES = 10_000
_PLAIN = (
    type(None), bool, int, float, str, bytes, list, dict, tuple, set, frozenset, complex, object, type, Any
)  # fmt: skip


def classes_of(*annotations: Any) -> list[type]:
    """Find the classes that annotations name, as in ``list[Order] | None``, and those of their fields.

    Names that cannot be resolved are passed over: they stand for no class.
    """
    found: list[type] = []
    seen: dict[int, Any] = {}
    waiting = list(annotations)
    while waiting and len(seen) < _MOST_CLASSES:
        annotation = waiting.pop()
        if id(annotation) in seen:
            continue
        seen[id(annotation)] = annotation  # kept alive, so that no address is used twice
        if isinstance(annotation, type) and typing.get_origin(annotation) is None:
            if not any(annotation is plain for plain in _PLAIN):
                found.append(annotation)
                waiting.extend(_field_types(annotation))
        else:
            waiting.extend(_parts(annotation))
    return found


def returned(function: Any) -> Any:
    """Return the annotation of what a function returns, with its names resolved where that is possible."""
    try:
        return typing.get_type_hints(function, include_extras=True).get("return")
    except Exception:  # noqa: BLE001 - a name that is not there (yet), or no function that has annotations
        return getattr(function, "__annotations__", {}).get("return")


def _parts(annotation: Any) -> list[Any]:
    """The annotations inside one that is no class."""
    if isinstance(annotation, (list, tuple)):  # the arguments of a Callable
        return list(annotation)
    if isinstance(annotation, enum.Enum):  # of a Literal
        return [type(annotation)]
    if isinstance(annotation, typing.TypeVar):
        return [annotation.__bound__, *annotation.__constraints__]
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return [annotation.__origin__]
    parts = [*typing.get_args(annotation)]
    if (isinstance(origin, type) and origin is not types.UnionType) or hasattr(origin, "__value__"):
        parts.append(origin)
    # Of a NewType, of a `type` statement.
    inner = (getattr(annotation, name, None) for name in ("__supertype__", "__value__"))
    parts.extend(part for part in inner if part is not None)
    return parts


def _field_types(cls: Any) -> list[Any]:
    """The annotations of the fields of a class that has some."""
    if not (
        dataclasses.is_dataclass(cls)
        or hasattr(cls, "__attrs_attrs__")
        or hasattr(cls, "__pydantic_fields__")
        or hasattr(cls, "__struct_fields__")
        or hasattr(cls, "__total__")  # a TypedDict
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
    ):
        return []
    # What a generic class was made of.
    inside = [part for base in getattr(cls, "__orig_bases__", ()) for part in typing.get_args(base)]
    if hasattr(cls, "__pydantic_fields__"):
        inside += getattr(cls, "__pydantic_generic_metadata__", {}).get("args", ())
        return inside + [field.annotation for field in cls.__pydantic_fields__.values()]
    return inside + [hint for hint in _hints(cls) if typing.get_origin(hint) is not typing.ClassVar]


def _hints(cls: Any) -> list[Any]:
    try:
        return list(typing.get_type_hints(cls, include_extras=True).values())
    except Exception:  # noqa: BLE001 - a name that is not there (yet), or under TYPE_CHECKING only
        hints: list[Any] = []
        for base in cls.__mro__:
            hints += vars(base).get("__annotations__", {}).values()
        return hints

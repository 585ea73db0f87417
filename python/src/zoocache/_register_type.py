"""`register_type`, which loads the registry when it is first called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_C = TypeVar("_C", bound="type[Any]")


def register_type(
    cls: _C,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any], Any] | None = None,
    name: str | None = None,
) -> _C:
    """Let values of a class be stored, and be made again of what is stored.

    Dataclasses, named tuples, enums, pydantic models, msgspec structs and attrs classes need no functions;
    registering one lets this process read what other processes have stored. It works as a decorator, too.

    Args:
        cls: The class. Its subclasses are registered on their own.
        encode: Takes an object and returns something simpler that can be stored.
        decode: Takes what `encode` returned and returns an object of this class.
        name: What stands for the class in the stored bytes. By default its module and qualified name; give
            one if the class may move.

    Returns:
        The class.

    Raises:
        TypeError: Not a class.
        ValueError: The class is stored by itself already, cannot be stored without functions, or the name
            belongs to another class.
    """
    # Here, since it needs more of the standard library than all of the rest.
    from zoocache import _registry  # noqa: PLC0415

    return _registry.register(cls, encode, decode, name)

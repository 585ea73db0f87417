"""What users give where several things are expected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def iterable(given: Any, needs: str) -> Any:
    """Return `given`, unless it is no iterable: then say what it should have been.

    Args:
        given: What the user gave.
        needs: The message up to "not int: 5".

    Raises:
        TypeError: It is none.
    """
    if not isinstance(given, Iterable) and not hasattr(type(given), "__getitem__"):
        msg = f"{needs}, not {type(given).__name__}: {given!r}"
        raise TypeError(msg)
    return given

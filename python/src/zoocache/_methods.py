"""Class methods that are cached."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from zoocache import _native

_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)
_T = TypeVar("_T")

if TYPE_CHECKING:
    _Base = classmethod[_T, _P, _R_co]
else:
    _Base = classmethod


class CachedClassMethod(_Base):
    """A class method whose operations (`invalidate`, `key` and so on) get the class, too.

    `classmethod` itself binds a cached function to the class like any other since Python 3.13.
    """

    __slots__ = ()
    __get__ = _native.bind_to_class

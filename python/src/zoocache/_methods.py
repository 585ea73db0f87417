"""Class methods that are cached."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from zoocache import _native

_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)
_T = TypeVar("_T")

if TYPE_CHECKING:

    class CachedClassMethod(classmethod[_T, _P, _R_co]):
        """A class method as type checkers see it."""

        def __get__(
            self, instance: _T | None, owner: type[_T] | None = None, /
        ) -> _native.CachedMethod[type[_T], _P, _R_co]: ...

else:

    class CachedClassMethod(classmethod):
        """A class method whose operations (`invalidate`, `key` and so on) get the class, too.

        `classmethod` itself binds a cached function to the class like any other since Python 3.13.
        """

        __slots__ = ()
        __get__ = _native.bind_to_class

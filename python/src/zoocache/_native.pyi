"""The types of the native module."""

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, final, overload, type_check_only

from typing_extensions import Self, disjoint_base

from zoocache._decorate import _Options
from zoocache._settings import Settings

_P = ParamSpec("_P")
_Q = ParamSpec("_Q")
_R_co = TypeVar("_R_co", covariant=True)
_Self_contra = TypeVar("_Self_contra", contravariant=True)

__version__: str

@disjoint_base
class FunctionBase(Generic[_P, _R_co]):
    def __new__(cls, function: Callable[_P, _R_co], options: _Options) -> Self: ...
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R_co: ...
    @overload
    def __get__(self, instance: None, owner: object = None, /) -> Self: ...
    @overload
    def __get__(
        self: FunctionBase[Concatenate[_Self_contra, _Q], _R_co], instance: _Self_contra, owner: object = None, /
    ) -> _Bound[_Self_contra, _Q, _R_co]: ...
    def key(self, *args: _P.args, **kwargs: _P.kwargs) -> str: ...
    def invalidate(self, *args: _P.args, **kwargs: _P.kwargs) -> bool: ...
    def bypass(self, *args: _P.args, **kwargs: _P.kwargs) -> _R_co: ...
    def refresh(self, *args: _P.args, **kwargs: _P.kwargs) -> _R_co: ...
    def stats(self) -> dict[str, int]: ...
    @property
    def tag(self) -> str: ...

"""Blocks around changes: `changing`, `invalidation_batch` and `consistent_after`."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from zoocache import _native
from zoocache._context import BATCH, DEMAND
from zoocache._errors import ConfigError, Unsent
from zoocache._time import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import ContextVar, Token
    from types import TracebackType

    from typing_extensions import Self

    from zoocache._options import Duration

_T = TypeVar("_T")


async def in_thread(function: Callable[..., _T], *args: Any) -> _T:
    """Do what `_far.in_thread` does; who never uses it need not wait for its import."""
    from zoocache import _far  # noqa: PLC0415

    return await _far.in_thread(function, *args)


async def arrived(fetch: _native.Fetch | None) -> None:
    """Do what `_far.arrived` does, if anything was asked for."""
    if fetch is not None:
        from zoocache import _far  # noqa: PLC0415

        await _far.arrived(fetch)


class Block(ABC):
    """A block of code that is entered once, with `with` or `async with`."""

    __slots__ = ("_entered", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._entered = False

    def _enter(self) -> None:
        if self._entered:
            msg = f"this {self._name}(...) was used already; make another one for each block"
            raise RuntimeError(msg)
        self._entered = True

    def __enter__(self) -> Self:
        self._enter()
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(failed=kind is not None)

    async def __aenter__(self) -> Self:
        self._enter()
        await self._begin_async()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end_async(failed=kind is not None)

    @abstractmethod
    def _begin(self) -> None:
        """Begin the block."""

    @abstractmethod
    def _end(self, *, failed: bool) -> None:
        """End the block, `failed` if with an exception."""

    async def _begin_async(self) -> None:
        """Begin the block in an event loop."""
        self._begin()

    async def _end_async(self, *, failed: bool) -> None:
        """End the block in an event loop."""
        self._end(failed=failed)


class Changing(Block):
    """The block of a `changing(...)`.

    Attributes:
        position: Position of the invalidation; `None` until the block has ended.
    """

    __slots__ = ("_mark", "_native", "_tags", "_timeout_ms", "_wait", "position")

    def __init__(
        self, native: _native.NativeCache, tags: tuple[str, ...], timeout: Duration, *, wait: bool = False
    ) -> None:
        super().__init__("changing")
        self._wait = wait
        if not tags:
            msg = "changing() needs at least one tag"
            raise TypeError(msg)
        _native.check_tags(tags)
        self._timeout_ms = milliseconds("timeout", timeout)
        self._native = native
        self._tags = tags
        self._mark: _native.Mark | None = None
        self.position: int | None = None

    def _begin(self) -> None:
        self._mark = self._native.change(self._timeout_ms, *self._tags)

    def _end(self, *, failed: bool) -> None:  # noqa: ARG002 - the change may have been made all the same
        if self._mark is not None:
            mark, self._mark = self._mark, None
            try:
                self.position = mark.settle()
            except Unsent as unsent:
                self.position = unsent.settle(wait=self._wait, stacklevel=3)

    async def _begin_async(self) -> None:
        if self._native.is_far():
            self._mark = await in_thread(self._native.change, self._timeout_ms, *self._tags)
        else:
            self._begin()

    async def _end_async(self, *, failed: bool) -> None:
        if self._mark is None or not self._native.is_far():
            self._end(failed=failed)
            return
        mark, self._mark = self._mark, None
        try:
            self.position = await in_thread(mark.settle)
        except Unsent as unsent:
            self.position = unsent.settle(wait=self._wait, stacklevel=3)


class InvalidationBatch(Block):
    """The block of an `invalidation_batch()`.

    Attributes:
        position: Position of the invalidation; `None` until the block has ended, and if it made none.
    """

    __slots__ = ("_batch", "_native", "_token", "_wait", "position")

    def __init__(self, native: _native.NativeCache, *, wait: bool = False) -> None:
        super().__init__("invalidation_batch")
        self._wait = wait
        self._native = native
        self.position: int | None = None

    def _begin(self) -> None:
        self._batch = _native.Batch(self._native, BATCH.get())
        self._token = BATCH.set(self._batch)

    def _end(self, *, failed: bool) -> None:
        _put_back(BATCH, self._token)
        if failed:
            self._batch.discard()
        else:
            try:
                self.position = self._batch.send()
            except Unsent as unsent:
                self.position = unsent.settle(wait=self._wait, stacklevel=3)

    async def _end_async(self, *, failed: bool) -> None:
        if failed or not self._native.is_far():
            self._end(failed=failed)
            return
        _put_back(BATCH, self._token)
        try:
            self.position = await in_thread(self._batch.send)
        except Unsent as unsent:
            self.position = unsent.settle(wait=self._wait, stacklevel=3)


class ConsistentAfter(Block):
    """The block of a `consistent_after(...)`."""

    __slots__ = ("_native", "_position", "_token")

    def __init__(self, native: _native.NativeCache, position: int) -> None:
        super().__init__("consistent_after")
        self._native = native
        self._position = check_position(position)

    def _begin(self) -> None:
        self._token = DEMAND.set(_native.Demand(self._native, self._position, DEMAND.get()))

    def _end(self, *, failed: bool) -> None:  # noqa: ARG002 - it ends in the same way
        _put_back(DEMAND, self._token)


def _put_back(variable: ContextVar[Any], token: Token[Any]) -> None:
    # Closed from another context, as by the garbage collector, there is nothing to put back.
    with contextlib.suppress(ValueError):
        variable.reset(token)


def check_position(position: object) -> int:
    """Check a position as `invalidate` returns it.

    Raises:
        TypeError: It is no `int`.
        ConfigError: It is no position.
    """
    if not isinstance(position, int) or isinstance(position, bool):
        msg = f"a position must be an int, as invalidate() returns it, not {type(position).__name__}"
        raise TypeError(f"{msg}: {position!r}")
    if not 0 <= position < 2**63:
        msg = f"a position must be at least 0 and below 2**63, as invalidate() returns it, not {position!r}"
        raise ConfigError(msg)
    return position

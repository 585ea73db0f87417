"""For the tests of programs that use zoocache: no cache, a cache of one's own, and time that stands still.

All of these act on the whole process, on all of its threads: they are for tests that run one at a time.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from abc import ABC, abstractmethod
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar, cast

from zoocache import _native, _settings
from zoocache._cache import DEFAULT, Cache
from zoocache._time import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from zoocache._options import Duration
    from zoocache._settings import CacheSettings

_F = TypeVar("_F", bound="Callable[..., Any]")

__all__ = ["disabled", "frozen_time", "isolated"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
#: The time at which clocks stand still, from the outermost `frozen_time` to the innermost.
_frozen: list[tuple[int, int]] = []


class _Block(contextlib.ContextDecorator, ABC):
    """A block that can be nested, used anew, used with `async with`, and as a decorator."""

    def __call__(self, func: _F) -> _F:
        if not inspect.iscoroutinefunction(func):
            return super().__call__(func)

        @functools.wraps(func)
        async def inside(*args: Any, **kwargs: Any) -> Any:
            self._begin()
            try:
                return await func(*args, **kwargs)
            finally:
                self._end()

        return cast("_F", inside)

    @abstractmethod
    def _begin(self) -> Any:
        """Begin the block."""

    @abstractmethod
    def _end(self) -> None:
        """End the block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()


class disabled(_Block):  # noqa: N801 - used like a function
    """A block in which a cache holds nothing and stores nothing.

    Cached functions call through, `get` returns its default and `set` does nothing. What was cached before
    is there again afterwards, unless it was invalidated: invalidating works as ever.

    Args:
        cache: The cache; the default one if none is given.
    """

    def __init__(self, cache: Cache | None = None) -> None:
        disabled: Any = DEFAULT if cache is None else cache
        if not isinstance(disabled, Cache):
            msg = f"disabled() takes a zoocache.Cache or nothing, not {disabled!r}; to decorate: @disabled()"
            raise TypeError(msg)
        self._native = disabled._native  # noqa: SLF001 - our own

    def _begin(self) -> None:
        self._native.bypass(begins=True)

    def _end(self) -> None:
        self._native.bypass(begins=False)

    def __enter__(self) -> None:
        self._begin()

    async def __aenter__(self) -> None:
        self._begin()


class isolated(_Block):  # noqa: N801 - used like a function
    """A block in which the default cache is a fresh one in memory.

    The one before is put back untouched afterwards, with what `configure` was given.

    Args:
        **settings: As those of `configure`. Without any, the block may call `configure` itself.

    Raises:
        ConfigError: A setting makes no sense.
    """

    def __init__(self, **settings: Unpack[CacheSettings]) -> None:
        _check("isolated", settings)
        self._settings = settings
        self._before: list[tuple[_native.PutAside, dict[str, Any], _settings._Telemetry | None]] = []

    def _begin(self) -> Cache:
        self._before.append(_settings.put_aside())
        if self._settings:
            try:
                _settings.configure(**self._settings)
            except BaseException:
                self._end()
                raise
        return DEFAULT

    def _end(self) -> None:
        _settings.put_back(*self._before.pop())

    def __enter__(self) -> Cache:
        return self._begin()

    async def __aenter__(self) -> Cache:
        return self._begin()


class frozen_time(_Block):  # noqa: N801 - used like a function
    """A block in which the clocks of all caches stand still, and the default cache is a fresh one.

    Entries expire, and changes reach their deadline, when the test says that time passes.

    Args:
        at: The time at first: a `datetime` with a time zone, or seconds since 1970. Now, if not given.
        **settings: As those of `isolated`.

    Raises:
        ValueError: `at` has no time zone, or lies outside of the years 1970 to 9999.
    """

    def __init__(self, at: datetime | float | None = None, **settings: Unpack[CacheSettings]) -> None:
        _check("frozen_time", settings)
        self._at = None if at is None else _microseconds(at)
        self._isolated = isolated(**settings)

    def _begin(self) -> Self:
        wall_us, monotonic_ms = _native.clock()
        self._isolated._begin()  # noqa: SLF001 - our own
        _stop((wall_us if self._at is None else self._at, monotonic_ms))
        return self

    def _end(self) -> None:
        _frozen.pop()
        if _frozen:
            _native.stop_clock(*_frozen[-1])
        else:
            _native.run_clock()
        self._isolated._end()  # noqa: SLF001 - our own

    def __enter__(self) -> Self:
        return self._begin()

    async def __aenter__(self) -> Self:
        return self._begin()

    def advance(self, duration: Duration) -> None:
        """Let time pass: seconds, a `timedelta`, or a text such as `"10m"`.

        Raises:
            ValueError: The duration is negative: time does not run backwards.
        """
        passed_ms = milliseconds("duration", duration, allow_zero=True)
        if not _frozen:
            msg = "time does not stand still: advance() belongs into the block of frozen_time()"
            raise RuntimeError(msg)
        wall_us, monotonic_ms = _frozen[-1]
        if wall_us + passed_ms * 1000 > _LATEST_US:
            msg = f"the clock would be beyond the year 9999 after {duration!r}"
            raise ValueError(msg)
        _frozen.pop()
        _stop((wall_us + passed_ms * 1000, monotonic_ms + passed_ms))

    def now(self) -> datetime:
        """Return the time that caches see, in UTC."""
        return _EPOCH + timedelta(microseconds=_native.clock()[0])


def _check(who: str, settings: CacheSettings) -> None:
    for name in settings:
        if name not in _settings.DEFAULTS:
            msg = f"{who}() has no setting {name!r}; it has those of configure()"
            raise TypeError(msg)
    _settings.check(_settings.given(settings))


def _stop(at: tuple[int, int]) -> None:
    _frozen.append(at)
    _native.stop_clock(*at)


def _since_epoch(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


_LATEST_US = _since_epoch(datetime.max.replace(tzinfo=timezone.utc))


def _microseconds(at: datetime | float) -> int:
    if isinstance(at, datetime):
        if at.tzinfo is None:
            msg = f"at must have a time zone: {at!r}; write at.replace(tzinfo=timezone.utc), or give seconds"
            raise ValueError(msg)
        moment = _since_epoch(at)
    elif isinstance(at, (int, float)) and not isinstance(at, bool):
        if not 0 <= at <= _LATEST_US / 1_000_000:
            msg = f"at must lie in the years 1970 to 9999, not at {at!r} seconds"
            raise ValueError(msg)
        moment = int(at * 1_000_000)
    else:
        msg = f"at must be a datetime or seconds since 1970, not {type(at).__name__}: {at!r}"
        raise TypeError(msg)
    if not 0 <= moment <= _LATEST_US:
        msg = f"at must lie in the years 1970 to 9999, not at {at!r}"
        raise ValueError(msg)
    return moment

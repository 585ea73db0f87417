"""The options of `cacheable`: what a user may give, and what native code is told.

Nothing here knows the function that is decorated; `_decorate` does.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Literal, TypeAlias, TypedDict

from zoocache._errors import ConfigError
from zoocache._time import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    # Functions that are given those arguments of a call that they name. The last part alone says it all; the
    # others are for pyright, which then knows the parameters of `lambda a, b: ...`.
    TagsOfCall: TypeAlias = (
        Callable[Concatenate[Any, Any, Any, ...], Iterable[str]]
        | Callable[Concatenate[Any, Any, ...], Iterable[str]]
        | Callable[Concatenate[Any, ...], Iterable[str]]
        | Callable[..., Iterable[str]]
    )
    KeyOfCall: TypeAlias = (
        Callable[Concatenate[Any, Any, Any, ...], Any]
        | Callable[Concatenate[Any, Any, ...], Any]
        | Callable[Concatenate[Any, ...], Any]
        | Callable[..., Any]
    )

#: Seconds, a `timedelta`, or a text such as `"10m"`.
Duration: TypeAlias = float | timedelta | str
#: How old a value may be that is served instead of an error.
StaleIfError: TypeAlias = Duration | tuple[Duration, Literal["expired", "any"]]

#: How long after its expiry a value may stand in for one that is late, if `timeout` says nothing else: 1 h.
_LATE_MS = 3_600_000
#: A grace of this many milliseconds lasts as long as there is room for the entry.
_FOR_EVER_MS = 2**32 - 1


class CacheableOptions(TypedDict, total=False):
    """The options of `cacheable`, which describes them."""

    namespace: str | None
    deps: Iterable[str] | TagsOfCall | None
    ttl: Duration | Callable[[Any], Duration | None] | None
    key: KeyOfCall | None
    ignore: Iterable[str]
    typed: bool
    version: int | str
    cache_if: Callable[[Any], object] | None
    jitter: float
    early_refresh: float | None
    stale_while_revalidate: Duration | None
    stale_if_error: StaleIfError | None
    timeout: Duration | None
    copy: Literal["auto", "share", "deep"]
    on_unserializable: Literal["raise", "return"]
    cluster_lock: bool


@dataclass(frozen=True)
class Keeping:
    """What becomes of a result; see `native/keeping.rs`."""

    ttl_ms: int | None
    ttl_of: Callable[[Any], int | None] | None
    jitter: float
    fixed_ttl: bool
    cache_if: Callable[[Any], object] | None
    grace_ms: int
    keep_invalidated: bool
    copy: str
    return_unserializable: bool


@dataclass(frozen=True)
class Tolerant:
    """Which stale values may stand in; see `native/tolerant.rs`."""

    revalidate_ms: int = 0
    error_expired_ms: int = 0
    error_invalidated_ms: int = 0
    late_ms: int = 0
    timeout_ms: int | None = None

    def grace_ms(self) -> int:
        """Return how long an entry must be kept after its time."""
        longest = max(self.revalidate_ms, self.error_expired_ms, self.late_ms)
        return min(longest, _FOR_EVER_MS)


def tolerant(
    stale_while_revalidate: Duration | None, stale_if_error: StaleIfError | None, timeout: Duration | None
) -> Tolerant | None:
    """Check the options that let stale values stand in; `None` if there are none."""
    if stale_while_revalidate is None and stale_if_error is None and timeout is None:
        return None
    revalidate_ms = 0
    if stale_while_revalidate is not None:
        revalidate_ms = milliseconds("stale_while_revalidate", stale_while_revalidate)
    error_ms, scope = _stale_if_error(stale_if_error)
    late_ms, timeout_ms = 0, None
    if timeout is not None:
        timeout_ms = milliseconds("timeout", timeout, allow_zero=True)
        late_ms = max(revalidate_ms, error_ms) or _LATE_MS
    return Tolerant(revalidate_ms, error_ms, error_ms if scope == "any" else 0, late_ms, timeout_ms)


def _stale_if_error(given: Any) -> tuple[int, str]:
    if given is None:
        return 0, "expired"
    if given in ("expired", "any"):
        return _FOR_EVER_MS, given
    duration, scope = given, "expired"
    if isinstance(given, tuple):
        if len(given) != 2 or given[1] not in ("expired", "any"):  # noqa: PLR2004 - a pair
            msg = (
                'stale_if_error must be a duration, "expired", "any", or a pair such as (60, "any"), '
                f"not {given!r}"
            )
            raise ConfigError(msg)
        duration, scope = given
    return milliseconds("stale_if_error", duration), scope


def keeping(options: dict[str, Any], stale: Tolerant | None) -> Keeping:
    """Check the options that say what becomes of a result."""
    ttl, jitter = options["ttl"], options["jitter"]
    ttl_ms, ttl_of = None, None
    if callable(ttl):
        ttl_of = _ttl_of(plain_function("ttl", ttl, "result"))
    elif ttl is not None:
        ttl_ms = milliseconds("ttl", ttl)
    if isinstance(jitter, bool) or not isinstance(jitter, (int, float)) or not 0 <= jitter < 1:
        msg = f"jitter must be a share of the ttl, from 0 to below 1 (0.1 is a tenth), not {jitter!r}"
        raise ConfigError(msg)
    cache_if = options["cache_if"]
    if cache_if is not None:
        plain_function("cache_if", cache_if, "result")
    copy = _one_of("copy", options["copy"], ("auto", "share", "deep"))
    on_unserializable = _one_of("on_unserializable", options["on_unserializable"], ("raise", "return"))
    # These options are about a value's age, which does not begin anew with each reader.
    fixed_ttl = options["early_refresh"] is not None or options["stale_while_revalidate"] is not None
    return Keeping(
        ttl_ms=ttl_ms,
        ttl_of=ttl_of,
        jitter=float(jitter),
        fixed_ttl=fixed_ttl,
        cache_if=cache_if,
        grace_ms=0 if stale is None else stale.grace_ms(),
        keep_invalidated=stale is not None and stale.error_invalidated_ms > 0,
        copy=copy,
        return_unserializable=on_unserializable == "return",
    )


def early_refresh(beta: Any) -> float | None:
    """Check `early_refresh`."""
    if beta is None:
        return None
    if isinstance(beta, bool) or not isinstance(beta, (int, float)) or not 0 < beta < math.inf:
        msg = f"early_refresh must be a number above 0 (1.0 is the usual one), not {beta!r}"
        raise ConfigError(msg)
    return float(beta)


def _ttl_of(ttl: Callable[[Any], Any]) -> Callable[[Any], int | None]:
    def milliseconds_of(result: Any) -> int | None:
        duration = ttl(result)
        return None if duration is None else milliseconds("ttl", duration, allow_zero=True)

    return milliseconds_of


def plain_function(name: str, function: Any, of: str) -> Any:
    """Check that an option is a plain function, of the `"result"` or of the `"arguments"`."""
    if not callable(function):
        msg = f"{name} must be a function of the {of}, not {type(function).__name__}: {function!r}"
        raise ConfigError(msg)
    if inspect.iscoroutinefunction(function):
        msg = f"{name} must be a plain function, not the async {function!r}"
        raise ConfigError(msg)
    return function


def _one_of(name: str, value: Any, values: tuple[str, ...]) -> Any:
    if not isinstance(value, str) or value not in values:
        *others, last = (f'"{known}"' for known in values)
        msg = f"{name} must be {', '.join(others)} or {last}, not {value!r}"
        raise ConfigError(msg)
    return value

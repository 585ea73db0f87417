"""`explain`: why an entry is fresh, stale, expired or absent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import MethodType
from typing import Any

from zoocache import _native

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Dependency:
    """One dependency of an entry.

    Attributes:
        tag: The tag; `a:b:*` for everything below `a:b`, too.
        version: Position of the latest invalidation that covers it, 0 for never.
        stale: Whether that invalidation came after the entry's computation began.
    """

    tag: str
    version: int
    stale: bool


@dataclass(frozen=True)
class Cause:
    """What made an entry stale.

    Attributes:
        tag: The tag that was invalidated.
        at: When, in UTC.
        node: The node that did it.
    """

    tag: str
    at: datetime
    node: str


@dataclass(frozen=True)
class Explanation:
    """Why an entry is what it is.

    Attributes:
        key: The entry's key.
        state: `fresh`, `stale`, `changing`, `expired` or `absent`.
        age: Seconds since the entry was stored.
        expires_in: Seconds until it expires, or `None` if it does not.
        as_of: The latest invalidation that its computation knew of, in UTC; `None` if there was none.
        dependencies: What it depends on, stale ones first, the functions' own tags last.
        cause: What made it stale, if it is.
    """

    key: str
    state: str
    age: float
    expires_in: float | None
    as_of: datetime | None
    dependencies: tuple[Dependency, ...]
    cause: Cause | None

    def __str__(self) -> str:
        """Explain in a few lines for people."""
        lines = [f"{self.key}: {self.state}"]
        if self.cause is not None:
            lines.append(
                f"  because {self.cause.tag!r} was invalidated at {self.cause.at:%Y-%m-%d %H:%M:%S.%f} UTC"
            )
            lines.append(f"  by {self.cause.node}")
        if self.state != "absent":
            lines.append(f"  stored {self.age:.3f} s ago")
        for dependency in self.dependencies:
            mark = "stale" if dependency.stale else "ok"
            lines.append(f"  depends on {dependency.tag} ({mark})")
        return "\n".join(lines)


def explain(
    cache: _native.NativeCache, key_or_function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Explanation:
    """Explain the entry under a key of `cache`, or of a call of a cached function, in the cache it uses."""
    if isinstance(key_or_function, str):
        if args or kwargs:
            msg = "explain(key) takes no further arguments; for a call give the cached function first"
            raise TypeError(msg)
        return _record(_native.explain(cache, key_or_function))
    function = key_or_function
    if isinstance(key_or_function, (MethodType, _native.CachedMethod)):
        function, args = key_or_function.__func__, (key_or_function.__self__, *args)
    if not isinstance(function, _native.CachedFunction):
        msg = f"explain() needs a key or a cached function, not {type(key_or_function).__name__}"
        raise TypeError(msg)
    return _record(_native.explain(function._cache, function.key(*args, **kwargs)))  # noqa: SLF001


def _record(raw: dict[str, Any]) -> Explanation:
    expires_in, cause = raw["expires_in_ms"], raw["cause"]
    return Explanation(
        key=raw["key"],
        state=raw["state"],
        age=raw["age_ms"] / 1000,
        expires_in=None if expires_in is None else expires_in / 1000,
        as_of=_utc(raw["as_of_us"]) if raw["as_of_us"] else None,
        dependencies=tuple(
            sorted((Dependency(*dependency) for dependency in raw["dependencies"]), key=_rank)
        ),
        cause=None if cause is None else Cause(cause[0], _utc(cause[1]), cause[2]),
    )


def _rank(dependency: Dependency) -> tuple[bool, bool, str]:
    """Order dependencies: what made the entry stale first, the functions' own tags last."""
    return not dependency.stale, dependency.tag.startswith("fn."), dependency.tag


def _utc(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)

"""The module functions: the default cache's operations, sync and async.

The memory storage never blocks, so the async forms do their work at once; they exist so that programs need
not change when the storage does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from zoocache import _native
from zoocache._time import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

_C = TypeVar("_C", bound=type[Any])


def invalidate(*tags: str) -> int:
    """Make everything that depends on a tag, or on anything below it, stale. O(depth of the tag).

    When it returns, no read that begins serves a value that was computed, or began to be computed, before.
    `"a:b:*"` is another way to write `"a:b"`.

    Returns:
        The position of the invalidation in the order of all invalidations.

    Raises:
        InvalidTag: A tag is not valid; then nothing is invalidated.
    """
    return _native.invalidate(*tags)


async def invalidate_async(*tags: str) -> int:
    """Do what `invalidate` does."""
    return _native.invalidate(*tags)


def get(key: str) -> Any:
    """Return the fresh value under `key`, or `None` if there is none."""
    return _native.get(key)


async def get_async(key: str) -> Any:
    """Do what `get` does."""
    return _native.get(key)


def set(key: str, value: Any, deps: Iterable[str] = (), ttl: float | timedelta | None = None) -> None:
    """Store a value under `key`.

    Args:
        key: The key, any text.
        value: The value; builtin containers are copied.
        deps: The tags that the value depends on.
        ttl: Seconds until it expires, or a `timedelta`; `default_ttl` otherwise.

    Raises:
        InvalidTag: A tag is not valid; then nothing is stored.
        ConfigError: `ttl` makes no sense.
    """
    _native.set(key, value, deps, None if ttl is None else milliseconds("ttl", ttl))


async def set_async(
    key: str, value: Any, deps: Iterable[str] = (), ttl: float | timedelta | None = None
) -> None:
    """Do what `set` does."""
    set(key, value, deps, ttl)


def clear() -> None:
    """Make every entry stale and free its memory. Positions keep rising."""
    _native.clear()


async def clear_async() -> None:
    """Do what `clear` does."""
    _native.clear()


def prune(max_age_secs: float = 3600) -> int:
    """Forget tags that nothing needs and that were not invalidated for `max_age_secs`.

    Entries are never affected, and no stale entry comes back. The cache also does this by itself.

    Returns:
        How many tags were forgotten.
    """
    return _native.prune(milliseconds("max_age_secs", max_age_secs, allow_zero=True))


def add_deps(deps: Iterable[str]) -> None:
    """Add tags to what the running cached function depends on; outside of one it does nothing.

    It may be called at any time while the function runs: an invalidation that came before the call but
    after the function had started is not missed.

    Raises:
        InvalidTag: A tag is not valid.
    """
    _native.add_deps(deps)


def get_tag_version(tag: str) -> int:
    """Return the position of the latest invalidation that covers `tag`, 0 if there was none.

    After pruning it may be higher for a tag that nothing depends on; it never falls.
    """
    return _native.get_tag_version(tag)


def stats() -> dict[str, int]:
    """Return the counters and sizes of the default cache."""
    return _native.stats()


def version() -> str:
    """Return the version of the package."""
    return _native.__version__


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

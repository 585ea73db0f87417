"""Each library's cache around a function, and its documented way to drop what is cached for one argument.

`deps`, tags or keys: whatever the library offers that comes closest to "this item changed".
"""

from __future__ import annotations

import functools
import itertools
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import zoocache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Read = Callable[[int], Any]
    Racer = tuple[Read, Callable[[int], Any]]
    AsyncRead = Callable[[int], Awaitable[Any]]
    AsyncRacer = tuple[AsyncRead, Callable[[int], Awaitable[Any]]]

_numbers = itertools.count()


def with_zoocache(read: Read) -> Racer:
    """Invalidate the tag."""
    cache = zoocache.cacheable(namespace=f"race-{next(_numbers)}", deps=lambda item: [f"item:{item}"])
    return cache(_named(read)), lambda item: zoocache.invalidate(f"item:{item}")


def _named(read: Read) -> Read:
    """Wrap a bound method in a function, which has no `self` that would count as an argument."""

    def function(item: int) -> Any:
        return read(item)

    return function


def with_functools(read: Read) -> Racer:
    """Clear the cache: it has nothing finer."""
    cached = functools.lru_cache(128)(read)
    return cached, lambda _item: cached.cache_clear()


def with_cachetools(read: Read) -> Racer:
    """Remove the key, under the cache's lock, as its documentation shows."""
    import cachetools  # noqa: PLC0415

    cached = cachetools.cached(cachetools.TTLCache(128, 600), lock=threading.Lock())(read)

    def invalidate(item: int) -> None:
        with cached.cache_lock:
            cached.cache.pop(cached.cache_key(item), None)

    return cached, invalidate


def with_cachebox(read: Read) -> Racer:
    """Clear the function's cache."""
    import cachebox  # noqa: PLC0415

    cached = cachebox.cached(cachebox.TTLCache(128, 600))(read)
    return cached, lambda _item: cached.cache_clear()


def with_theine(read: Read) -> Racer:
    """Use `get`, `set` and `delete` of `Cache`: its decorator has no invalidation."""
    import theine  # noqa: PLC0415

    cache: Any = theine.Cache(128)

    def cached(item: int) -> Any:
        value, found = cache.get(item)
        if not found:
            value = read(item)
            cache.set(item, value)
        return value

    return cached, cache.delete


def with_diskcache(read: Read) -> Racer:
    """Evict the tag."""
    import diskcache  # noqa: PLC0415

    cache = diskcache.Cache(tempfile.mkdtemp(prefix="race-diskcache-"))
    cached = cache.memoize(name="read", tag="items")(read)
    return cached, lambda _item: cache.evict("items")


def with_dogpile(read: Read) -> Racer:
    """Use the decorated function's `invalidate`."""
    from dogpile.cache import make_region  # noqa: PLC0415

    region = make_region().configure("dogpile.cache.memory")
    cached = region.cache_on_arguments()(_named(read))
    return cached, cached.invalidate


def with_moka(read: Read) -> Racer:
    """Use `get_with`, which computes a key once, and `remove`."""
    import moka_py  # noqa: PLC0415

    cache: Any = moka_py.Moka(128)
    return lambda item: cache.get_with(item, lambda: read(item)), cache.remove


def with_zoocache_async(read: AsyncRead) -> AsyncRacer:
    """Invalidate the tag."""
    cache = zoocache.cacheable(namespace=f"race-{next(_numbers)}", deps=lambda item: [f"item:{item}"])

    async def cached(item: int) -> Any:
        return await read(item)

    return cache(cached), lambda item: zoocache.invalidate_async(f"item:{item}")


def with_async_lru(read: AsyncRead) -> AsyncRacer:
    """Use `cache_invalidate`, which also cancels a running computation of the key."""
    from async_lru import alru_cache  # noqa: PLC0415

    cached = alru_cache(128)(read)

    async def invalidate(item: int) -> None:
        cached.cache_invalidate(item)

    return cached, invalidate


def with_aiocache(read: AsyncRead) -> AsyncRacer:
    """Delete the key."""
    import aiocache  # noqa: PLC0415

    cached = aiocache.cached(key_builder=lambda _function, item: f"item:{item}")(read)
    return cached, lambda item: cached.cache.delete(f"item:{item}")


def with_cashews(read: AsyncRead) -> AsyncRacer:
    """Delete the tag."""
    import cashews  # noqa: PLC0415

    cache = cashews.Cache()
    cache.setup("mem://")

    @cache(ttl="10m", key=f"read-{next(_numbers)}:{{item}}", tags=["item:{item}"])
    async def cached(item: int) -> Any:
        return await read(item)

    return cached, lambda item: cache.delete_tags(f"item:{item}")


THREADS = {
    "functools.lru_cache": with_functools,
    "cachetools": with_cachetools,
    "cachebox": with_cachebox,
    "theine": with_theine,
    "diskcache": with_diskcache,
    "dogpile.cache": with_dogpile,
    "moka-py": with_moka,
    "zoocache": with_zoocache,
}
TASKS = {
    "async-lru": with_async_lru,
    "aiocache": with_aiocache,
    "cashews": with_cashews,
    "zoocache, async": with_zoocache_async,
}

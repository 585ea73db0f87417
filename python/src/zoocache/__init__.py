"""A cache that is invalidated by what changed, not by when.

@cacheable(deps=lambda product_id: [f"product:{product_id}"])
def product(product_id): ...

invalidate("product:42")
"""

from zoocache._cache import DEFAULT, Cache, add_deps
from zoocache._errors import (
    BusError,
    CacheError,
    ConfigError,
    FlightTimeout,
    InvalidationQueued,
    InvalidTag,
    SerializationError,
    StorageError,
    StorageIsFull,
)
from zoocache._explain import Cause, Dependency, Explanation
from zoocache._native import CachedFunction, Subscription
from zoocache._native import __version__ as __version__
from zoocache._register_type import register_type
from zoocache._settings import configure, reset

affected = DEFAULT.affected
cacheable = DEFAULT.cacheable
changing = DEFAULT.changing
clear = DEFAULT.clear
clear_async = DEFAULT.clear_async
consistent_after = DEFAULT.consistent_after
delete = DEFAULT.delete
delete_async = DEFAULT.delete_async
explain = DEFAULT.explain
get = DEFAULT.get
get_async = DEFAULT.get_async
get_many = DEFAULT.get_many
get_many_async = DEFAULT.get_many_async
get_tag_version = DEFAULT.get_tag_version
invalidate = DEFAULT.invalidate
invalidate_async = DEFAULT.invalidate_async
invalidates = DEFAULT.invalidates
invalidation_batch = DEFAULT.invalidation_batch
on_invalidate = DEFAULT.on_invalidate
prune = DEFAULT.prune
set = DEFAULT.set
set_async = DEFAULT.set_async
set_many = DEFAULT.set_many
set_many_async = DEFAULT.set_many_async
stats = DEFAULT.stats


def version() -> str:
    """Return the version of the package."""
    return __version__


__all__ = [
    "BusError",
    "Cache",
    "CacheError",
    "CachedFunction",
    "Cause",
    "ConfigError",
    "Dependency",
    "Explanation",
    "FlightTimeout",
    "InvalidTag",
    "InvalidationQueued",
    "SerializationError",
    "StorageError",
    "StorageIsFull",
    "Subscription",
    "add_deps",
    "affected",
    "cacheable",
    "changing",
    "clear",
    "clear_async",
    "configure",
    "consistent_after",
    "delete",
    "delete_async",
    "explain",
    "get",
    "get_async",
    "get_many",
    "get_many_async",
    "get_tag_version",
    "invalidate",
    "invalidate_async",
    "invalidates",
    "invalidation_batch",
    "on_invalidate",
    "prune",
    "register_type",
    "reset",
    "set",
    "set_async",
    "set_many",
    "set_many_async",
    "stats",
    "version",
]

"""A cache that is invalidated by what changed, not by when.

@cacheable(deps=lambda product_id: [f"product:{product_id}"])
def product(product_id): ...

invalidate("product:42")
"""

from zoocache._decorate import cacheable
from zoocache._errors import (
    BusError,
    CacheError,
    ConfigError,
    FlightTimeout,
    InvalidTag,
    SerializationError,
    StorageError,
    StorageIsFull,
)
from zoocache._explain import Cause, Dependency, Explanation, explain
from zoocache._native import CachedFunction
from zoocache._operations import (
    add_deps,
    clear,
    clear_async,
    get,
    get_async,
    get_tag_version,
    invalidate,
    invalidate_async,
    prune,
    register_type,
    set,
    set_async,
    stats,
    version,
)
from zoocache._settings import configure, reset

__all__ = [
    "BusError",
    "CacheError",
    "CachedFunction",
    "Cause",
    "ConfigError",
    "Dependency",
    "Explanation",
    "FlightTimeout",
    "InvalidTag",
    "SerializationError",
    "StorageError",
    "StorageIsFull",
    "add_deps",
    "cacheable",
    "clear",
    "clear_async",
    "configure",
    "explain",
    "get",
    "get_async",
    "get_tag_version",
    "invalidate",
    "invalidate_async",
    "prune",
    "register_type",
    "reset",
    "set",
    "set_async",
    "stats",
    "version",
]
__version__ = version()

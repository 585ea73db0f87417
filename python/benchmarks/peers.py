"""Functions of one argument, cached by each library as its documentation shows.

All have a lifetime where the library has one. Where it has several ways, the fastest is taken.
"""

from __future__ import annotations

import functools
import importlib
import tempfile
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from zoocache import cacheable

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[[int], int]

OURS = "zoocache"
LRU = "functools.lru_cache(128)"
LIFETIME = 600
SIZE = 128


def _plain(x: int) -> int:
    return x


@cacheable(deps=["shop:products"], ttl=LIFETIME)
def _ours(x: int) -> int:
    return x


def _by_hand(function: Function) -> Function:
    table: dict[tuple[int, ...], int] = {}

    @functools.wraps(function)
    def wrapper(*args: int) -> int:
        try:
            return table[args]
        except KeyError:
            value = table[args] = function(*args)
            return value

    return wrapper


def _cachetools(library: Any, function: Function) -> Function:
    return library.cached(library.TTLCache(SIZE, LIFETIME))(function)


def _cachebox(library: Any, function: Function) -> Function:
    return library.cached(library.TTLCache(SIZE, LIFETIME))(function)


def _moka(library: Any, function: Function) -> Function:
    return library.cached(SIZE, ttl=LIFETIME)(function)


def _theine(library: Any, function: Function) -> Function:
    cached = library.Memoize(SIZE, timedelta(seconds=LIFETIME))(function)
    cached.key(lambda x: x)
    return cached


def _dogpile(library: Any, function: Function) -> Function:
    region = library.make_region().configure("dogpile.cache.memory", expiration_time=LIFETIME)
    return region.cache_on_arguments()(function)


def _diskcache(library: Any, function: Function) -> Function:
    return library.Cache(tempfile.mkdtemp(prefix="bench-diskcache-")).memoize(expire=LIFETIME)(function)


_LIBRARIES: dict[str, tuple[str, Callable[[Any, Function], Function]]] = {
    "cachebox TTLCache": ("cachebox", _cachebox),
    "cachetools TTLCache": ("cachetools", _cachetools),
    "moka-py": ("moka_py", _moka),
    "theine": ("theine", _theine),
    "dogpile.cache memory": ("dogpile.cache", _dogpile),
    "diskcache": ("diskcache", _diskcache),
}


def cached_functions() -> dict[str, Function]:
    """Return one cached function for each library that is installed, ours first."""
    functions = {
        OURS: _ours,
        LRU: functools.lru_cache(SIZE)(_plain),
        "dict in a Python wrapper": _by_hand(_plain),
    }
    for name, (module, cache) in _LIBRARIES.items():
        if library := imported(module):
            functions[name] = cache(library, _plain)
    return functions


def imported(module: str) -> Any:
    """Import a library; `None` if it is not there."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None

"""Memory for each entry, as the system sees it: what Python's own accounts do not show is in it.

Each contender fills its cache in a process of its own, which then prints how much its resident memory grew.
Arguments exist before the first measurement and results are `True`, so neither counts; the text of the key
that zoocache makes is counted and then taken off by its length.
"""

from __future__ import annotations

import functools
import gc
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zoocache
from zoocache import cacheable

if TYPE_CHECKING:
    from collections.abc import Callable

ENTRIES = 1_000_000
ENTRY_GOAL, NODE_GOAL = 250, 120
WARM = 1_000
PEERS = ("lru_cache", "cachetools", "cachebox", "theine", "moka")


def shared_tag() -> Callable[[int], bool]:
    """All entries depend on the same tag."""

    @cacheable(deps=["shop:products"], ttl=600)
    def f(x: int) -> bool:  # noqa: ARG001
        return True

    return f


def own_tags() -> Callable[[int], bool]:
    """Each entry depends on a tag of its own: one more node of the trie."""

    @cacheable(deps=lambda x: (f"shop:{x}",), ttl=600)
    def f(x: int) -> bool:  # noqa: ARG001
        return True

    return f


def lru_cache() -> Callable[[int], bool]:
    """Without a bound."""
    return functools.lru_cache(None)(_true)


def cachetools() -> Callable[[int], bool]:
    """With room for all."""
    library = importlib.import_module("cachetools")
    return library.cached(library.TTLCache(2 * ENTRIES, 600))(_true)


def cachebox() -> Callable[[int], bool]:
    """With room for all."""
    library = importlib.import_module("cachebox")
    return library.cached(library.TTLCache(2 * ENTRIES, 600))(_true)


def theine() -> Callable[[int], bool]:
    """With room for all; the key is the argument."""
    cached = importlib.import_module("theine").Memoize(2 * ENTRIES, None)(_true)
    cached.key(lambda x: x)
    return cached


def moka() -> Callable[[int], bool]:
    """With room for all."""
    return importlib.import_module("moka_py").cached(2 * ENTRIES, ttl=600)(_true)


def _true(_x: int) -> bool:
    return True


def rows() -> list[Any]:
    """Compare the bytes of an entry, and of a node of the trie."""
    from report import Row  # noqa: PLC0415 - not in the processes that measure

    shared, key = _measured("shared_tag")
    own, _ = _measured("own_tags")
    entry, node = shared - key, own - shared
    result = [
        Row(
            "memory of an entry with 1 dependency, without key and value",
            f"{entry:.0f} bytes (and {key:.0f} of key)",
            goal="<= 250 bytes",
            met=entry <= ENTRY_GOAL,
        ),
        Row("memory of a node of the trie", f"{node:.0f} bytes", goal="<= 120 bytes", met=node <= NODE_GOAL),
    ]
    peers = {name: figures for name in PEERS if (figures := _measured(name))}
    return result + [
        Row(
            "memory of an entry with its key",
            f"{shared:.0f} bytes",
            f"{name}: {grown:.0f} bytes",
            shared / grown,
        )
        for name, (grown, _) in peers.items()
    ]


def _measured(name: str) -> tuple[float, float] | None:
    done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=False)  # noqa: S603
    if "ModuleNotFoundError" in done.stderr:
        return None
    done.check_returncode()
    grown, key = done.stdout.split()
    return float(grown), float(key)


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _measure(name: str) -> None:
    f: Any = globals()[name]()
    arguments = list(range(1_000_000, 1_000_000 + ENTRIES))
    for x in range(WARM):
        f(x)
    before = _resident()
    for x in arguments:
        f(x)
    grown = (_resident() - before) / ENTRIES
    key = len(f.key(arguments[-1])) if isinstance(f, zoocache.CachedFunction) else 0
    print(grown, key)


if __name__ == "__main__":
    _measure(sys.argv[1])

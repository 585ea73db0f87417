"""Looking at caches from inside and outside: what is in them, why it is stale, who uses them.

>>> import zoocache
>>> from zoocache.inspect import inspect
>>> zoocache.set("greeting", "hello", deps=["language:en"])
True
>>> with inspect() as inspector:
...     [entry.key for entry in inspector.entries().entries]
['greeting']

`inspect` works on the default cache, on a `Cache`, on a folder or server that other programs use, and on the
cache of another process that has said `configure(control=True)`. An inspector makes no entry, serves none and
counts as no use. Everything comes in pages or with a limit, is read in short steps, and decodes values to
plain data only: no class of the program is needed, imported or called. `zoocache.inspect.doctor` looks for
what is wrong with a place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoocache._cache import DEFAULT, Cache
from zoocache.inspect._base import Inspector, Unreachable
from zoocache.inspect._local import LocalInspector
from zoocache.inspect._open import open_place
from zoocache.inspect._remote import RemoteInspector, control_sockets
from zoocache.inspect.records import (
    Activity,
    Branch,
    Cause,
    Dependency,
    Entry,
    Explanation,
    FunctionActivity,
    Invalidation,
    Node,
    Page,
    Stats,
    Value,
    from_json,
    to_json,
)

if TYPE_CHECKING:
    import os


def inspect(
    cache: Cache | str | int | os.PathLike[str] | None = None,
    prefix: str | None = None,
    secret: str | bytes | None = None,
) -> Inspector:
    """Make an inspector of a cache; close it, or use it in a `with` block.

    Args:
        cache: A `Cache`, or nothing for the default one; `lmdb://PATH` or a server's URL, as for `configure`;
            the process id, or the path of the control socket, of a process that has said
            `configure(control=True)`.
        prefix: With a URL: that of the application.
        secret: With a URL: that of the application, which only `value` needs.

    Raises:
        Unreachable: Nothing is there; the message says what is missing.
        ConfigError: The URL is none.
    """
    if cache is None:
        return LocalInspector(DEFAULT)
    if isinstance(cache, Cache):
        return LocalInspector(cache)
    if isinstance(cache, str):
        return open_place(cache, prefix, secret)
    return RemoteInspector(cache if isinstance(cache, int) else Path(cache))


__all__ = [
    "Activity",
    "Branch",
    "Cause",
    "Dependency",
    "Entry",
    "Explanation",
    "FunctionActivity",
    "Inspector",
    "Invalidation",
    "Node",
    "Page",
    "Stats",
    "Unreachable",
    "Value",
    "control_sockets",
    "from_json",
    "inspect",
    "to_json",
]

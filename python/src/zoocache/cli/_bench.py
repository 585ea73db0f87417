"""`zoocache bench`: what a hit, a miss and an invalidation cost on the user's own machine.

Each row is the best of several runs: what the machine can do when nothing else disturbs it.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoocache import Cache
from zoocache._places import LMDB, on_server
from zoocache.inspect._server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zoocache.cli._place import Place

_RUNS = 5
#: Entries among which reads go round where each of them shall come from the storage.
_ENTRIES = 1000


def measure(place: Place, seconds: float) -> list[dict[str, Any]]:
    """Measure all that can be measured here.

    Args:
        place: Where a folder can be made, or the server.
        seconds: How long each row may take.

    Raises:
        StorageError: The folder or server cannot be used.
    """
    rows = [_row("memory", what, run, seconds) for what, run in _of_cache(Cache())]
    with _folder(place) as folder:
        rows += [
            _row("lmdb", what, run, seconds) for what, run in _of_storage({"storage_url": f"{LMDB}{folder}"})
        ]
    if place.server is not None:
        with _prefix(place.server) as prefix:
            settings = {"storage_url": place.server, "prefix": prefix}
            rows += [_row("redis", what, run, seconds) for what, run in _of_storage(settings)]
    return rows


def _of_cache(cache: Cache) -> Iterator[tuple[str, Callable[[int], object]]]:
    @cache.cacheable(deps=lambda number: [f"bench:{number}"])
    def cached(number: int) -> int:
        return number

    cached(1)
    yield "hit", lambda _: cached(1)
    yield "miss", _misses(cached)
    yield "invalidate", lambda turn: cache.invalidate(f"bench:{turn % _ENTRIES}")


def _misses(cached: Callable[[int], int]) -> Callable[[int], object]:
    # Never the same twice, also in the runs that follow.
    numbers = iter(range(10, 2**62))
    return lambda _: cached(next(numbers))


def _of_storage(settings: dict[str, Any]) -> Iterator[tuple[str, Callable[[int], object]]]:
    near = Cache(**settings)
    yield from _of_cache(near)
    far = Cache(**settings, near_cache=False)
    for number in range(_ENTRIES):
        far.set(f"bench {number}", number, deps=["bench:far"])
    yield "hit without a near cache", lambda turn: far.get(f"bench {turn % _ENTRIES}")


def _row(storage: str, what: str, run: Callable[[int], object], seconds: float) -> dict[str, Any]:
    return {"storage": storage, "what": what, "microseconds": round(_cost(run, seconds) * 1e6, 3)}


def _cost(run: Callable[[int], object], seconds: float) -> float:
    """Seconds that one turn takes in the best of some runs."""
    turns, took = 1, 0.0
    while took < seconds / _RUNS / 4:
        turns *= 2
        took = _time(run, turns)
    turns = max(1, int(turns * seconds / _RUNS / took))
    return min(_time(run, turns) for _ in range(_RUNS)) / turns


def _time(run: Callable[[int], object], turns: int) -> float:
    started = time.perf_counter()
    for turn in range(turns):
        run(turn)
    return time.perf_counter() - started


@contextlib.contextmanager
def _folder(place: Place) -> Iterator[str]:
    """A folder of its own, on the same disk as the one that was named."""
    beside = None
    if place.url is not None and place.url.startswith(LMDB):
        beside = str(Path(place.url.removeprefix(LMDB)).absolute().parent)
    with tempfile.TemporaryDirectory(prefix="zoocache-bench-", dir=beside) as folder:
        yield str(Path(folder) / "cache")


@contextlib.contextmanager
def _prefix(url: str) -> Iterator[str]:
    """A prefix of its own, of which nothing is left."""
    prefix = f"zoocache-bench-{secrets.token_hex(8)}"
    try:
        yield prefix
    finally:
        server = Server(url, on_server(prefix))
        names: list[str] = []
        for pattern in (server.probe.entries, f"{{{prefix}}}:*"):
            names += [name.decode() for name in server.walk(pattern)]
        for first in range(0, len(names), 500):
            server.ask("UNLINK", *names[first : first + 500])

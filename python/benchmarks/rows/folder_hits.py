"""Hits in a folder: from the near cache, after others invalidate, and from LMDB itself."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from peers import LIFETIME, LRU, SIZE, imported
from raw import LMDB, MISSING, Effort, opened
from report import Row, figure
from timing import interleave, statement

from rows.coroutines import interleave_awaited
from zoocache import Cache, codec

if TYPE_CHECKING:
    from pathlib import Path

NEAR_GOAL = 1.3
BELOW_GOAL = 3_000
VALUE = b"x" * 100
MEMORY = "a cache in memory"


def rows(folder: Path, effort: Effort) -> list[Row]:
    """Compare hits of each kind with what they are made of."""
    near = Cache(storage_url=f"lmdb://{folder / 'ours'}")
    return [
        *_near(near, effort),
        *_near_async(near, effort),
        *_after_others(folder, near, effort),
        *_below(folder, effort),
    ]


def _plain(x: int) -> int:
    return x


def _cached(cache: Cache) -> Any:
    return cache.cacheable(deps=["shop:products"], ttl=LIFETIME, namespace="sync")(_plain)


def _near(near: Cache, effort: Effort) -> list[Row]:
    functions = {"ours": _cached(near), MEMORY: _cached(Cache()), LRU: functools.lru_cache(SIZE)(_plain)}
    contenders = {name: statement("call(5)", call=function) for name, function in functions.items()}
    times = interleave(contenders, effort.rounds)
    ours, memory, lru = times["ours"], times[MEMORY], times[LRU]
    ratio = ours.ratio(memory)
    work = "hit from the near cache"
    return [
        Row(work, figure(ours), f"{MEMORY}: {figure(memory)}", ratio, "<= 1.3x", ratio <= NEAR_GOAL),
        Row(work, figure(ours), f"{LRU}: {figure(lru)}", ours.ratio(lru)),
    ]


def _near_async(near: Cache, effort: Effort) -> list[Row]:
    async def plain(x: int) -> int:
        return x

    def cached(cache: Cache) -> Any:
        return cache.cacheable(deps=["shop:products"], ttl=LIFETIME, namespace="async")(plain)

    times = interleave_awaited({"ours": cached(near), MEMORY: cached(Cache())}, effort.rounds)
    ours, memory = times["ours"], times[MEMORY]
    ratio = ours.ratio(memory)
    against = f"{MEMORY}: {figure(memory)}"
    return [Row("async hit from the near cache", figure(ours), against, ratio, "<= 1.3x", ratio <= NEAR_GOAL)]


def _after_others(folder: Path, near: Cache, effort: Effort) -> list[Row]:
    other = Cache(storage_url=f"lmdb://{folder / 'ours'}")
    memory = Cache()
    folder_names = {"invalidate": other.invalidate, "call": _cached(near)}
    memory_names = {"invalidate": memory.invalidate, "call": _cached(memory)}
    contenders = {}
    for name, names in (("ours", folder_names), (MEMORY, memory_names)):
        contenders[f"{name}, both"] = statement("invalidate('staff'); call(5)", **names)
        contenders[f"{name}, invalidate"] = statement("invalidate('staff')", **names)
    times = interleave(contenders, effort.rounds)
    ours, same = (times[f"{name}, both"] - times[f"{name}, invalidate"] for name in ("ours", MEMORY))
    against = f"{MEMORY}, which invalidated itself: {figure(same)}"
    return [Row("hit after another cache on the folder invalidated something else", figure(ours), against)]


def _below(folder: Path, effort: Effort) -> list[Row]:
    below = Cache(storage_url=f"lmdb://{folder / 'ours'}", near_cache=False)

    @below.cacheable(deps=["shop:products"], ttl=LIFETIME, namespace="below")
    def value(_x: int) -> bytes:
        return VALUE

    contenders = {"ours": statement("call(5)", call=value)}
    if LMDB:
        env = opened(folder / "raw-hits")
        with env.begin(write=True) as txn:
            txn.put(b"key", codec.dumps(VALUE))
        names = {"begin": env.begin, "loads": codec.loads}
        loaded = "with begin() as txn: loads(txn.get(b'key'))"
        contenders["raw lmdb, get and codec.loads"] = statement(loaded, **names)
        contenders["raw lmdb, get"] = statement("with begin() as txn: txn.get(b'key')", **names)
    if library := imported("diskcache"):
        disk = library.Cache(str(folder / "diskcache-hits"))
        disk.set("key", VALUE)
        contenders["diskcache, get"] = statement("get('key')", get=disk.get)
    times = interleave(contenders, effort.rounds)
    ours = times.pop("ours")
    result = [
        Row("hit from LMDB, 100 bytes", figure(ours), f"{name}: {figure(peer)}", ours.ratio(peer))
        for name, peer in times.items()
    ]
    goal = Row(
        "hit from LMDB, 100 bytes",
        figure(ours),
        "" if LMDB else MISSING,
        None,
        "<= 3 µs",
        ours.median <= BELOW_GOAL,
    )
    return [goal, *result]

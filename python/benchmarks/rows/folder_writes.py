"""What is written to a folder: invalidations, values that are set, values that were computed."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from peers import LIFETIME, imported
from raw import LMDB, MISSING, Effort, opened
from report import Row, figure
from timing import Series, interleave, statement

from zoocache import Cache, codec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOAL = 20_000
VALUE = b"x" * 100
TAGS = 512


def rows(folder: Path, effort: Effort) -> list[Row]:
    """Compare each with a commit of one row."""
    times = interleave(_contenders(folder), effort.rounds)
    commit, new = times.get("raw"), times.get("raw, new")
    invalidate, stored, miss = times["invalidate"], times["set"], times["miss"]
    within = invalidate.median <= GOAL
    result = [
        _row("invalidate, 3 deep", invalidate, "raw lmdb, commit of 1 row", commit, ("<= 20 µs", within)),
        _row("set, 100 bytes, a value is there", stored, "raw lmdb, commit of 1 row", commit),
        _row("miss of a trivial function, stored", miss, "raw lmdb, commit of 1 new row", new),
    ]
    if "diskcache" in times:
        result.insert(2, _row("set, 100 bytes, a value is there", stored, "diskcache", times["diskcache"]))
    return result


def _row(
    work: str, ours: Series, name: str, peer: Series | None, goal: tuple[str, bool | None] = ("", None)
) -> Row:
    if peer is None:
        return Row(work, figure(ours), MISSING, None, *goal)
    return Row(work, figure(ours), f"{name}: {figure(peer)}", ours.ratio(peer), *goal)


def _contenders(folder: Path) -> dict[str, Callable[[int], int]]:
    cache = Cache(storage_url=f"lmdb://{folder / 'ours'}")

    @cache.cacheable(deps=["shop:products"], ttl=LIFETIME, namespace="missing")
    def trivial(_x: int) -> bytes:
        return VALUE

    tags = [f"shop:{i % 10}:product-{i}" for i in range(TAGS)]
    keys = [f"key-{i}" for i in range(TAGS)]
    for key in keys:
        cache.set(key, VALUE, deps=["shop:products"])
    turn = f"next(numbers) % {TAGS}"
    names = {"cache": cache, "tags": tags, "keys": keys, "value": VALUE, "deps": ["shop:products"]}
    contenders = {
        "invalidate": statement(f"cache.invalidate(tags[{turn}])", numbers=count(), **names),
        "set": statement(f"cache.set(keys[{turn}], value, deps=deps)", numbers=count(), **names),
        "miss": statement("call(next(numbers))", numbers=count(), call=trivial),
    }
    if LMDB:
        env = opened(folder / "raw-writes")
        raw_keys = [key.encode() for key in keys]
        names = {"begin": env.begin, "keys": raw_keys, "value": codec.dumps(VALUE)}
        with env.begin(write=True) as txn:
            for key in raw_keys:
                txn.put(key, VALUE)
        there = f"with begin(write=True) as txn: txn.put(keys[{turn}], value)"
        new = "with begin(write=True) as txn: txn.put(b'new-%d' % next(numbers), value)"
        contenders["raw"] = statement(there, numbers=count(), **names)
        contenders["raw, new"] = statement(new, numbers=count(), **names)
    if library := imported("diskcache"):
        disk = library.Cache(str(folder / "diskcache-writes"))
        contenders["diskcache"] = statement(
            f"put(keys[{turn}], value)", numbers=count(), put=disk.set, keys=keys, value=VALUE
        )
    return contenders

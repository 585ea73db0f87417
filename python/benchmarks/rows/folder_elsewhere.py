"""Reads in another process after an invalidation in this one. `folder_reader.py` is the other process."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from raw import LMDB, MISSING, Effort, opened
from report import Row, duration, figure, grouped
from timing import Series

from zoocache import Cache

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

READER = Path(__file__).parents[1] / "folder_reader.py"


def rows(folder: Path, effort: Effort) -> list[Row]:
    """Count what it reads that is old, and compare what its reads take."""
    command = [sys.executable, str(READER), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:  # noqa: S603 - ourselves
        if reader.stdin is None or reader.stdout is None:
            raise RuntimeError("there are pipes")
        changes = _changes(folder)
        if reader.stdout.readline() != "ready\n":
            raise RuntimeError("the reader did not start")
        times, wrong = _turns(changes, effort.turns, reader.stdin, reader.stdout)
        reader.stdin.close()
    if reader.returncode:
        raise RuntimeError("the reader failed")
    stale, fresh, unchanged = times["stale"], times["fresh"], times["unchanged"]
    raw = times.get("raw")
    invalidations = 2 * effort.turns
    known = "" if raw is None else f"raw lmdb, get of a row that was changed: {figure(raw)}"
    return [
        Row(
            "another process reads after each `invalidate`: wrong answers",
            f"{wrong} in {grouped(invalidations)} invalidations",
            "",
            None,
            "0",
            wrong == 0,
        ),
        Row(
            "read in another process after something else was invalidated: a hit",
            figure(fresh),
            f"nothing was invalidated: {figure(unchanged)}",
            fresh.ratio(unchanged),
        ),
        Row("the same, added", f"{duration((fresh - unchanged).median)} added"),
        Row(
            "the same, against LMDB",
            figure(fresh),
            known or MISSING,
            None if raw is None else fresh.ratio(raw),
        ),
        Row(
            "read in another process of what was invalidated: a miss, computed and stored",
            figure(stale),
            f"nothing was invalidated: {figure(unchanged)}",
            stale.ratio(unchanged),
        ),
    ]


def _changes(folder: Path) -> dict[str, Callable[[int], object]]:
    cache = Cache(storage_url=f"lmdb://{folder / 'elsewhere'}")
    changes: dict[str, Callable[[int], object]] = {
        "stale": lambda _: cache.invalidate("shop:products"),
        "fresh": lambda _: cache.invalidate("shop:orders"),
        "unchanged": lambda _: None,
    }
    if LMDB:
        env = opened(folder / "raw-elsewhere")

        def write(number: int) -> None:
            with env.begin(write=True) as txn:
                txn.put(b"item", str(number).encode())

        write(0)
        changes["raw"] = write
    return changes


def _turns(
    changes: dict[str, Callable[[int], object]], turns: int, asked: IO[str], answers: IO[str]
) -> tuple[dict[str, Series], int]:
    shuffled = random.Random(0)  # noqa: S311 - an order, not a secret
    order = list(changes)
    taken: dict[str, list[float]] = {kind: [] for kind in order}
    wrong = number = 0
    for _ in range(turns):
        shuffled.shuffle(order)
        for kind in order:
            number += 1
            changes[kind](number)
            # The call has returned: what the other reads from now on must not be old.
            asked.write(f"{kind} {number}\n")
            asked.flush()
            nanoseconds, is_right = answers.readline().split()
            taken[kind].append(float(nanoseconds))
            wrong += is_right != "True"
    return {kind: Series(tuple(figures), min(figures)) for kind, figures in taken.items()}, wrong

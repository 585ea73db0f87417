"""Hits when something unrelated was invalidated before every call."""

from __future__ import annotations

import functools

from peers import LRU
from report import Row, duration, figure
from timing import Series, interleave, statement

from zoocache import cacheable, invalidate

GOAL = 1.5
#: Nanoseconds that may be added, by number of dependencies.
ADDED_GOALS = {10: 300, 100: 2_000}
UNRELATED = {"in another tree": "staff:payroll", "a sibling tag": "shop:orders"}


@cacheable(deps=["shop:products"], ttl=600)
def one(x: int) -> int:
    """Depend on one tag."""
    return x


@cacheable(deps=[f"shop:product-{i}" for i in range(10)], ttl=600)
def ten(x: int) -> int:
    """Depend on 10 tags."""
    return x


@cacheable(deps=[f"shop:product-{i}" for i in range(100)], ttl=600)
def hundred(x: int) -> int:
    """Depend on 100 tags."""
    return x


@functools.lru_cache(128)
def lru(x: int) -> int:
    """Depend on nothing: what a hit costs here for other reasons than the invalidation."""
    return x


def rows() -> list[Row]:
    """Compare the hit after an invalidation with the plain hit; `invalidate` alone is taken off."""
    result = []
    for where, tag in UNRELATED.items():
        plain, after = _plain_and_after(one, tag)
        ratio = after.ratio(plain)
        work = f"hit after invalidating {where}"
        result.append(
            Row(work, figure(after), f"the plain hit: {figure(plain)}", ratio, "<= 1.5x", ratio <= GOAL)
        )
        _, control = _plain_and_after(lru, tag)
        against = f"{LRU} at the same place: {figure(control)}"
        result.append(Row(work, figure(after), against, after.ratio(control)))
    for count, function in ((10, ten), (100, hundred)):
        for where, tag in UNRELATED.items():
            plain, after = _plain_and_after(function, tag)
            added = after - plain
            work = f"hit with {count} dependencies after invalidating {where}"
            goal = ADDED_GOALS[count]
            result.append(
                Row(
                    work,
                    f"{figure(added)} added",
                    f"the plain hit: {figure(plain)}",
                    None,
                    f"<= {duration(goal)} added",
                    added.median <= goal,
                )
            )
    return result


def _plain_and_after(function: object, tag: str) -> tuple[Series, Series]:
    names = {"invalidate": invalidate, "tag": tag, "call": function}
    times = interleave(
        {
            "invalidate": statement("invalidate(tag)", **names),
            "both": statement("invalidate(tag); call(5)", **names),
            "plain": statement("call(5)", **names),
        }
    )
    return times["plain"], times["both"] - times["invalidate"]

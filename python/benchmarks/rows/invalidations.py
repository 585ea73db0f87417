"""`invalidate` itself, in a small cache and in a big one."""

from __future__ import annotations

from time import perf_counter_ns

from peers import LIFETIME
from report import Row, figure, grouped
from timing import LOOP, Series, interleave_counted

from zoocache import cacheable, clear, invalidate, stats

ROUNDS = 101
FEW, MANY = 1_000, 1_000_000
HOT = [f"shop:{i % 10}:product-{i}" for i in range(FEW)]
GOAL = 1_000
GROWTH_GOAL = 1.2


@cacheable(deps=lambda i: [f"shop:{i % 10}:product-{i}"], ttl=LIFETIME)
def product(i: int) -> int:
    """Depend on a tag of its own, three deep."""
    return i


def rows() -> list[Row]:
    """Invalidate each of 1 000 tags in turn, each with a fresh entry; other entries stay fresh."""
    clear()
    _fill(FEW)
    few = _times()
    _fill(MANY)
    many = _times()
    entries = stats()["entries"]
    clear()
    ratio = many.minimum / few.minimum
    return [
        Row(
            f"invalidate, 3 deep, {grouped(FEW)} entries and tags",
            figure(few),
            "",
            None,
            "<= 1 µs",
            few.median <= GOAL,
        ),
        Row(
            f"invalidate, 3 deep, {grouped(entries)} entries and tags",
            figure(many),
            f"with {grouped(FEW)}: {figure(few)}",
            ratio,
            "<= 1.2x",
            ratio <= GROWTH_GOAL,
        ),
    ]


def _fill(entries: int) -> None:
    for i in range(entries):
        product(i)


def _times() -> Series:
    contenders = {LOOP: _nothing, "invalidate": _invalidated}
    return interleave_counted(contenders, dict.fromkeys(contenders, FEW), ROUNDS)["invalidate"]


def _invalidated(_count: int) -> int:
    _fill(FEW)
    begin = perf_counter_ns()
    for tag in HOT:
        invalidate(tag)
    return perf_counter_ns() - begin


def _nothing(_count: int) -> int:
    begin = perf_counter_ns()
    for _ in HOT:
        pass
    return perf_counter_ns() - begin

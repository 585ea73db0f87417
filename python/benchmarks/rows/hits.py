"""Hits of sync functions."""

from __future__ import annotations

import functools

from peers import LRU, OURS, cached_functions
from report import Row, figure
from timing import Series, interleave, statement

from zoocache import cacheable

PLAIN_GOAL = 1.0
METHOD_GOAL = 1.3
KEYWORD_GOAL = 1.5


class ById:
    """Objects that both caches tell apart by an id of their own."""

    def __init__(self, identity: int) -> None:
        self.id = identity

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ById) and self.id == other.id

    def __zoocache_key__(self) -> int:
        return self.id

    @cacheable(deps=["shop:products"], ttl=600)
    def ours(self, x: int) -> int:
        """Hit in zoocache."""
        return x

    @functools.lru_cache(128)  # noqa: B019 - what is measured
    def lru(self, x: int) -> int:
        """Hit in `lru_cache`."""
        return x


class ByAddress:
    """Objects that `lru_cache` tells apart by their address, and keeps alive."""

    @functools.lru_cache(128)  # noqa: B019 - what is measured
    def lru(self, x: int) -> int:
        """Hit in `lru_cache`."""
        return x


@cacheable(deps=["shop:products"], ttl=600)
def ours_with_keyword(x: int, y: int, z: int = 0) -> int:
    """Take two positional arguments and a keyword."""
    return x + y + z


@functools.lru_cache(128)
def lru_with_keyword(x: int, y: int, z: int = 0) -> int:
    """Take two positional arguments and a keyword."""
    return x + y + z


def plain_hits() -> dict[str, Series]:
    """Time a hit with one int argument, in each library."""
    functions = cached_functions()
    return interleave({name: statement("call(5)", call=function) for name, function in functions.items()})


def rows(plain: dict[str, Series]) -> list[Row]:
    """Compare hits; `plain` comes from `plain_hits`."""
    ours = plain[OURS]
    result = []
    for name, peer in plain.items():
        if name == OURS:
            continue
        ratio = ours.ratio(peer)
        goal, met = ("<= 1.0x", ratio <= PLAIN_GOAL) if name == LRU else ("faster", ratio < 1)
        if name == "dict in a Python wrapper":
            goal, met = "", None
        result.append(Row("hit, 1 int", figure(ours), f"{name}: {figure(peer)}", ratio, goal, met))
    return result + _method_rows() + _keyword_rows()


def _method_rows() -> list[Row]:
    by_id, by_address = ById(7), ByAddress()
    times = interleave(
        {
            OURS: statement("it.ours(5)", it=by_id),
            "id": statement("it.lru(5)", it=by_id),
            "address": statement("it.lru(5)", it=by_address),
        }
    )
    ours, same, address = times[OURS], times["id"], times["address"]
    ratio = ours.ratio(same)
    return [
        Row(
            "hit, method, self by its id",
            figure(ours),
            f"lru_cache, __hash__ and __eq__ by id: {figure(same)}",
            ratio,
            "<= 1.3x",
            ratio <= METHOD_GOAL,
        ),
        Row(
            "hit, method, self by its id",
            figure(ours),
            f"lru_cache, default hash by address: {figure(address)}",
            ours.ratio(address),
        ),
    ]


def _keyword_rows() -> list[Row]:
    times = interleave(
        {
            OURS: statement("call(1, 2, z=3)", call=ours_with_keyword),
            LRU: statement("call(1, 2, z=3)", call=lru_with_keyword),
        }
    )
    ours, lru = times[OURS], times[LRU]
    ratio = ours.ratio(lru)
    return [
        Row(
            "hit, 2 positional + 1 keyword",
            figure(ours),
            f"{LRU}: {figure(lru)}",
            ratio,
            "<= 1.5x",
            ratio <= KEYWORD_GOAL,
        )
    ]

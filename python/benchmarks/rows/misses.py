"""Misses of a function that does nothing."""

from __future__ import annotations

import functools
from itertools import count
from time import perf_counter_ns
from types import FunctionType
from typing import TYPE_CHECKING

from peers import LIFETIME, OURS, imported
from report import Row, figure
from timing import LOOP, interleave_counted

from zoocache import cacheable, clear

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 101
MISSES_EACH_ROUND = 1_000
ROOM = 1_000_000
GOAL = 3_000
PLAIN = "calling it"


def _plain(x: int) -> int:
    return x


@cacheable(deps=["shop:products"], ttl=LIFETIME)
def _ours(x: int) -> int:
    return x


def _called(call: Callable[[int], int], arguments: range) -> int:
    begin = perf_counter_ns()
    for x in arguments:
        call(x)
    return perf_counter_ns() - begin


def _nothing(_call: object, arguments: range) -> int:
    begin = perf_counter_ns()
    for _ in arguments:
        pass
    return perf_counter_ns() - begin


def rows() -> list[Row]:
    """Compare a miss with calling the function, in caches that grow round by round."""
    functions = {OURS: _ours, PLAIN: _plain, "functools.lru_cache(None)": functools.lru_cache(None)(_plain)}
    if library := imported("cachetools"):
        functions["cachetools TTLCache"] = library.cached(library.TTLCache(ROOM, LIFETIME))(_plain)
    if library := imported("cachebox"):
        functions["cachebox TTLCache"] = library.cached(library.TTLCache(ROOM, LIFETIME))(_plain)
    contenders = {LOOP: _contender(_nothing, None)}
    contenders |= {name: _contender(_called, function) for name, function in functions.items()}
    times = interleave_counted(contenders, dict.fromkeys(contenders, MISSES_EACH_ROUND), ROUNDS)
    clear()
    plain = times.pop(PLAIN)
    ours = times.pop(OURS) - plain
    result = [
        Row(
            "miss of a trivial function, added",
            f"{figure(ours)} added",
            f"{PLAIN}: {figure(plain)}",
            None,
            "<= 3 µs added",
            ours.median <= GOAL,
        )
    ]
    for name, series in times.items():
        peer = series - plain
        result.append(
            Row(
                "miss of a trivial function, added",
                f"{figure(ours)} added",
                f"{name}: {figure(peer)}",
                ours.ratio(peer),
            )
        )
    return result


def _contender(timed: Callable[..., int], call: object) -> Callable[[int], int]:
    # A code object of its own: the interpreter specialises each for what it calls.
    own = FunctionType(timed.__code__.replace(), timed.__globals__)
    begins = count(1_000, MISSES_EACH_ROUND)

    def run(misses: int) -> int:
        begin = next(begins)
        return own(call, range(begin, begin + misses))

    return run

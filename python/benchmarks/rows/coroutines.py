"""Hits of async functions."""

from __future__ import annotations

import asyncio
from itertools import repeat
from time import perf_counter_ns
from types import FunctionType
from typing import TYPE_CHECKING, Any

from peers import LIFETIME, OURS, SIZE, imported
from report import Row, figure
from timing import LOOP, Series, interleave

from zoocache import cacheable

if TYPE_CHECKING:
    from collections.abc import Callable

EMPTY = "an empty coroutine function"
ADDED_GOAL = 250
TIMES_FASTER_GOAL = 4


async def _empty(x: int) -> int:
    return x


@cacheable(deps=["shop:products"], ttl=LIFETIME)
async def _ours(x: int) -> int:
    return x


async def _awaited(call: Callable[[int], Any], count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        await call(5)
    return perf_counter_ns() - begin


async def _nothing(_call: object, count: int) -> int:
    begin = perf_counter_ns()
    for _ in repeat(None, count):
        pass
    return perf_counter_ns() - begin


def _functions() -> dict[str, Callable[[int], Any]]:
    functions: dict[str, Callable[[int], Any]] = {OURS: _ours, EMPTY: _empty}
    if library := imported("async_lru"):
        functions["async-lru"] = library.alru_cache(SIZE, ttl=LIFETIME)(_empty)
    if library := imported("moka_py"):
        functions["moka-py"] = library.cached(SIZE, ttl=LIFETIME)(_empty)
    if library := imported("cachebox"):
        functions["cachebox TTLCache"] = library.cached(library.TTLCache(SIZE, LIFETIME))(_empty)
    if library := imported("aiocache"):
        functions["aiocache memory"] = library.cached(ttl=LIFETIME)(_empty)
    if library := imported("cashews"):
        cache = library.Cache()
        cache.setup("mem://")
        functions["cashews memory, with a tag"] = cache(ttl=LIFETIME, key="f:{x}", tags=["shop:products"])(
            _empty
        )
    return functions


def rows() -> list[Row]:
    """Compare an awaited hit with awaiting a function that does nothing, and with the peers."""
    times = interleave_awaited(_functions())
    ours, empty = times.pop(OURS), times.pop(EMPTY)
    added = ours - empty
    result = [
        Row(
            "async hit, added to an empty coroutine function",
            f"{figure(added)} added",
            f"{EMPTY}: {figure(empty)}",
            None,
            "<= 250 ns added",
            added.median <= ADDED_GOAL,
        )
    ]
    for name, peer in times.items():
        ratio = ours.ratio(peer)
        goal, met = ("<= 0.25x", ratio <= 1 / TIMES_FASTER_GOAL) if name == "async-lru" else ("", None)
        result.append(Row("async hit", figure(ours), f"{name}: {figure(peer)}", ratio, goal, met))
    return result


def interleave_awaited(functions: dict[str, Callable[[int], Any]], rounds: int = 101) -> dict[str, Series]:
    """Time awaiting each function of one argument."""
    loop = asyncio.new_event_loop()
    try:
        contenders = {name: _contender(loop, _awaited, function) for name, function in functions.items()}
        return interleave({LOOP: _contender(loop, _nothing, None), **contenders}, rounds)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _contender(loop: asyncio.AbstractEventLoop, timed: Any, call: object) -> Callable[[int], int]:
    # A code object of its own: the interpreter specialises each for what it calls.
    own = FunctionType(timed.__code__.replace(), timed.__globals__)
    return lambda count: loop.run_until_complete(own(call, count))

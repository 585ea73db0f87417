"""Many tasks of one event loop that read from a server at the same time."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from peers import LIFETIME
from raw_redis import MISSING, REDIS
from report import Row, figure
from timing import LOOP, Series, interleave_counted

from zoocache import Cache, codec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from raw import Effort

TASKS = 200
READS_EACH = 5
VALUE = b"x" * 100


def rows(url: str, effort: Effort) -> list[Row]:
    """Compare reads of many keys at the same time."""
    with asyncio.Runner() as runner:
        reads = runner.run(_readers(url))

        def contender(read: Callable[[int], Awaitable[Any]]) -> Callable[[int], int]:
            return lambda count: runner.run(_together(read, count))

        contenders = {name: contender(read) for name, read in reads.items()}
        contenders[LOOP] = lambda _count: 0
        counts = dict.fromkeys(contenders, TASKS * READS_EACH)
        times = interleave_counted(contenders, counts, max(3, effort.rounds // 5))
    ours, strong = times["ours"], times["strong"]
    return [
        _row("read from Redis, together", ours, times),
        _row("read from Redis, together, strong", strong, times),
    ]


def _row(work: str, ours: Series, times: dict[str, Series]) -> Row:
    if "peer" not in times:
        return Row(work, figure(ours), MISSING)
    peer = times["peer"]
    a_second = f"{1e9 / ours.median:,.0f}/s".replace(",", " ")
    return Row(
        work, f"{figure(ours)}, {a_second}", f"redis-py asyncio, get: {figure(peer)}", ours.ratio(peer)
    )


async def _readers(url: str) -> dict[str, Callable[[int], Awaitable[Any]]]:
    readers: dict[str, Callable[[int], Awaitable[Any]]] = {}
    for name, consistency in (("ours", "bounded"), ("strong", "strong")):
        cache = Cache(storage_url=url, prefix="together", near_cache=False, consistency=consistency)

        @cache.cacheable(deps=["shop:products"], ttl=LIFETIME, namespace=name)
        async def value(_x: int) -> bytes:
            return VALUE

        await asyncio.gather(*(value(number) for number in range(TASKS)))
        readers[name] = value
    if REDIS:
        client = REDIS.asyncio.Redis.from_url(url)
        await asyncio.gather(*(client.set(f"key-{number}", codec.dumps(VALUE)) for number in range(TASKS)))
        readers["peer"] = lambda number: client.get(f"key-{number}")
    return readers


async def _together(read: Callable[[int], Awaitable[Any]], count: int) -> int:
    async def one(number: int) -> None:
        for _ in range(count // TASKS):
            await read(number)

    begin = perf_counter_ns()
    await asyncio.gather(*(one(number) for number in range(TASKS)))
    return perf_counter_ns() - begin

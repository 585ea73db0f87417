"""Many threads, or tasks, that miss one key at once."""

from __future__ import annotations

import asyncio
import functools
import random
import statistics
import threading
import time
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from peers import LIFETIME, OURS, SIZE, imported
from report import Row, duration, grouped

from zoocache import cacheable

if TYPE_CHECKING:
    from collections.abc import Callable

CALLERS = 1_000
ROUNDS = 9
GOAL = 50_000_000
#: How long the computation goes on after the last caller said that it will call.
SETTLING = 0.2


@dataclass
class Stampede:
    """One key, its callers, and when its computations ended."""

    coming: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    all_there: threading.Event = field(default_factory=threading.Event)
    all_tasks_there: asyncio.Event = field(default_factory=asyncio.Event)
    ends: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def come(self) -> None:
        """Say that one more caller is about to call."""
        with self.lock:
            self.coming += 1
            if self.coming == CALLERS:
                self.all_there.set()

    def compute(self) -> None:
        """Compute, in a thread, until everybody waits."""
        self.all_there.wait()
        time.sleep(SETTLING)
        self.ends.append(perf_counter_ns())

    async def compute_async(self) -> None:
        """Compute, in a task, until everybody waits."""
        await self.all_tasks_there.wait()
        await asyncio.sleep(SETTLING)
        self.ends.append(perf_counter_ns())

    @property
    def spread(self) -> int:
        """Nanoseconds from the end of the first computation to the last answer."""
        return max(self.answers) - self.ends[0]


_now: dict[int, Stampede] = {}


def _compute(key: int) -> int:
    _now[key].compute()
    return key


async def _compute_async(key: int) -> int:
    await _now[key].compute_async()
    return key


class _WaitForEvent:
    """What a stampede costs at least: the first caller computes and sets an event, the others wait for it."""

    def __init__(self) -> None:
        self.events: dict[int, threading.Event] = {}

    def __call__(self, key: int) -> int:
        own = threading.Event()
        event = self.events.setdefault(key, own)
        if event is not own:
            event.wait()
            return key
        _compute(key)
        event.set()
        return key


def rows() -> list[Row]:
    """Compare the time until all are answered, and the number of computations."""
    threads = {
        OURS: cacheable(deps=["shop:products"], ttl=LIFETIME)(_compute),
        "a threading.Event": _WaitForEvent(),
        "functools.lru_cache": functools.lru_cache(SIZE)(_compute),
    }
    tasks = {OURS: cacheable(deps=["shop:products"], ttl=LIFETIME)(_compute_async)}
    if library := imported("cachebox"):
        threads["cachebox"] = library.cached(library.TTLCache(SIZE, LIFETIME))(_compute)
        tasks["cachebox"] = library.cached(library.TTLCache(SIZE, LIFETIME))(_compute_async)
    if library := imported("cachetools"):
        threads["cachetools with a condition"] = library.cached(
            library.TTLCache(SIZE, LIFETIME), condition=threading.Condition()
        )(_compute)
    if library := imported("theine"):
        threads["theine"] = library.Memoize(SIZE, None)(_compute)
    if library := imported("async_lru"):
        tasks["async-lru"] = library.alru_cache(SIZE)(_compute_async)
    loop = asyncio.new_event_loop()
    try:
        in_tasks = _rows("tasks", tasks, lambda call, key: loop.run_until_complete(_by_tasks(call, key)))
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()
    return _rows("threads", threads, _by_threads) + in_tasks


def _rows(kind: str, functions: dict[str, Any], run: Callable[[Any, int], None]) -> list[Row]:
    spreads: dict[str, list[int]] = {name: [] for name in functions}
    computations = dict.fromkeys(functions, 0)
    shuffled = random.Random(0)  # noqa: S311 - an order, not a secret
    for key in range(ROUNDS):
        for name in shuffled.sample(list(functions), len(functions)):
            now = _now[key] = Stampede()
            run(functions[name], key)
            spreads[name].append(now.spread)
            computations[name] = max(computations[name], len(now.ends))
    texts = {
        name: f"{duration(statistics.median(times))} ({duration(min(times))}), computed {computations[name]}x"
        for name, times in spreads.items()
    }
    ours = statistics.median(spreads[OURS])
    met = computations[OURS] == 1 and ours <= GOAL
    work = f"{grouped(CALLERS)} {kind} miss one key: last answer after its end"
    result = [Row(work, texts[OURS], "", None, "<= 50 ms, computed 1x", met)]
    for name in functions:
        if name != OURS:
            ratio = ours / statistics.median(spreads[name])
            result.append(Row(work, texts[OURS], f"{name}: {texts[name]}", ratio))
    return result


def _by_threads(call: Callable[[int], int], key: int) -> None:
    now = _now[key]

    def caller() -> None:
        now.come()
        call(key)
        now.answers.append(perf_counter_ns())

    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def _by_tasks(call: Callable[[int], Any], key: int) -> None:
    now = _now[key]

    async def caller() -> None:
        now.come()
        if now.all_there.is_set():
            now.all_tasks_there.set()
        await call(key)
        now.answers.append(perf_counter_ns())

    await asyncio.gather(*(caller() for _ in range(CALLERS)))

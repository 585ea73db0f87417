"""Shows what becomes of an invalidation that lands while a value is computed, and below a nested call.

Prints a table and writes docs/benchmarks/races.md. Events decide what happens when; nothing sleeps.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import machine
import racers
import report

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = ("library", "invalidated by", "invalidated while computed: next call", "invalidated below: caller")
FRESH, STALE = "new value", "OLD VALUE"
BLOCKED = "(waited for the computation)"
#: Longer than any of them takes that does not wait for the computation.
PATIENCE = 2
ITEM = 1
PAGE = """\
# Invalidations that race

Written by `./dev bench`. {machine}.

{libraries}.

{table}

## What it shows

Both programs change an item in a "database" from the old value to the new one and then tell the cache, each
in the way that the library's documentation gives for it.

- *Invalidated while computed*: a first call has read the old value and has not returned yet when the item
  changes and the invalidation is done. Then the call ends. What does the next call return? **OLD VALUE**
  means that the first call put it into the cache after the invalidation, where it stays.
- *Invalidated below*: a cached function calls a cached function that depends on the item. The inner one is a
  hit when the outer one is computed. The item changes and the inner function's entry is invalidated. What
  does the outer function return? Only zoocache promises something here; with the others the program has to
  invalidate the outer entry itself, and so has to know of it.

`races.py` and `racers.py` in `python/benchmarks` are the programs.
"""


@dataclass
class Database:
    """One item; a reading of it can be held up."""

    value: str = STALE
    held: bool = False
    reading: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def read(self, _item: int) -> str:
        """Read the item; return late if held up."""
        value = self.value
        if self.held:
            self.reading.set()
            self.go.wait()
        return value


def while_computed(racer: Callable[[racers.Read], racers.Racer]) -> str:
    """Invalidate between the reading of the old value and the return of the function."""
    database = Database(held=True)
    cached, invalidate = racer(database.read)
    computing = threading.Thread(target=cached, args=(ITEM,))
    computing.start()
    database.reading.wait()
    database.value, database.held = FRESH, False
    invalidating = threading.Thread(target=invalidate, args=(ITEM,))
    invalidating.start()
    invalidating.join(PATIENCE)
    waited = invalidating.is_alive()
    database.go.set()
    computing.join()
    invalidating.join()
    return f"{cached(ITEM)} {BLOCKED}" if waited else cached(ITEM)


def below(racer: Callable[[racers.Read], racers.Racer]) -> str:
    """Invalidate what a cached function has called while that was a hit."""
    database = Database()
    inner, invalidate = racer(database.read)
    outer, _ = racer(lambda item: inner(item))  # noqa: PLW0108 - a function of its own
    inner(ITEM)
    outer(ITEM)
    database.value = FRESH
    invalidate(ITEM)
    return outer(ITEM)


async def while_computed_async(racer: Callable[[racers.AsyncRead], racers.AsyncRacer]) -> str:
    """Do what `while_computed` does, with tasks."""
    database, reading, go = Database(), asyncio.Event(), asyncio.Event()

    async def read(_item: int) -> str:
        value = database.value
        reading.set()
        await go.wait()
        return value

    cached, invalidate = racer(read)
    computing = asyncio.ensure_future(cached(ITEM))
    await reading.wait()
    database.value = FRESH
    await asyncio.wait_for(invalidate(ITEM), PATIENCE)
    go.set()
    done = (await asyncio.gather(computing, return_exceptions=True))[0]
    answer = await cached(ITEM)
    return f"{answer} (and cancels the first caller)" if isinstance(done, asyncio.CancelledError) else answer


async def below_async(racer: Callable[[racers.AsyncRead], racers.AsyncRacer]) -> str:
    """Do what `below` does, with tasks."""
    database = Database()

    async def read(item: int) -> str:
        return database.read(item)

    inner, invalidate = racer(read)

    async def call(item: int) -> Any:
        return await inner(item)

    outer, _ = racer(call)
    await inner(ITEM)
    await outer(ITEM)
    database.value = FRESH
    await invalidate(ITEM)
    return await outer(ITEM)


def main() -> None:
    """Run both programs with each library that is installed."""
    rows = []
    for name, racer in racers.THREADS.items():
        rows.append(_row(name, racer, lambda one: (while_computed(one), below(one))))
    for name, racer in racers.TASKS.items():
        rows.append(
            _row(
                name,
                racer,
                lambda one: (asyncio.run(while_computed_async(one)), asyncio.run(below_async(one))),
            )
        )
    print(report.terminal(HEADER, rows))
    page = PAGE.format(
        machine=machine.described(), libraries=machine.libraries(), table=report.markdown(HEADER, rows)
    )
    machine.RESULTS.mkdir(parents=True, exist_ok=True)
    (machine.RESULTS / "races.md").write_text(page, encoding="utf-8")


def _row(name: str, racer: Any, run: Callable[[Any], tuple[str, str]]) -> tuple[str, ...]:
    how = (inspect.getdoc(racer) or "").rstrip(".")
    try:
        return (name, how, *run(racer))
    except ImportError:
        return (name, how, "not installed", "not installed")


if __name__ == "__main__":
    main()

"""Watching a cache: what it does now, as rates, looked at again and again.

What the terminal monitor and the web page show. It asks an inspector, and no more often than is cheap.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from zoocache._errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from zoocache.inspect._base import Inspector
    from zoocache.inspect.records import Activity, Invalidation, Node, Stats

#: Rates are those of the last seconds.
_WINDOW = 4.0
#: A process that has told nothing new for so many seconds is not counted.
_SILENT = 8.0
#: What costs much is asked again only after this many times as long as it took.
_REST = 20
_LEAST_REST = 2.0
#: The latest invalidations that are kept.
_MOST_INVALIDATIONS = 500

#: Looks that are closer together say nothing, in seconds.
_LEAST_SPAN = 1e-3

_COUNTED = ("hits", "misses", "stale", "expired", "computations", "errors", "invalidations")


@dataclass(frozen=True)
class FunctionRate:
    """What became of the calls of a cached function, in all processes together.

    Attributes:
        name: Its name.
        calls: Calls in a second, of the last seconds.
        hit_ratio: Which part of all its calls was served, from 0 to 1; `None` before the first.
        mean: Seconds that a computation takes on average; `None` before the first that was measured.
        hits: Calls that were served.
        misses: Calls that were not.
        errors: Calls that raised.
    """

    name: str
    calls: float
    hit_ratio: float | None
    mean: float | None
    hits: int
    misses: int
    errors: int


@dataclass(frozen=True)
class Sample:
    """A cache at one moment. Rates are per second, of the last seconds.

    Attributes:
        at: When, in UTC.
        processes: How many processes told what they do; without any, rates of lookups are 0.
        hits: Lookups that were served.
        misses: Lookups that were not, for whatever cause.
        stale: Those of them for which what was stored was stale.
        computations: Values that were computed.
        errors: Computations that failed.
        invalidations: Invalidations by anybody.
        hit_ratio: Which part of the lookups was served, from 0 to 1; `None` without any.
        entries: How many entries there are, when they were counted last.
    """

    at: datetime
    processes: int
    hits: float
    misses: float
    stale: float
    computations: float
    errors: float
    invalidations: float
    hit_ratio: float | None
    entries: int | None


class Watch:
    """Looks at a cache again and again.

    `look` may be called by one thread at a time. What it finds stands in the attributes, which are replaced
    as a whole, so that another thread may read them.

    Attributes:
        samples: The latest samples, earliest first.
        functions: The cached functions, those that are called most first.
        invalidations: The latest invalidations, latest first.
        nodes: The processes that use the cache.
        stats: Its sizes, when they were asked for last.
        trouble: What could not be found out at the last look, and why; `None` if nothing.
    """

    def __init__(self, inspector: Inspector, span: int = 600) -> None:
        """Begin.

        Args:
            inspector: Whom to ask. It is not closed.
            span: How many samples are kept.
        """
        self.samples: tuple[Sample, ...] = ()
        self.functions: tuple[FunctionRate, ...] = ()
        self.invalidations: tuple[Invalidation, ...] = ()
        self.nodes: tuple[Node, ...] = ()
        self.stats: Stats | None = None
        self.trouble: str | None = None
        self._inspector, self._span = inspector, span
        self._processes: dict[str, _Process] = {}
        #: When each look was, and how many invalidations it found: not all of them, where many are
        #: made and only the latest ones are remembered, or the latest of each tag.
        self._looks: deque[tuple[float, int]] = deque()
        self._position: int | None = None
        self._stats = _Rarely(inspector.stats)
        self._nodes = _Rarely(inspector.nodes)

    def look(self) -> Sample:
        """Look once. What cannot be found out now stays as it was."""
        troubles: list[str] = []
        now = time.monotonic()
        self._follow(now, troubles)
        self._note(_asked(self._inspector.activity, troubles) or (), now)
        self.stats = self._stats.value(troubles) or self.stats
        nodes = self._nodes.value(troubles)
        self.nodes = self.nodes if nodes is None else nodes
        alive = list(self._processes.values())
        rates = {name: sum(process.rate(name) for process in alive) for name in _COUNTED}
        self.functions = _functions(alive)
        misses = rates["misses"] + rates["stale"] + rates["expired"]
        lookups = rates["hits"] + misses
        sample = Sample(
            at=datetime.now(timezone.utc),
            processes=len(alive),
            hits=rates["hits"],
            misses=misses,
            stale=rates["stale"],
            computations=rates["computations"],
            errors=rates["errors"],
            # Processes that tell nothing are found by what is remembered.
            invalidations=max(rates["invalidations"], self._invalidations_per_second()),
            hit_ratio=rates["hits"] / lookups if lookups else None,
            entries=None if self.stats is None else self.stats.entries,
        )
        self.samples = (*self.samples, sample)[-self._span :]
        self.trouble = "; ".join(dict.fromkeys(troubles)) or None
        return sample

    def _follow(self, now: float, troubles: list[str]) -> None:
        """Find out what has been invalidated since the last look."""
        inspector, after = self._inspector, self._position
        limit = _MOST_INVALIDATIONS if after is None else 10_000
        told = _asked(lambda: inspector.invalidations(after=after, limit=limit), troubles)
        if told is None:
            return
        if told:
            self._position = told[-1].position
            self.invalidations = (*reversed(told), *self.invalidations)[:_MOST_INVALIDATIONS]
        elif after is None:
            self._position = 0
        # Those of before the first look tell of no rate.
        self._looks.append((now, 0 if after is None else len(told)))
        while len(self._looks) > 2 and now - self._looks[1][0] >= _WINDOW:  # noqa: PLR2004 - a span has two ends
            self._looks.popleft()

    def _invalidations_per_second(self) -> float:
        if not self._looks:
            return 0.0
        (first, _), *later = self._looks
        span = self._looks[-1][0] - first
        return sum(count for _, count in later) / span if span else 0.0

    def _note(self, told: Iterable[Activity], now: float) -> None:
        for activity in told:
            process = self._processes.setdefault(activity.process, _Process())
            process.note(activity, now)
        self._processes = {
            name: process for name, process in self._processes.items() if now - process.heard < _SILENT
        }


class _Process:
    """What one process told lately."""

    def __init__(self) -> None:
        self._told: deque[Activity] = deque()
        #: When it told something new, on this process's clock.
        self.heard = 0.0

    def note(self, activity: Activity, now: float) -> None:
        told = self._told
        if told and activity.clock == told[-1].clock:
            return
        if told and (activity.clock < told[-1].clock or _is_less(activity, told[-1])):
            # Another process of the same name, or a cache that began anew.
            told.clear()
        self.heard = now
        told.append(activity)
        while len(told) > 2 and activity.clock - told[1].clock >= _WINDOW:  # noqa: PLR2004 - a span has two ends
            told.popleft()

    @property
    def latest(self) -> Activity:
        return self._told[-1]

    @property
    def span(self) -> float:
        """Seconds between the first and the last of what it told."""
        return self._told[-1].clock - self._told[0].clock

    def rate(self, counter: str) -> float:
        """How much a counter grows in a second."""
        first, last = self._told[0].counters, self._told[-1].counters
        return _rate(first.get(counter, 0), last.get(counter, 0), self.span)

    def calls_before(self) -> dict[str, int]:
        """How often each function had been called at the beginning of the span."""
        return {one.name: one.hits + one.misses + one.stale + one.expired for one in self._told[0].functions}


def _is_less(later: Activity, before: Activity) -> bool:
    return any(later.counters.get(name, 0) < before.counters.get(name, 0) for name in _COUNTED)


def _rate(first: int, last: int, span: float) -> float:
    return max(0, last - first) / span if span > _LEAST_SPAN else 0.0


class _Rarely:
    """Asks for something that may cost much, in a small part of the time only."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask, self._due = ask, 0.0

    def value(self, troubles: list[str]) -> Any:
        """The answer; `None` if it is not yet time again."""
        began = time.monotonic()
        if began < self._due:
            return None
        try:
            return _asked(self._ask, troubles)
        finally:
            ended = time.monotonic()
            self._due = ended + max(_LEAST_REST, _REST * (ended - began))


def _asked(ask: Callable[[], Any], troubles: list[str]) -> Any:
    """The answer; `None` if there is none, and why is noted."""
    try:
        return ask()
    except (CacheError, OSError) as error:
        troubles.append(str(error))
        return None


def _functions(processes: Iterable[_Process]) -> tuple[FunctionRate, ...]:
    sums: dict[str, list[float]] = {}
    for process in processes:
        before, span = process.calls_before(), process.span
        for one in process.latest.functions:
            misses = one.misses + one.stale + one.expired
            calls = one.hits + misses
            # One that was not there before began in between.
            rate = _rate(before.get(one.name, 0), calls, span)
            row = [rate, one.hits, misses, one.errors, one.computed, one.seconds]
            sums[one.name] = [
                sum(pair) for pair in zip(sums.get(one.name, [0.0] * len(row)), row, strict=True)
            ]
    rates = [
        FunctionRate(
            name=name,
            calls=calls,
            hit_ratio=hits / (hits + misses) if hits + misses else None,
            mean=seconds / computed if computed else None,
            hits=int(hits),
            misses=int(misses),
            errors=int(errors),
        )
        for name, (calls, hits, misses, errors, computed, seconds) in sums.items()
    ]
    return tuple(sorted(rates, key=lambda one: (-one.calls, -one.hits, one.name)))

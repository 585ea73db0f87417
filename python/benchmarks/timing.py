"""Times contenders in turn, in many short repetitions, so that a noisy moment hits all of them alike."""

from __future__ import annotations

import gc
import random
import statistics
import timeit
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


#: The empty loop, whose time is subtracted from every contender's time of the same round.
LOOP = "the empty loop"


@dataclass(frozen=True)
class Series:
    """Nanoseconds per operation, one figure for each round.

    `minimum` is the figure of the round that was disturbed least; of a difference, that of the minima.
    """

    rounds: tuple[float, ...]
    minimum: float

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.rounds)

    def __sub__(self, other: Series) -> Series:
        rounds = tuple(a - b for a, b in zip(self.rounds, other.rounds, strict=True))
        return Series(rounds, self.minimum - other.minimum)

    def ratio(self, other: Series) -> float:
        """Median of the quotients of figures from the same round."""
        return statistics.median(a / b for a, b in zip(self.rounds, other.rounds, strict=True))


def statement(text: str, **names: Any) -> Callable[[int], int]:
    """Make a contender of a statement in which `names` are local variables."""
    setup = "; ".join(f"{name} = given[{name!r}]" for name in names) or "pass"
    return timeit.Timer(text, setup, timer=perf_counter_ns, globals={"given": names}).timeit


def interleave(
    contenders: dict[str, Callable[[int], int]], rounds: int = 101, repetition_ns: int = 2_000_000
) -> dict[str, Series]:
    """Time each contender once a round, in another order each time.

    A repetition takes about `repetition_ns`. The time of an empty loop of the same length is taken off.
    """
    everyone = {LOOP: statement("pass"), **contenders}
    counts = {name: _calibrated(run, repetition_ns) for name, run in everyone.items()}
    return interleave_counted(everyone, counts, rounds)


def interleave_counted(
    contenders: dict[str, Callable[[int], int]], counts: dict[str, int], rounds: int
) -> dict[str, Series]:
    """Do what `interleave` does, with a given number of operations for each repetition."""
    shuffled = random.Random(0)  # noqa: S311 - an order, not a secret
    order = list(contenders)
    taken: dict[str, list[float]] = {name: [] for name in order}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            shuffled.shuffle(order)
            for name in order:
                taken[name].append(contenders[name](counts[name]) / counts[name])
    finally:
        gc.enable()
    loop = taken.pop(LOOP)
    usual, least = statistics.median(loop), min(loop)
    return {
        name: Series(tuple(figure - usual for figure in figures), min(figures) - least)
        for name, figures in taken.items()
    }


def _calibrated(run: Callable[[int], int], repetition_ns: int) -> int:
    run(100)  # imports, the first computation, and what the interpreter specialises
    count = 1
    # The least of some: who is interrupted here would get rounds of a few operations, all of them cold.
    while (taken := min(run(count) for _ in range(3))) < repetition_ns / 4:
        count *= 2
    return max(1, int(count * repetition_ns / taken))

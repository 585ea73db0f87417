"""The rows of the result, as a table for the terminal and for a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from timing import Series

_US = 1_000
_MS = 1_000_000
_SHOWN_WITH_DECIMALS = 10
HEADER = ("work", "ours", "peer or baseline", "ratio", "goal", "met?")


@dataclass(frozen=True)
class Row:
    """One comparison; `met` is `None` where nothing was promised."""

    work: str
    ours: str
    against: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """The texts of the columns of `HEADER`."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        met = "" if self.met is None else "yes" if self.met else "NO"
        return (self.work, self.ours, self.against, ratio, self.goal, met)


def duration(ns: float) -> str:
    """Write a duration in the unit that suits it."""
    for unit, name in ((_MS, "ms"), (_US, "µs")):
        if abs(ns) >= unit:
            return f"{ns / unit:.2f} {name}"
    return f"{ns:.1f} ns" if abs(ns) < _SHOWN_WITH_DECIMALS else f"{ns:.0f} ns"


def figure(series: Series) -> str:
    """Write the median, and the minimum in brackets."""
    return f"{duration(series.median)} ({duration(series.minimum)})"


def grouped(count: int) -> str:
    """Write a big number so that it can be read."""
    return f"{count:,}".replace(",", " ")


def terminal(header: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    """Lay out a table with columns as wide as they need to be."""
    lines = [tuple(header), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    texts.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text.rstrip() for text in texts)


def markdown(header: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    """Write a table in Markdown."""
    header = tuple(header)
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

"""`Plot`: how something went in the last minutes."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from textual.content import Content
from textual.widget import Widget

from zoocache.cli import _show
from zoocache.cli.monitor import _text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BLOCKS = " ▁▂▃▄▅▆▇█"
_STEPS = len(_BLOCKS) - 1
#: Columns of the labels beside the axis, and the axis.
_LEFT = 6
#: Samples that are further apart than this many seconds have a gap between them.
_GAP = 5.0


class Plot(Widget):
    """An area over time, with its value now, its least and its greatest."""

    def __init__(
        self,
        title: str,
        style: str,
        told: Callable[[float], str],
        top: float | None = None,
        axis: Callable[[float], str] = _text.brief,
        *,
        id: str,
    ) -> None:
        """Make an empty one.

        Args:
            title: What it shows.
            style: The colour.
            told: Writes a value.
            top: Where the axis ends; without it where the values need it to.
            axis: Writes the end of the axis.
            id: For style sheets and tests.
        """
        super().__init__(id=id)
        self._title, self._style, self._told, self._top, self._axis = title, style, told, top, axis
        self._values: Sequence[tuple[datetime, float | None]] = ()
        self._seconds = 60.0

    def show(self, values: Sequence[tuple[datetime, float | None]], seconds: float) -> None:
        """Show other values.

        Args:
            values: Values and when they were so, earliest first.
            seconds: How much of the past is shown.
        """
        self._values, self._seconds = values, seconds
        self.refresh()

    def render(self) -> Content:
        """Draw it as large as it may be."""
        width, height = self.size.width, self.size.height - 2
        columns = self._columns(max(1, width - _LEFT - 1))
        seen = self._seen()
        top = self._top or _nice(max(seen, default=0.0))
        parts: list[tuple[str, str] | str] = [*self._head(width, seen), "\n"]
        for row in range(height):
            label = self._axis(top) if row == 0 else "0" if row == height - 1 else ""
            mark = "┤" if label else "│"
            parts.append((f"{label.rjust(_LEFT)}{mark}", "dim"))
            below = (height - 1 - row) * _STEPS
            area = "".join(_block(value, top, height, below) for value in columns)
            parts += [(area, self._style), "\n"]
        began = f"{_show.seconds(self._seconds).replace('.0', '')} ago"
        parts.append((" " * (_LEFT + 1) + began + "now".rjust(width - _LEFT - 1 - len(began)), "dim"))
        return Content.assemble(*parts)

    def _head(self, width: int, seen: Sequence[float]) -> list[tuple[str, str] | str]:
        now = self._values[-1][1] if self._values else None
        title = f" {self._title} "
        value = "-" if now is None else self._told(now)
        room = width - len(title) - len(value)
        ends = ""
        if seen:
            least, most = self._told(min(seen)), self._told(max(seen))
            choices = (f"min {least}  max {most}", f"{least} ... {most}", "")
            ends = next(text for text in choices if len(text) < max(1, room))
        return [
            (title, "dim"),
            (value, f"bold {self._style.replace('$', '$text-')}"),
            (ends.rjust(room), "dim"),
        ]

    def _seen(self) -> list[float]:
        """The values of the time that is shown."""
        if not self._values:
            return []
        end = self._values[-1][0]
        span = timedelta(seconds=self._seconds)
        return [value for at, value in self._values if value is not None and end - at < span]

    def _columns(self, count: int) -> list[float | None]:
        """The mean of each column's part of the time, or of the nearest time before."""
        if not self._values:
            return [None] * count
        end = max(self._values[-1][0], datetime.now(timezone.utc))
        sums: list[list[float]] = [[] for _ in range(count)]
        for at, value in self._values:
            place = math.ceil((1 - (end - at).total_seconds() / self._seconds) * count) - 1
            if value is not None and 0 <= place < count:
                sums[place].append(value)
        columns: list[float | None] = []
        age = math.inf
        for part in sums:
            age = 0.0 if part else age + self._seconds / count
            before = columns[-1] if columns and age < _GAP else None
            columns.append(sum(part) / len(part) if part else before)
        return columns


def _block(value: float | None, top: float, height: int, below: int) -> str:
    if value is None:
        return " "
    level = round(value / top * height * _STEPS)
    # What is more than nothing is seen.
    level = max(level, 1) if value > 0 else level
    return _BLOCKS[min(max(level - below, 0), _STEPS)]


def _nice(value: float) -> float:
    """The round number that is just not below a value."""
    if value <= 1:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * size >= value)

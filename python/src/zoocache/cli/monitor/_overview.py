"""The tab that shows how the cache does: plots and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.widgets import Static

from zoocache.cli import _show
from zoocache.cli.monitor import _text
from zoocache.cli.monitor._plot import Plot
from zoocache.cli.monitor._view import SILENT, View
from zoocache.inspect._finding import bytes_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult
    from textual.content import Content

    from zoocache.inspect.watching import Sample, Watch

#: Seconds of the past that plots show.
_SPANS = (60, 120, 300, 600)
#: How many looks it takes until processes that tell something have told it.
_WAITED = 5
_WIDEST = 34

_PLOTS: dict[str, Callable[[Sample], float | None]] = {
    "ratio": lambda sample: sample.hit_ratio,
    "hits": lambda sample: sample.hits,
    "misses": lambda sample: sample.misses,
    "invalidations": lambda sample: sample.invalidations,
}


class Overview(View, can_focus=True):
    """Plots of the last minutes, and numbers of now."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("s", "span", "Span")]

    def __init__(self) -> None:
        """Begin with the shortest span."""
        super().__init__()
        self._span = 0
        self._watch: Watch | None = None

    def compose(self) -> ComposeResult:
        """Plots above numbers."""
        yield Static(_text.literal(SILENT), id="silent", classes="hint")
        with Grid(id="plots"):
            yield Plot("hit ratio", "$primary", _text.percent, 1.0, lambda top: f"{top:.0%}", id="ratio")
            yield Plot("hits/s", "$success", _text.rate, id="hits")
            yield Plot("misses/s", "$warning", _text.rate, id="misses")
            yield Plot("invalidations/s", "$error", _text.rate, id="invalidations")
        yield Static(id="numbers")

    def opened(self) -> None:
        """Take the keys."""
        self.screen.set_focus(self)

    def on_resize(self) -> None:
        """Write the numbers as wide as they may be."""
        self._show()

    def looked(self, watch: Watch) -> None:
        """Show the latest sample beside those before."""
        self._watch = watch
        self._show()

    def action_span(self) -> None:
        """Show more of the past, or again the least."""
        self._span = (self._span + 1) % len(_SPANS)
        self._show()

    def _show(self) -> None:
        watch = self._watch
        if watch is None or not watch.samples:
            return
        sample = watch.samples[-1]
        is_silent = not sample.processes and len(watch.samples) >= _WAITED
        self.set_class(is_silent, "-silent")
        for name, value in _PLOTS.items():
            told = [(one.at, value(one)) for one in watch.samples]
            self.query_one(f"#{name}", Plot).show(told, _SPANS[self._span])
        self.query_one("#numbers", Static).update(self._numbers(watch, sample))

    def _numbers(self, watch: Watch, sample: Sample) -> Content:
        columns = list(zip(_lookups(sample), _work(watch, sample), _sizes(watch, sample), strict=True))
        width = min(_WIDEST, (self.size.width - 2) // 3 - 2)
        parts: list[tuple[str, str] | str] = []
        for line in columns:
            for name, value in line:
                parts += [
                    (f" {name}", "dim"),
                    (value.rjust(max(1, width - len(name))) + "  ", "bold"),
                ]
            parts.append("\n")
        return _text.lines(*parts[:-1])


def _lookups(sample: Sample) -> list[tuple[str, str]]:
    return [
        ("hits/s", _text.rate(sample.hits)),
        ("misses/s", _text.rate(sample.misses)),
        ("  stale", _text.rate(sample.stale)),
        ("  absent, expired", _text.rate(max(0.0, sample.misses - sample.stale))),
    ]


def _work(watch: Watch, sample: Sample) -> list[tuple[str, str]]:
    latest = watch.invalidations[0].at if watch.invalidations else None
    return [
        ("computations/s", _text.rate(sample.computations)),
        ("errors/s", _text.rate(sample.errors)),
        ("invalidations/s", _text.rate(sample.invalidations)),
        ("  the last", "-" if latest is None else f"{_show.ago(latest)} ago"),
    ]


def _sizes(watch: Watch, sample: Sample) -> list[tuple[str, str]]:
    stats = watch.stats
    size = None if stats is None else stats.bytes
    name = "size"
    if stats is not None and size is None and "used_memory" in stats.facts:
        name, size = "server's memory", stats.facts["used_memory"]
    return [
        ("entries", _text.number(sample.entries)),
        (name, "-" if size is None else bytes_text(size)),
        ("tags", _text.number(None if stats is None else stats.tags)),
        ("processes telling", str(sample.processes)),
    ]

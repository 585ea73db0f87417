"""The tab of cached functions: which are called most, which are slow, which miss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Static

from zoocache.cli import _show
from zoocache.cli.monitor import _text
from zoocache.cli.monitor._table import Row, Table
from zoocache.cli.monitor._view import SILENT, Search, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult

    from zoocache.inspect.watching import FunctionRate, Watch

#: What to sort by, and what comes first.
_ORDERS: dict[str, Callable[[FunctionRate], tuple[float, ...]]] = {
    "hottest": lambda one: (-one.calls, -one.hits - one.misses),
    "slowest": lambda one: (-(one.mean or 0), -one.misses),
    "worst hit ratio": lambda one: (2 if one.hit_ratio is None else one.hit_ratio, -one.misses),
    "most errors": lambda one: (-one.errors, -one.calls),
}
#: Below it a hit ratio stands out.
_POOR = 0.5


class Functions(View):
    """The cached functions of all processes that tell."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort"),
        Binding("slash", "search", "Search", priority=True),
        Binding("escape", "leave", show=False),
    ]

    def __init__(self) -> None:
        """Begin with the hottest."""
        super().__init__()
        self._order = 0
        self._functions: tuple[FunctionRate, ...] = ()

    def compose(self) -> ComposeResult:
        """A line above a table."""
        yield Static(id="functions-told", classes="told")
        yield Search("part of a name", id="functions-search")
        yield Table(
            ("FUNCTION", 0),
            ("CALLS/S", -7),
            ("RATIO", -7),
            ("MEAN", -8),
            ("HITS", -9),
            ("MISSES", -8),
            ("ERRORS", -6),
            id="functions",
            keeps_end=True,
        )

    def opened(self) -> None:
        """Let the user move through the table."""
        self.screen.set_focus(self.query_one(Table))

    def looked(self, watch: Watch) -> None:
        """Show what became of calls."""
        self._functions = watch.functions
        self._show()

    def action_sort(self) -> None:
        """Sort by the next of what can be sorted by."""
        self._order = (self._order + 1) % len(_ORDERS)
        self._show()
        self.query_one(Table).move_cursor(row=0)

    def action_search(self) -> None:
        """Let the user type a part of a name."""
        self.query_one(Search).begin()

    def action_leave(self) -> None:
        """Search no more."""
        self.query_one(Search).clear()
        self.screen.set_focus(self.query_one(Table))

    def on_input_changed(self) -> None:
        """Show those whose names have the text."""
        self._show()

    def on_input_submitted(self) -> None:
        """Go to the table."""
        self.screen.set_focus(self.query_one(Table))

    def _show(self) -> None:
        name, order = list(_ORDERS.items())[self._order]
        sought = self.query_one(Search).value
        found = [one for one in self._functions if sought in one.name]
        told = _text.literal(f" {_text.plural(len(found), 'function', 'functions')}, {name} first")
        self.query_one("#functions-told", Static).update(told if self._functions else _text.literal(SILENT))
        self.query_one(Table).show([_row(one) for one in sorted(found, key=order)])


def _row(one: FunctionRate) -> Row:
    is_poor = one.hit_ratio is not None and one.hit_ratio < _POOR
    return one.name, (
        one.name,
        _text.rate(one.calls),
        (_text.percent(one.hit_ratio), "yellow" if is_poor else ""),
        _duration(one.mean),
        _text.number(one.hits),
        _text.number(one.misses),
        (_text.number(one.errors), "red" if one.errors else ""),
    )


def _duration(seconds: float | None) -> str:
    if seconds is not None and seconds < 0.01:  # noqa: PLR2004 - hundredths of a millisecond
        return f"{seconds * 1000:.2f} ms"
    return _show.seconds(seconds)

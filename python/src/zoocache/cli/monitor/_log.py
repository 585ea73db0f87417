"""The tab of invalidations as they happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Static

from zoocache.cli.monitor import _text
from zoocache.cli.monitor._table import Table
from zoocache.cli.monitor._view import Search, View

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from zoocache.inspect import Invalidation
    from zoocache.inspect.watching import Watch


class Log(View):
    """The latest invalidations, the latest of them on top."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", priority=True),
        Binding("p", "pause", "Pause"),
        Binding("escape", "leave", show=False),
    ]

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self._invalidations: tuple[Invalidation, ...] = ()
        self._is_paused = False

    def compose(self) -> ComposeResult:
        """A line above a table."""
        yield Static(id="log-told", classes="told")
        yield Search("part of a tag or of a node's name", id="log-search")
        yield Table(("TIME (UTC)", 12), ("TAGS", 0), ("BY", 24), id="log", wide=1)

    def opened(self) -> None:
        """Let the user move through the table."""
        self.screen.set_focus(self.query_one(Table))

    def looked(self, watch: Watch) -> None:
        """Show what was invalidated since."""
        if not self._is_paused:
            self._invalidations = watch.invalidations
        self._show()

    def action_search(self) -> None:
        """Let the user type what is looked for."""
        self.query_one(Search).begin()

    def action_leave(self) -> None:
        """Search no more."""
        self.query_one(Search).clear()
        self.screen.set_focus(self.query_one(Table))

    def action_pause(self) -> None:
        """Let what is shown stand still, or go on."""
        self._is_paused = not self._is_paused
        self._show()

    def on_input_changed(self) -> None:
        """Show those that have the text."""
        self._show()

    def on_input_submitted(self) -> None:
        """Go to the table."""
        self.screen.set_focus(self.query_one(Table))

    def _show(self) -> None:
        sought = self.query_one(Search).value
        found = [
            one for one in self._invalidations if sought in " ".join(one.tags) or sought in (one.node or "")
        ]
        paused = ", paused" if self._is_paused else ""
        told = f" the latest {_text.plural(len(found), 'invalidation', 'invalidations')}{paused}"
        self.query_one("#log-told", Static).update(_text.literal(told))
        self.query_one(Table).show(
            [
                (
                    str(one.position),
                    (
                        f"{one.at:%H:%M:%S}.{one.at.microsecond // 1000:03}",
                        " ".join(one.tags),
                        one.node or "-",
                    ),
                )
                for one in found
            ]
        )

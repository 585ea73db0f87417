"""The tab that finds entries by their keys and states."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from zoocache.cli.monitor._entry_table import EntryTable
from zoocache.cli.monitor._table import Table
from zoocache.cli.monitor._view import Search, View
from zoocache.inspect.records import STATES

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.timer import Timer

    from zoocache.cli.monitor._questions import Questions

_STATES = (None, *STATES)
#: Seconds without a new letter after which entries are looked for.
_PAUSE = 0.4


class Entries(View):
    """Entries by the beginning of their keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", priority=True),
        Binding("s", "state", "State"),
        Binding("r", "reload", "Reload"),
        Binding("escape", "leave", show=False),
    ]

    def __init__(self, questions: Questions) -> None:
        """Begin with all.

        Args:
            questions: What asks for them.
        """
        super().__init__()
        self._questions = questions
        self._state = 0
        self._was_opened = False
        self._typing: Timer | None = None

    def compose(self) -> ComposeResult:
        """A line to type in above a table."""
        yield Search("the beginning of a key", id="entries-search")
        yield EntryTable(self._questions, id="entries")

    def opened(self) -> None:
        """Let the user move through the table; ask for entries the first time."""
        self.screen.set_focus(self.query_one(Table))
        if not self._was_opened:
            self._was_opened = True
            self.action_reload()

    def action_search(self) -> None:
        """Let the user type the beginning of a key."""
        self.query_one(Search).begin()

    def action_leave(self) -> None:
        """Search no more."""
        self.query_one(Search).clear()
        self.screen.set_focus(self.query_one(Table))

    def action_state(self) -> None:
        """Show those of the next state only."""
        self._state = (self._state + 1) % len(_STATES)
        self.action_reload()

    def action_reload(self) -> None:
        """Ask again."""
        self._stop_waiting()
        state, prefix = _STATES[self._state], self.query_one(Search).value
        title = (f", {state}" if state else "") + (f", beginning with {prefix}" if prefix else "")
        self.query_one(EntryTable).find(title, prefix=prefix, state=state)

    def on_input_changed(self) -> None:
        """Ask when the user has paused."""
        self._stop_waiting()
        self._typing = self.set_timer(_PAUSE, self.action_reload)

    def on_input_submitted(self) -> None:
        """Ask at once, and go to the table."""
        self.action_reload()
        self.screen.set_focus(self.query_one(Table))

    def _stop_waiting(self) -> None:
        if self._typing is not None:
            self._typing.stop()
            self._typing = None

"""`EntryTable`: a table of entries that gets more of them, and explains them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from zoocache.cli.monitor import _pages, _text
from zoocache.cli.monitor._explain import Explain
from zoocache.cli.monitor._table import Table

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from zoocache.cli.monitor._questions import Questions
    from zoocache.inspect import Entry, Page


class EntryTable(Vertical):
    """Entries that were asked for, with a line that says which they are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e,enter", "explain", "Explain", priority=False),
        Binding("m", "more", "More"),
    ]

    def __init__(self, questions: Questions, *, id: str) -> None:
        """Begin with none.

        Args:
            questions: What asks for them.
            id: For style sheets and tests.
        """
        super().__init__(id=id)
        self._questions = questions
        self._called = id
        self._entries: list[Entry] = []
        self._cursor: str | None = None
        self._sought: dict[str, Any] = {}
        self._title = ""

    def compose(self) -> ComposeResult:
        """A line above a table."""
        yield Static(id=f"{self._called}-told", classes="told")
        yield Table(
            ("KEY", 0),
            ("STATE", 8),
            ("SIZE", -8),
            ("AGE", -8),
            ("EXPIRES", -8),
            id=f"{self._called}-table",
        )

    def find(self, title: str, **sought: Any) -> None:
        """Ask for entries.

        Args:
            title: What they have in common, as the rest of a line.
            sought: `prefix`, `tag` and `state`, as `Inspector.entries` takes them.
        """
        self._title, self._sought = title, sought
        self._tell("...")
        self._questions.ask(self._called, _pages.page(**sought), self._found, self._failed)

    def action_more(self) -> None:
        """Ask for the next page."""
        if self._cursor is not None and len(self._entries) < _pages.MOST:
            question = _pages.page(self._cursor, **self._sought)
            self._questions.ask(self._called, question, self._found_more, self._failed)

    def action_explain(self) -> None:
        """Explain the entry under the cursor."""
        key = self.query_one(Table).chosen
        if key is not None:
            self.app.push_screen(Explain(self._questions, key))

    def on_data_table_row_selected(self) -> None:
        """Explain the entry that was chosen."""
        self.action_explain()

    def _found(self, page: Page) -> None:
        self._entries = []
        self._found_more(page)

    def _found_more(self, page: Page) -> None:
        known = {entry.key for entry in self._entries}
        self._entries += [entry for entry in page.entries if entry.key not in known]
        self._cursor = page.cursor
        self.query_one(Table).show([_pages.row(entry) for entry in self._entries])
        self._tell(_pages.told(len(self._entries), self._cursor))

    def _failed(self, _why: str) -> None:
        self._entries, self._cursor = [], None
        self.query_one(Table).show([])
        self._tell("could not list entries")

    def _tell(self, text: str) -> None:
        self.query_one(f"#{self._called}-told", Static).update(_text.literal(f" {text}{self._title}"))

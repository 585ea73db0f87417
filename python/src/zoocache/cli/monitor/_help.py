"""`Help`: the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from zoocache.cli.monitor import _text

if TYPE_CHECKING:
    from textual.app import ComposeResult

_KEYS = (
    ("1 ... 6", "go to a tab; so do tab and the arrow keys on the tabs"),
    ("/", "search: a name, a tag, the beginning of a key"),
    ("escape", "search no more, close"),
    ("up down j k", "move; page up, page down, home, end too"),
    ("enter", "open a tag and list its entries; explain an entry"),
    ("e", "explain an entry: state, cause, dependencies, value"),
    ("i", "invalidate the chosen tag, after a question"),
    ("m", "more entries"),
    ("s", "Overview: the span of plots. Functions: sort. Entries: state"),
    ("p", "Log: let it stand still"),
    ("r", "ask again for tags or entries"),
    ("t", "next theme: dark, light, and the terminal's own colours"),
    ("q, ctrl+c", "quit"),
)


class Help(ModalScreen[None]):
    """All keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,question_mark", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        """One line a key."""
        parts: list[tuple[str, str] | str] = [("Keys", "bold")]
        for key, what in _KEYS:
            parts += ["\n", (key.ljust(13), "bold $text-primary"), what]
        with VerticalScroll(classes="dialog"):
            yield Static(_text.lines(*parts), id="help")

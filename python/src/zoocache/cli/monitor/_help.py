"""`Help`: the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from zoocache.cli.monitor import _text
from zoocache.cli.monitor._dialog import Dialog

if TYPE_CHECKING:
    from textual.app import ComposeResult

_KEYS = (
    ("1 ... 6", "go to a tab"),
    ("tab", "go to the next part of it"),
    ("/", "search: a name, a tag, the beginning of a key"),
    ("escape", "search no more, close"),
    ("up down j k", "move; so do page up, page down, home and end"),
    ("enter", "open a tag and list its entries; explain an entry"),
    ("e", "explain an entry: state, cause, dependencies, value"),
    ("i", "invalidate the chosen tag, after a question"),
    ("m", "more entries"),
    ("s", "span of plots; what to sort functions by; state of entries"),
    ("p", "let the log stand still, or go on"),
    ("r", "ask again for tags or entries"),
    ("t", "theme: dark, light, and in the terminal's own colours"),
    ("q, ctrl+c", "quit"),
)


class Help(Dialog[None]):
    """All keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark", "dismiss", "Close", priority=True)
    ]

    def compose(self) -> ComposeResult:
        """One line a key."""
        parts: list[tuple[str, str] | str] = [("Keys", "bold")]
        for key, what in _KEYS:
            parts += ["\n", (key.ljust(13), "bold $text-primary"), what]
        with VerticalScroll(classes="dialog"):
            yield Static(_text.lines(*parts), id="help")

"""`Monitor`: the app, its tabs and the keys that all of them share."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Static, TabbedContent, TabPane

from zoocache.cli import _show
from zoocache.cli.monitor import _text
from zoocache.cli.monitor._entries import Entries
from zoocache.cli.monitor._functions import Functions
from zoocache.cli.monitor._help import Help
from zoocache.cli.monitor._log import Log
from zoocache.cli.monitor._nodes import Nodes
from zoocache.cli.monitor._overview import Overview
from zoocache.cli.monitor._questions import Questions, Watcher
from zoocache.cli.monitor._tags import Tags
from zoocache.cli.monitor._view import View

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from zoocache.inspect import Inspector
    from zoocache.inspect.watching import Watch

_TABS = ("Overview", "Functions", "Tags", "Entries", "Log", "Nodes")
#: Those that this version of textual has are chosen from.
_THEMES = ("textual-dark", "textual-light", "ansi-dark", "ansi-light", "textual-ansi")
#: Seconds between two looks.
_PAUSE = 1.0
#: Seconds without an answer after which the user is told.
_LATE = 5.0


class Monitor(App[None]):
    """Shows a cache, looked at again and again."""

    TITLE = "zoocache"
    CSS_PATH = "monitor.tcss"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - as textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(place), f"go('{name.lower()}')", name, show=False)
            for place, name in enumerate(_TABS, 1)
        ),
        Binding("t", "next_theme", "Theme"),
        Binding("question_mark", "help", "Help"),
        Binding("q", "quit", "Quit"),
        # Also while something is typed.
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(self, inspector: Inspector, pause: float = _PAUSE) -> None:
        """Begin.

        Args:
            inspector: Whom to ask. It is not closed.
            pause: Seconds between two looks.
        """
        super().__init__()
        self._questions = Questions(inspector)
        self._watcher = Watcher(inspector, pause)
        if "TEXTUAL_THEME" not in os.environ:
            self.theme = _theme()

    @property
    def seen(self) -> Watch:
        """What is known of the cache."""
        return self._watcher.watch

    def compose(self) -> ComposeResult:
        """A line that says which cache, tabs, a line for trouble, and the keys."""
        yield Static(_text.literal(" zoocache", "bold"), id="title")
        views = (
            Overview(),
            Functions(),
            Tags(self._questions),
            Entries(self._questions),
            Log(),
            Nodes(),
        )
        with TabbedContent(id="tabs"):
            for place, (name, view) in enumerate(zip(_TABS, views, strict=True), 1):
                with TabPane(f"{place} {name}", id=name.lower()):
                    yield view
        yield Static(id="trouble")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to look."""
        self._questions.start(self)
        self._watcher.start(self, self._looked)
        self.set_interval(1.0, self._show_trouble)

    def on_unmount(self) -> None:
        """Look no more."""
        self._watcher.end()
        self._questions.end()

    @property
    def view(self) -> View | None:
        """The content of the tab that is open."""
        pane = self.query_one(TabbedContent).active_pane
        return None if pane is None else pane.query_one(View)

    def on_tabbed_content_tab_activated(self) -> None:
        """Let the view take the keys, and show what is known."""
        if self.view is not None:
            self.view.looked(self.seen)
            self.view.opened()

    def action_go(self, name: str) -> None:
        """Open a tab."""
        self.query_one(TabbedContent).active = name

    def action_next_theme(self) -> None:
        """Take the next theme."""
        themes = [name for name in _THEMES if name in self.available_themes]
        place = themes.index(self.theme) if self.theme in themes else -1
        self.theme = themes[(place + 1) % len(themes)]
        self.notify(self.theme, timeout=2)

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())

    def _looked(self) -> None:
        stats = self.seen.stats
        if stats is not None:
            place = f"{stats.kind}: {_show.short(stats.place, max(20, self.size.width - 30))}"
            self.query_one("#title", Static).update(_text.lines((" zoocache", "bold"), "  ", place))
        if self.view is not None:
            self.view.looked(self.seen)
        self._show_trouble()

    def _show_trouble(self) -> None:
        if not self.is_running:
            return
        silence = time.monotonic() - self._watcher.looked
        trouble = self._watcher.trouble or self._questions.trouble
        if silence > _LATE:
            trouble = f"no answer for {_show.seconds(silence)}" + (f"; before: {trouble}" if trouble else "")
        line = self.query_one("#trouble", Static)
        line.set_class(trouble is not None, "-shown")
        line.update(_text.literal(f" {trouble or ''}"))


def _theme() -> str:
    """The theme that fits the terminal, if it says what its background is."""
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return "textual-light" if background in {"7", "15"} else "textual-dark"

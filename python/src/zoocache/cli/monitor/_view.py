"""`View`: what the tabs have in common.

They give the focus at once, by `Screen.set_focus`, and not a moment later as `Widget.focus` does: keys that
follow would mean something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.widgets import Input

if TYPE_CHECKING:
    from textual import events

    from zoocache.inspect.watching import Watch

#: Shown where there are no rates.
SILENT = (
    "No process tells what it counts. Let programs say configure(control=True): then hits, misses and "
    "computations show here within seconds."
)


class View(Vertical):
    """The content of a tab."""

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Keep it from the tabs, which would go back to a view that has been left meanwhile."""
        event.stop()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Begin no search while one is typed.

        The key comes before others, so that what is typed right after it is not taken for keys.
        """
        if action == "search":
            return not isinstance(self.screen.focused, Search)
        return super().check_action(action, parameters)

    def opened(self) -> None:
        """Be ready for the user: the tab was chosen."""

    def looked(self, watch: Watch) -> None:
        """Show what was found at the latest look; called while the tab is open."""


class Search(Input):
    """A line to type what is looked for; it is shown while it is used, and while it has a text."""

    def __init__(self, what: str, *, id: str) -> None:
        """Make an empty one.

        Args:
            what: What can be typed.
            id: For style sheets and tests.
        """
        super().__init__(placeholder=what, id=id, compact=True)
        self.display = False

    def on_blur(self) -> None:
        """Give the room back."""
        self.display = bool(self.value)

    def begin(self) -> None:
        """Let the user type."""
        self.display = True
        self.screen.set_focus(self)

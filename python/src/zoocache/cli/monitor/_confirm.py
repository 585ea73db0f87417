"""`Confirm`: asks whether a tag shall be invalidated, once it has shown what that would reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Static

from zoocache.cli.monitor import _text
from zoocache.cli.monitor._dialog import Dialog

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from zoocache.cli.monitor._questions import Questions


class Confirm(Dialog[bool]):
    """Ends with whether the user wants it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "refuse", "No", priority=True),
        Binding("y", "agree", "Yes", priority=True),
        # These, too: enter must not come before a move.
        Binding("left,up,shift+tab", "app.focus_previous", show=False, priority=True),
        Binding("right,down,tab", "app.focus_next", show=False, priority=True),
        Binding("enter", "choose", show=False, priority=True),
    ]

    def __init__(self, questions: Questions, tag: str) -> None:
        """Ask about a tag.

        Args:
            questions: What counts the entries.
            tag: The tag.
        """
        super().__init__()
        self._questions, self._tag = questions, tag

    def compose(self) -> ComposeResult:
        """What would happen, and two buttons."""
        with Vertical(classes="dialog"):
            yield Static(_text.lines("Invalidate ", (self._tag, "bold"), "?"))
            yield Static("counting what that would make stale ...", id="affected")
            with Horizontal():
                yield Button("No (n)", id="no", flat=True)
                yield Button("Yes (y)", id="yes", variant="warning", disabled=True, flat=True)

    def on_mount(self) -> None:
        """Count."""
        self.set_focus(self.query_one("#no"))
        self._questions.ask(
            "affected", lambda inspector: inspector.affected(self._tag), self._counted, self._failed
        )

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """End with what the user clicked."""
        self.dismiss(event.button.id == "yes")

    def action_choose(self) -> None:
        """End with what the chosen button says."""
        if self.focused is not None:
            self.dismiss(self.focused.id == "yes")

    def action_refuse(self) -> None:
        """End without doing anything."""
        self.dismiss(False)

    def action_agree(self) -> None:
        """End with a yes, if it is known by now to what."""
        if not self.query_one("#yes").disabled:
            self.dismiss(True)

    def _counted(self, count: int) -> None:
        if self.is_attached:
            entries = _text.plural(count, "fresh entry goes", "fresh entries go")
            self.query_one("#affected", Static).update(
                _text.lines((entries, "bold"), " stale, for everybody")
            )
            self.query_one("#yes").disabled = False

    def _failed(self, why: str) -> None:
        if self.is_attached:
            self.query_one("#affected", Static).update(_text.literal(why, "$text-error"))

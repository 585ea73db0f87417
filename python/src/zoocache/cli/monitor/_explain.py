"""`Explain`: why an entry is what it is, and its value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from zoocache._errors import CacheError
from zoocache.cli import _show
from zoocache.cli.monitor import _text
from zoocache.cli.monitor._dialog import Dialog

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from zoocache.cli.monitor._questions import Questions
    from zoocache.inspect import Explanation, Inspector

#: Lines of a value, and dependencies, that are shown.
_MOST_LINES = 200
_LONGEST_LINE = 2_000
#: Letters of a key or tag that are shown: what follows must be seen, too.
_LONGEST_NAME = 300


class Explain(Dialog[None]):
    """State, cause, dependencies and value of an entry."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,e", "dismiss", "Close", priority=True),
        Binding("r", "reload", "Reload"),
    ]

    def __init__(self, questions: Questions, key: str) -> None:
        """Ask for it.

        Args:
            questions: What asks.
            key: The entry's key.
        """
        super().__init__()
        self._questions, self._key = questions, key

    def compose(self) -> ComposeResult:
        """A text that may be long."""
        with VerticalScroll(classes="dialog"):
            yield Static(_text.literal(_name(self._key), "bold"), id="explained-key")
            yield Static("...", id="explained")
            yield Static("", id="explained-value")
        yield Footer()

    def on_mount(self) -> None:
        """Ask."""
        self.action_reload()

    def action_reload(self) -> None:
        """Ask again: it may have changed."""
        self._questions.ask(
            "explain", lambda inspector: inspector.explain(self._key), self._show, self._failed
        )
        self._questions.ask("value", lambda inspector: _value(inspector, self._key), self._show_value)

    def _show(self, told: Explanation) -> None:
        if self.is_attached:
            self.query_one("#explained", Static).update(_text.lines(*_explained(told)))

    def _failed(self, why: str) -> None:
        if self.is_attached:
            self.query_one("#explained", Static).update(_text.literal(why, "$text-error"))

    def _show_value(self, text: str) -> None:
        if not self.is_attached:
            return
        parts: list[tuple[str, str] | str] = ["\n", ("value", "dim")]
        *listed, rest = [*text.split("\n", _MOST_LINES), ""][: _MOST_LINES + 1]
        for line in listed:
            parts += ["\n", f"  {line[:_LONGEST_LINE]}" + (" ..." if len(line) > _LONGEST_LINE else "")]
        if rest:
            parts += ["\n", ("  ... and more lines", "dim")]
        self.query_one("#explained-value", Static).update(_text.lines(*parts))


def _explained(told: Explanation) -> list[tuple[str, str] | str]:
    if told.state == "absent":
        return ["there is no such entry any more"]
    style = {"fresh": "$text-success", "stale": "$text-warning"}.get(told.state, "$text-error")
    parts: list[tuple[str, str] | str] = [(told.state, f"bold {style}")]
    cause = told.cause
    if cause is not None:
        parts += [" because ", (_name(cause.tag), "bold"), " was invalidated"]
        parts += ["\n", f"at {_show.at_text(cause.at)}, {_show.ago(cause.at)} ago", "\n", f"by {cause.node}"]
    ends = "never expires" if told.expires_in is None else f"expires in {_show.seconds(told.expires_in)}"
    parts += ["\n", f"stored {_show.seconds(told.age)} ago, {ends}", "\n", "\n", ("depends on", "dim")]
    # What is stale comes first, if not all of them are shown.
    dependencies = list(told.dependencies)
    more = len(dependencies) - _MOST_LINES
    if more > 0:
        dependencies = sorted(dependencies, key=lambda one: not one.stale)[:_MOST_LINES]
    for dependency in dependencies:
        parts += ["\n", f"  {_name(dependency.tag)}"]
        if dependency.stale:
            parts.append((" (stale)", "$text-warning"))
    if more > 0:
        parts += ["\n", (f"  and {more:,} more", "dim")]
    return parts


def _name(text: str) -> str:
    return _show.short(text, _LONGEST_NAME)


def _value(inspector: Inspector, key: str) -> str:
    """The value as text, or why it cannot be shown: that is no trouble of the cache."""
    try:
        value: Any = inspector.value(key).value
    except KeyError:
        return "there is none"
    except (CacheError, OSError) as error:
        return f"cannot be shown: {error}"
    return json.dumps(value, ensure_ascii=False, indent=2)

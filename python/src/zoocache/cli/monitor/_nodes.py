"""The tab of the processes that use the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Static

from zoocache.cli import _show
from zoocache.cli.monitor import _text
from zoocache.cli.monitor._table import Row, Table
from zoocache.cli.monitor._view import View

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from zoocache.inspect import Node
    from zoocache.inspect.watching import Watch

#: Seconds behind the others from which on a node stands out.
_LATE = 5.0


class Nodes(View):
    """Who uses the cache, how far behind, since when, where."""

    def compose(self) -> ComposeResult:
        """A line above a table."""
        yield Static(id="nodes-told", classes="told")
        yield Table(("NODE", 30), ("BEHIND", -9), ("AGE", -9), ("WHERE", 0), id="nodes", wide=3)

    def opened(self) -> None:
        """Let the user move through the table."""
        self.screen.set_focus(self.query_one(Table))

    def looked(self, watch: Watch) -> None:
        """Show who is there."""
        count = _text.plural(len(watch.nodes), "process", "processes")
        told = f" {count}; BEHIND: how long an invalidation has been waiting"
        self.query_one("#nodes-told", Static).update(_text.literal(told))
        self.query_one(Table).show([_row(node) for node in watch.nodes])


def _row(node: Node) -> Row:
    is_late = node.behind is not None and node.behind >= _LATE
    return node.name, (
        node.name + (" (this)" if node.is_self else ""),
        ("asks" if node.behind is None else _show.seconds(node.behind), "red" if is_late else ""),
        _show.seconds(node.age),
        node.address,
    )

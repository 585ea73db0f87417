"""The tab of the tag tree: what depends on each tag, and invalidating one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from zoocache.cli import _show
from zoocache.cli.monitor import _text
from zoocache.cli.monitor._confirm import Confirm
from zoocache.cli.monitor._entry_table import EntryTable
from zoocache.cli.monitor._view import Search, View

if TYPE_CHECKING:
    from rich.text import Text
    from textual.app import ComposeResult

    from zoocache.cli.monitor._questions import Questions
    from zoocache.inspect import Branch

#: Tags that are shown below one.
_MOST = 500
_ALL = "all tags"

_Node = TreeNode["str | None"]


class Tags(View):
    """The tags as a tree, each level asked for when it is opened, and the entries of the chosen one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Go to", priority=True),
        Binding("i", "invalidate", "Invalidate"),
        Binding("r", "reload", "Reload"),
        Binding("escape", "leave", show=False),
    ]

    def __init__(self, questions: Questions) -> None:
        """Begin with the first tags.

        Args:
            questions: What asks.
        """
        super().__init__()
        self._questions = questions
        self._was_opened = False

    def compose(self) -> ComposeResult:
        """A tree and a table."""
        yield Search("a tag, such as shop:1", id="tags-search")
        with Container(id="tags-parts"):
            tree: Tree[str | None] = Tree(_text.cell(_ALL), None, id="tree")
            tree.guide_depth = 3
            tree.auto_expand = False
            yield tree
            yield EntryTable(self._questions, id="tagged")

    @property
    def branches(self) -> Tree[str | None]:
        """The tree; the data of its nodes are tags, `None` for all."""
        return self.query_one("#tree", Tree)

    def opened(self) -> None:
        """Let the user move through the tree; ask for the first tags the first time."""
        self.screen.set_focus(self.branches)
        if not self._was_opened:
            self._was_opened = True
            self._begin(None)

    def action_search(self) -> None:
        """Let the user type a tag."""
        self.query_one(Search).begin()

    def action_leave(self) -> None:
        """Show all tags again, if only some are shown."""
        search = self.query_one(Search)
        search.clear()
        if self.branches.root.data is not None:
            self._begin(None)
        self.screen.set_focus(self.branches)

    def on_input_submitted(self) -> None:
        """Show what is below the tag that was typed."""
        self._begin(self.query_one(Search).value.strip() or None)
        self.screen.set_focus(self.branches)

    def action_reload(self) -> None:
        """Ask again for the levels that are open, and for the entries."""
        self._reload(self.branches.root)
        if self.branches.cursor_node is not None:
            self._find(self.branches.cursor_node)

    def action_invalidate(self) -> None:
        """Ask whether to invalidate the chosen tag."""
        node = self.branches.cursor_node
        if node is None or node.data is None:
            self.notify("Choose a tag first.", markup=False)
            return
        tag = node.data

        def confirmed(is_wanted: bool | None) -> None:
            if is_wanted:
                ask = partial(self._questions.ask, "invalidate")
                ask(lambda inspector: inspector.invalidate(tag), lambda _: self._invalidated(tag))

        self.app.push_screen(Confirm(self._questions, tag), confirmed)

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[str | None]) -> None:
        """Ask for what is below."""
        self._load(event.node)

    def on_tree_node_selected(self, event: Tree.NodeSelected[str | None]) -> None:
        """Show the entries of a tag, and what is below it."""
        node = event.node
        if node.allow_expand and not node.is_expanded:
            # That asks for what is below.
            node.expand()
        if node.parent is not None:
            # Its own counts are as new as its entries.
            self._load(node.parent)
        self._find(node)

    def _begin(self, tag: str | None) -> None:
        root = self.branches.root
        self.branches.reset(_text.cell(tag or _ALL), tag)
        root = self.branches.root
        self.branches.move_cursor(root)
        # That asks for what is below.
        root.expand()
        self._find(root)

    def _find(self, node: _Node) -> None:
        tag = node.data
        self.query_one(EntryTable).find("" if tag is None else f" with {tag}", tag=tag)

    def _invalidated(self, tag: str) -> None:
        self.notify(_show.safe(f"Invalidated {tag}"), markup=False)
        self.action_reload()

    def _reload(self, node: _Node) -> None:
        self._load(node)
        for child in node.children:
            if child.is_expanded:
                self._reload(child)

    def _load(self, node: _Node) -> None:
        tag = node.data
        self._questions.ask(
            f"tree {tag}", lambda inspector: inspector.tree(tag), lambda found: self._show(node, found)
        )

    def _is_there(self, node: _Node) -> bool:
        while node.parent is not None and node in node.parent.children:
            node = node.parent
        return node is self.branches.root

    def _show(self, node: _Node, found: tuple[Branch, ...]) -> None:
        """Show what is below a tag; what was open stays open."""
        if not self._is_there(node):
            # The tree has been begun anew since it was asked.
            return
        # The functions' own tags last.
        shown = sorted(found, key=lambda branch: (branch.tag.startswith("fn."), branch.tag))[:_MOST]
        known = {child.data: child for child in node.children}
        if [branch.tag for branch in shown] == [child.data for child in node.children]:
            for branch in shown:
                known[branch.tag].set_label(_label(branch))
            return
        opened = {tag for tag, child in known.items() if child.is_expanded}
        chosen = None if self.branches.cursor_node is None else self.branches.cursor_node.data
        node.remove_children()
        for branch in shown:
            child = node.add(_label(branch), branch.tag)
            if branch.tag in opened:
                child.expand()
            if branch.tag == chosen:
                self.call_after_refresh(self.branches.move_cursor, child)
        if len(found) > _MOST:
            more = f"{len(found) - _MOST:,} more: / goes to one"
            node.add_leaf(_text.cell(more, "italic"), node.data)


def _label(branch: Branch) -> Text:
    """The last part of a tag, with what depends on it and when it was invalidated."""
    style = "green" if branch.fresh == branch.entries else "yellow" if branch.fresh else "red"
    told = _text.cell(branch.tag.rpartition(":")[2])
    told.append(f"  {branch.fresh:,}/{branch.entries:,} fresh", style if branch.entries else "dim")
    if branch.changing:
        told.append(" changing", "magenta")
    if branch.invalidated is not None:
        told.append(f"  invalidated {_show.ago(branch.invalidated)} ago", "dim")
    elif branch.invalidated_below is not None:
        told.append(f"  below {_show.ago(branch.invalidated_below)} ago", "dim")
    return told

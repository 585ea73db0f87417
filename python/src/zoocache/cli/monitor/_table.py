"""`Table`: rows of text of which one column takes the room that the others leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from zoocache.cli import _show
from zoocache.cli.monitor import _text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

#: A row: what tells it from others, and its cells, texts or texts with a style.
Row = tuple[str, "Sequence[str | tuple[str, str]]"]

_LEAST = 8
#: Rows from which on it is quicker to remove all of them.
_MANY = 20


class Table(DataTable[Text]):
    """A table that is shown again and again; the cursor stays on its row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", show=False),
        Binding("k", "cursor_up", show=False),
    ]

    def __init__(self, *columns: tuple[str, int], id: str, wide: int = 0, keeps_end: bool = False) -> None:
        """Make an empty one.

        Args:
            columns: Heads and widths; those with a negative width stand to the right.
            id: For style sheets and tests.
            wide: Which one takes the room; its width is of no matter.
            keeps_end: Whether of a long text there the end is shown, instead of both ends.
        """
        super().__init__(id=id, cursor_type="row", zebra_stripes=True)
        self._heads, self._wide, self._keeps_end = columns, wide, keeps_end
        self._widths: list[int] = []
        self._rows: list[Row] = []
        self._shown: list[tuple[str | tuple[str, str], ...]] = []

    @property
    def chosen(self) -> str | None:
        """What tells the row under the cursor from others."""
        return self._rows[self.cursor_row][0] if 0 <= self.cursor_row < len(self._rows) else None

    def show(self, rows: Sequence[Row]) -> None:
        """Show other rows."""
        chosen = self.chosen if self.cursor_row else None
        self._rows = list(rows)
        self._fill()
        if chosen is not None:
            place = next((place for place, (key, _) in enumerate(rows) if key == chosen), None)
            if place is not None and place != self.cursor_row:
                self.move_cursor(row=place, scroll=False)

    def on_resize(self, event: events.Resize) -> None:
        """Give the room to the wide column."""
        pads = 2 * self.cell_padding * len(self._heads)
        others = sum(abs(width) for place, (_, width) in enumerate(self._heads) if place != self._wide)
        room = max(_LEAST, event.size.width - pads - others)
        widths = [room if place == self._wide else abs(width) for place, (_, width) in enumerate(self._heads)]
        if widths == self._widths:
            return
        self._widths, self._shown = widths, []
        row = self.cursor_row
        self.clear(columns=True)
        for (head, width), given in zip(self._heads, widths, strict=True):
            self.add_column(_text.cell(head, right=width < 0), width=given)
        self._fill()
        self.move_cursor(row=row)

    def _fill(self) -> None:
        """Change what is not as it was; where and how far it is scrolled stays."""
        if not self._widths:
            return
        shown = [tuple(cells) for _, cells in self._rows]
        for place, (old, new) in enumerate(zip(self._shown, shown, strict=False)):
            for column, (before, now) in enumerate(zip(old, new, strict=True)):
                if before != now:
                    self.update_cell_at(Coordinate(place, column), self._cell(column, now))
        for cells in shown[len(self._shown) :]:
            self.add_row(*(self._cell(column, now) for column, now in enumerate(cells)))
        if self.row_count - len(shown) > _MANY:
            # One by one, each would take as long as there are rows.
            self.clear()
            for cells in shown:
                self.add_row(*(self._cell(column, now) for column, now in enumerate(cells)))
        while self.row_count > len(shown):
            self.remove_row(self.ordered_rows[-1].key)
        self._shown = shown

    def _cell(self, column: int, content: str | tuple[str, str]) -> Text:
        text, style = (content, "") if isinstance(content, str) else content
        width = self._widths[column]
        if column == self._wide and self._keeps_end:
            text = _text.end(text, width)
        return _text.cell(_show.short(text, width), style, right=self._heads[column][1] < 0)

"""Some entries, and more of them on demand: what a table of entries shows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from zoocache.cli import _show
from zoocache.cli.monitor import _text
from zoocache.inspect import Page
from zoocache.inspect._finding import bytes_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from zoocache.cli.monitor._table import Row
    from zoocache.inspect import Entry, Inspector

#: Entries of one page.
SIZE = 100
#: The most entries of one table.
MOST = 2_000
#: Seconds after which what was found is shown, though there may be more.
_LONGEST = 2.0


def page(cursor: str | None = None, **sought: Any) -> Callable[[Inspector], Page]:
    """What asks for entries, as many as a page has, or as few as were found in a while.

    Args:
        cursor: That of the page before.
        sought: `prefix`, `tag` and `state`, as `Inspector.entries` takes them.
    """

    def ask(inspector: Inspector) -> Page:
        found: list[Entry] = []
        after, end = cursor, time.monotonic() + _LONGEST
        while True:
            told = inspector.entries(**sought, cursor=after, limit=SIZE - len(found))
            found += told.entries
            after = told.cursor
            if after is None or len(found) >= SIZE or time.monotonic() > end:
                return Page(tuple(found), after)

    return ask


def row(entry: Entry) -> Row:
    """An entry as a row: key, state, size, age and expiry."""
    return entry.key, (
        entry.key,
        (entry.state, _text.STATES.get(entry.state, "")),
        "-" if entry.bytes is None else bytes_text(entry.bytes),
        _show.ago(entry.created),
        _show.until(entry.expires),
    )


def told(count: int, cursor: str | None) -> str:
    """How many there are, as far as that is known."""
    if cursor is None:
        return _text.plural(count, "entry", "entries")
    more = "m for more" if count < MOST else "search for fewer"
    return f"{_text.plural(count, 'entry', 'entries')} ({more})"

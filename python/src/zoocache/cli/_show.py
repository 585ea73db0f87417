"""Records as lines of text that fit a terminal of 80 columns."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from zoocache.inspect import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH = 80
_GAP = "  "
_SECONDS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def print_json(document: Any) -> None:
    """Print one document in one line."""
    click.echo(json.dumps(to_json(document), ensure_ascii=False))


def safe(text: str) -> str:
    """A text of which a terminal obeys nothing."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def short(text: str, width: int) -> str:
    """A text without its middle, if it is too long."""
    text = safe(text)
    if len(text) <= width:
        return text
    head = (width - 1) * 2 // 3
    return text[:head] + "…" + text[len(text) - (width - 1 - head) :]


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; the first column takes the room that the others leave."""
    lines = [tuple(heads), *(tuple(safe(cell) for cell in row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    widths[0] = max(8, min(widths[0], WIDTH - sum(widths[1:]) - len(_GAP) * (len(heads) - 1)))
    for line in lines:
        cells = [short(line[0], widths[0]).ljust(widths[0])]
        # Numbers and lengths of time stand to the right, so that they can be compared.
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        click.echo(_GAP.join(cells).rstrip())


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values."""
    listed = [(name, safe(value)) for name, value in pairs]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        click.echo(f"{name.ljust(width)}{_GAP}{value}")


def wrapped(text: str, indent: str) -> str:
    """A text in lines."""
    return click.wrap_text(safe(text), WIDTH, initial_indent=indent, subsequent_indent=indent)


def seconds(value: float | None) -> str:
    """A length of time as people read it."""
    if value is None:
        return "-"
    for size, unit in _SECONDS:
        if value >= size:
            return f"{value / size:.1f} {unit}"
    if value >= 1:
        return f"{value:.1f} s"
    return f"{value * 1000:.0f} ms"


def ago(at: datetime | None) -> str:
    """How long ago a time was."""
    if at is None:
        return "-"
    return seconds(max(0.0, (datetime.now(timezone.utc) - at).total_seconds()))


def until(at: datetime | None) -> str:
    """How far away a time is."""
    if at is None:
        return "never"
    return seconds(max(0.0, (at - datetime.now(timezone.utc)).total_seconds()))


def at_text(at: datetime) -> str:
    """A time as people read it."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} UTC"

"""Numbers and texts of the cache as a terminal shows them.

Tags, keys and whatever else programs choose are shown literally: neither control characters nor the markup of
textual and rich mean anything in them. So no text of the cache is handed to a widget as a `str`.
"""

from __future__ import annotations

from rich.text import Text
from textual.content import Content

from zoocache.cli import _show

_THOUSAND, _MILLION = 1_000, 1_000_000
#: Rates below it are shown with a digit after the point.
_SMALL = 10
#: Colours that both dark and light terminals show well.
STATES = {"fresh": "green", "stale": "yellow", "changing": "magenta", "expired": "red"}


def literal(text: str, style: str = "") -> Content:
    """A text for a widget."""
    return Content.styled(_show.safe(text), style)


def lines(*parts: tuple[str, str] | str) -> Content:
    r"""Texts, some of them with a style, for a widget; `"\n"` as a text of its own begins a line."""
    styled = ((part, "") if isinstance(part, str) else part for part in parts)
    return Content.assemble(*((text if text == "\n" else _show.safe(text), style) for text, style in styled))


def cell(text: str, style: str = "", *, right: bool = False) -> Text:
    """A text for a table or a tree."""
    shown = _show.safe(text)
    return Text(shown, style, no_wrap=True, justify="right" if right else "left", overflow="ellipsis")


def end(text: str, width: int) -> str:
    """A text without its beginning, if it is too long."""
    text = _show.safe(text)
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]


def rate(value: float) -> str:
    """How often something happens in a second."""
    if 0 < value < _SMALL:
        return f"{value:.1f}"
    return number(value)


def number(value: float | None) -> str:
    """A number in a few letters."""
    if value is None:
        return "-"
    if value >= 10 * _MILLION:
        return f"{value / _MILLION:,.1f} M"
    return f"{value:,.0f}"


def brief(value: float) -> str:
    """A number beside an axis."""
    if value >= _MILLION:
        return f"{value / _MILLION:g}M"
    if value >= _THOUSAND:
        return f"{value / _THOUSAND:g}k"
    return f"{value:g}"


def percent(value: float | None) -> str:
    """A part of the whole; 100 % only if it is the whole."""
    if value is None:
        return "-"
    return f"{int(value * 1000) / 10:.1f} %"


def plural(count: int, one: str, many: str) -> str:
    """A count and of what."""
    return f"{count:,} {one if count == 1 else many}"

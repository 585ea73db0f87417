"""`Finding`: something that the doctor found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or soon will be.

    Attributes:
        code: What it is, in a word or two that programs can look for.
        level: `error`: the cache does not work, or not as it promises. `warning`: it costs something, or will.
        what: What was found, in a sentence.
        remedy: What to do about it.
    """

    code: str
    level: Literal["error", "warning"]
    what: str
    remedy: str


def bytes_text(size: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"

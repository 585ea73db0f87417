"""`Finding`: something that the doctor found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_STEP = 1024


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or soon will be.

    Attributes:
        code: What it is, in a word or two that programs can look for.
        level: `error`: the cache does not work, or not as it promises. `warning`: it costs something, or
            will.
        what: What was found, in a sentence.
        remedy: What to do about it.
    """

    code: str
    level: Literal["error", "warning"]
    what: str
    remedy: str


def bytes_text(size: float) -> str:
    """A number of bytes as people read it."""
    if size < _STEP:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= _STEP
        if size < _STEP:
            return f"{size:.1f} {unit}"
    size /= _STEP
    return f"{size:.1f} TB"

"""What a cache in a folder is compared with: LMDB without a cache around it, if it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peers import imported

if TYPE_CHECKING:
    from pathlib import Path

#: The package that LMDB is used by without a cache.
LMDB = imported("lmdb")
#: What stands where it would be measured.
MISSING = "lmdb is not installed"


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, and invalidations of each kind that another process reads after."""

    rounds: int
    turns: int


FULL, QUICK = Effort(101, 2_000), Effort(7, 50)


def opened(folder: Path) -> Any:
    """Open an environment as zoocache opens its own: never synced."""
    folder.mkdir(exist_ok=True)
    return LMDB.open(str(folder), map_size=1 << 30, sync=False)

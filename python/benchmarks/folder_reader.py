"""The other process of `rows/folder_elsewhere.py`: reads when it is told to, and says how long that took."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter_ns

from raw import LMDB, opened

from zoocache import Cache

FOLDER = Path(sys.argv[1])
#: What a computation gives; the other process sends it.
content = 0
cache = Cache(storage_url=f"lmdb://{FOLDER / 'elsewhere'}")


@cache.cacheable(deps=["shop:products"], ttl=600)
def item(_x: int) -> int:
    """Become stale, turn by turn."""
    return content


@cache.cacheable(deps=["shop:staff"], ttl=600)
def other(_x: int) -> int:
    """Stay fresh."""
    return 0


def main() -> None:
    """Answer until there are no more questions."""
    global content  # noqa: PLW0603 - the "database"
    item(5)
    other(5)
    begin_transaction = opened(FOLDER / "raw-elsewhere").begin if LMDB else None

    def raw(_x: int) -> int:
        with begin_transaction() as txn:
            return int(txn.get(b"item"))

    # Before this nothing may change: what is computed after a change is right, and does not know of it.
    print("ready", flush=True)
    calls = {"stale": item, "fresh": other, "unchanged": other, "raw": raw}
    for line in sys.stdin:
        kind, number = line.split()
        content = int(number)
        call = calls[kind]
        begin = perf_counter_ns()
        found = call(5)
        taken = perf_counter_ns() - begin
        print(taken, found == (content if kind in {"stale", "raw"} else 0), flush=True)


if __name__ == "__main__":
    main()

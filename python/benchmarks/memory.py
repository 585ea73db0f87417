"""Measures the memory cache beside its peers, prints a table, and writes docs/benchmarks/memory.md."""

from __future__ import annotations

import sys

import machine
import peers
import report
from rows import after_invalidation, coroutines, footprint, hits, invalidations, misses, stampede

PAGE = """\
# The memory cache, measured

Written by `./dev bench`. {machine}; load average {load} at the start.

{libraries}.

{table}

![Time of a hit, by library](memory-hit.png)

## How to read it

- Ours and the peers run in one process, in turn: {rounds} rounds of about 2 ms for each, in another order
  each round. Figures are medians of the rounds, with the minimum in brackets; a ratio is the median of the
  ratios within a round.
- The time of an empty loop is taken off, for all alike.
- Where a row says *added*, the time of the baseline in the same round is taken off. In "hit after
  invalidating" it is the time of `invalidate` alone. In brackets is then the difference of the minima.
- A hit that follows some other work is slower than one in a row of hits, whatever the cache: the processor
  has other things at hand. `lru_cache` at the same place, to which the invalidation means nothing, shows how
  much.
- Every library is used as its documentation shows, with a lifetime if it has one. cachetools is used without
  a lock, its faster way; the others are safe for threads as measured.
- Under "invalidate" the ratio is that of the minima, since the one was measured after the other.
- A stampede is repeated {stampedes} times. The computation waits until every caller said that it will call,
  and a little longer. The `threading.Event` shows what it costs to wake that many threads and nothing else.
- Memory is the growth of the process's resident memory over {entries} entries, each contender in a process
  of its own. The arguments exist before, and all results are `True`. The key that zoocache makes is taken
  off by its length.
- *Goal* and *met?* are empty where a figure is only shown for comparison.
"""


def main() -> None:
    """Measure, print and write everything."""
    load = machine.load()
    print(f"{machine.described()}; load average {load}\n{machine.libraries()}\n", flush=True)
    plain = hits.plain_hits()
    rows = hits.rows(plain)
    for part in (after_invalidation, coroutines, misses, invalidations, stampede, footprint):
        print(f"measuring {part.__name__.rpartition('.')[2]} ...", file=sys.stderr, flush=True)
        rows += part.rows()
    cells = [row.cells() for row in rows]
    print(report.terminal(report.HEADER, cells))
    page = PAGE.format(
        machine=machine.described(),
        load=load,
        libraries=machine.libraries(),
        table=report.markdown(report.HEADER, cells),
        rounds=misses.ROUNDS,
        stampedes=stampede.ROUNDS,
        entries=report.grouped(footprint.ENTRIES),
    )
    machine.RESULTS.mkdir(parents=True, exist_ok=True)
    (machine.RESULTS / "memory.md").write_text(page, encoding="utf-8")
    if peers.imported("matplotlib"):
        import plot  # noqa: PLC0415 - only where it can be drawn

        plot.bars(plain, "A hit with one argument, by library", machine.RESULTS / "memory-hit.png")


if __name__ == "__main__":
    main()

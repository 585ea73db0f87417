"""Measures a cache in an LMDB folder beside its parts and peers; writes docs/benchmarks/lmdb.md.

With `--rust PATH` the page also has what the Rust benchmark `lmdb` wrote with `--json PATH`. With `--quick`
it only prints, after seconds.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import machine
import report
import rust_rows
from raw import FULL, QUICK
from rows import folder_elsewhere, folder_hits, folder_writes

PAGE = """\
# A cache in an LMDB folder, measured

Written by `./dev bench`. {machine}; load average {load} at the start.

{libraries}.

## From Python

{table}

## From Rust

{rust}

## How to read it

- The folder is in {folder}, so its file system takes part in what is written. Nothing is synced, neither in
  zoocache's folder nor in raw LMDB (`NO_SYNC`): the baseline of a write is a commit of one row of 100 bytes.
- Ours and the baselines run in one process, in turn: {rounds} rounds of about 2 ms for each, in another order
  each round. Figures are medians of the rounds, with the minimum in brackets; a ratio is the median of the
  ratios within a round. In Python the time of an empty loop is taken off, for all alike.
- The *near cache* is what a process holds of the folder in its own memory. A hit in it asks whether another
  process has committed something meanwhile, which the same hit in memory need not. The baseline is the same
  function in a cache in memory. In Python it is one hot key, in Rust 10 000 keys in turn.
- A hit *from LMDB* is one without a near cache. Raw LMDB gives bytes that nobody checks; ours checks that the
  row is undamaged and of this key, judges its tags, and makes a value of it.
- An `invalidate` is a commit to the log of the folder and the reading of it. A `set` that replaces a value is
  two commits: other processes are told that theirs is old. A miss computes and stores.
- *Hit after another cache on the folder invalidated something else*: both caches are in one process, and the
  time of `invalidate` alone is taken off. On a busy machine this difference is mostly noise.
- *Another process* reads after the call that made the change has returned. In Python it is told through a
  pipe and has slept before, so whatever it does takes longer than in a loop: compare with the baseline at the
  same place. In Rust the two processes speak through shared memory without sleeping, and the clock runs while
  the other one reads: it catches up with the log, and looks for the entry. *From the return of `invalidate`*
  begins earlier: handing over is part of it, which takes longer when both share a processor. *Without a
  pause*: it often has caught up before `invalidate` returns. Each wrong answer would be a stale read, or a
  fresh value that was not found. There are {turns} turns of each kind.
- *First to open* includes looking for damage in every page of the file, which is done when nobody else has it
  open.
- *Goal* and *met?* are empty where a figure is only shown for comparison.
"""


def main() -> None:
    """Measure, print and write everything."""
    options = rust_rows.options(__doc__)
    effort = QUICK if options.quick else FULL
    load = machine.load()
    libraries = machine.libraries("lmdb", "diskcache")
    print(f"{machine.described()}; load average {load}\n{libraries}\n", flush=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-lmdb-") as folder:
        for part in (folder_hits, folder_writes, folder_elsewhere):
            print(f"measuring {part.__name__.rpartition('.')[2]} ...", file=sys.stderr, flush=True)
            rows += part.rows(Path(folder), effort)
    cells = [row.cells() for row in rows]
    print(report.terminal(report.HEADER, cells))
    if options.quick:
        return
    rust, turns = rust_rows.section("lmdb", options.rust)
    page = PAGE.format(
        machine=machine.described(),
        load=load,
        libraries=libraries,
        table=report.markdown(report.HEADER, cells),
        rust=rust,
        folder=f"`{tempfile.gettempdir()}`",
        rounds=effort.rounds,
        turns=report.grouped(effort.turns) + (f" in Python, {turns} in Rust" if turns else ""),
    )
    machine.RESULTS.mkdir(parents=True, exist_ok=True)
    (machine.RESULTS / "lmdb.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Measures a cache on a Redis server beside its parts and peers; writes docs/benchmarks/redis.md.

With `--rust PATH` the page also has what the Rust benchmark `redis` wrote with `--json PATH`. With `--quick`
it only prints, after seconds. The server is the benchmark's own: `redis-server` has to be installed.
"""

from __future__ import annotations

import sys

import machine
import report
import rust_rows
from raw import FULL, QUICK
from raw_redis import private_server
from rows import server_hits, server_together

PAGE = """\
# A cache on a Redis server, measured

Written by `./dev bench`. {machine}; load average {load} at the start.

{libraries}; redis-server {server} on the same machine, {place}.

## From Python

{table}

## From Rust

{rust}

## How to read it

- Ours and the baselines run in one process, in turn: {rounds} rounds of about 2 ms for each, in another
  order each round. Figures are medians of the rounds, with the minimum in brackets; a ratio is the median
  of the ratios within a round. In Python the time of an empty loop is taken off, for all alike.
- The server shares the processors of the machine with its clients, and there is no network: with one, both
  sides of each comparison take longer by the same, and the ratios come nearer to 1.
- The *near cache* is what a process holds in its own memory. A hit there asks nobody, as long as the server
  has told of changes within `max_staleness`.
- A hit *from Redis* is one without a near cache. A bare `GET` gives bytes that nobody checks; ours checks
  that the entry is undamaged and of this key, judges its tags, and makes a value of it. *Strong* also asks
  what has changed, in the same trip.
- *The same client* in Rust is redis-rs with one connection that a thread of its own reads and writes, as in
  the cache.
- *Together*: {tasks} tasks of one event loop read keys of their own, again and again; the time is that of
  one read. The baseline is redis-py's asyncio client with its pool.
- *From the call of invalidate to stale on another node*: {turns} invalidations, each of an entry that the
  other node has in its near cache; both nodes are in one process, and the other one looks all the time.
- *Goal* and *met?* are empty where a figure is only shown for comparison.
"""


def main() -> None:
    """Measure, print and write everything."""
    options = rust_rows.options(__doc__)
    effort = QUICK if options.quick else FULL
    load = machine.load()
    libraries = machine.libraries("redis", "hiredis")
    print(f"{machine.described()}; load average {load}\n{libraries}\n", flush=True)
    rows = []
    with private_server() as server:
        for part in (server_hits, server_together):
            print(f"measuring {part.__name__.rpartition('.')[2]} ...", file=sys.stderr, flush=True)
            rows += part.rows(server.url, effort)
    cells = [row.cells() for row in rows]
    print(report.terminal(report.HEADER, cells))
    if options.quick:
        return
    rust, turns = rust_rows.section("redis", options.rust)
    page = PAGE.format(
        machine=machine.described(),
        load=load,
        libraries=libraries,
        server=server.version,
        place="over TCP on the loopback interface",
        table=report.markdown(report.HEADER, cells),
        rust=rust,
        rounds=effort.rounds,
        tasks=server_together.TASKS,
        turns=turns or "0",
    )
    machine.RESULTS.mkdir(parents=True, exist_ok=True)
    (machine.RESULTS / "redis.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

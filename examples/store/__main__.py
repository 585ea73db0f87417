"""A shop whose pages are cached: run `python examples/store`.

Readers and writers share a SQLite database. Results are cached under tags such as
`org:1:store:2:product:42`; a write invalidates the tag of what it changed. Some thousand reads are compared
with the database; none may differ.

With `--lmdb` four processes do so, and share the cache through a folder; with `--redis` through a Redis
server: a private one, or that of `--redis URL`. With `--metrics PORT` Prometheus can watch the one in memory:
`curl http://127.0.0.1:PORT/metrics`.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import database
from catalogue import Catalogue, open_catalogue, tag
from server import redis_server
from workers import Job, work_together
from workload import AUDIT_EVERY, READERS, READS_EACH, WRITERS, Outcome

import zoocache
from zoocache.telemetry import TelemetryManager

if TYPE_CHECKING:
    from database import Database

WORKERS = 4
#: A read that asks a server each time takes longer than one of a folder.
REDIS_SHARE = 4


def main() -> int:
    """Run the shop with and without the cache, and print what happened."""
    parser = argparse.ArgumentParser(prog="store", description="a shop whose pages are cached")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--lmdb", action="store_true", help=f"share the cache among {WORKERS} processes")
    where.add_argument(
        "--redis",
        metavar="URL",
        nargs="?",
        const="",
        help=f"share the cache among {WORKERS} processes that could be machines; starts a server without URL",
    )
    where.add_argument(
        "--metrics",
        metavar="PORT",
        type=int,
        help="show metrics to Prometheus on this port, 0 for any, until a line is read from standard input",
    )
    parser.add_argument("--seed", type=int, default=42, help="what the rows and the customers depend on")
    parser.add_argument("--reads", type=int, help="how many pages each customer reads")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings: dict[str, Any] = {}
        if options.metrics is not None:
            settings = {"telemetry": watched(options.metrics)}
        if options.lmdb:
            settings = {"storage_url": f"lmdb://{folder}/cache"}
        elif options.redis is not None:
            url = options.redis or stack.enter_context(redis_server(folder / "redis"))
            # Each read asks the server: reads are compared with the database at once.
            settings = {"storage_url": url, "prefix": f"store-{folder.name}", "consistency": "strong"}
        reads = options.reads or READS_EACH // (1 if options.redis is None else REDIS_SHARE)
        return run(folder, options.seed, reads, settings)


def watched(port: int) -> TelemetryManager:
    """Let Prometheus watch the cache."""
    from zoocache.telemetry.adapters.prometheus import PrometheusAdapter  # noqa: PLC0415 - needs a package of its own

    adapter = PrometheusAdapter(port=port)
    print(f"metrics: http://127.0.0.1:{adapter.port}/metrics", flush=True)
    return TelemetryManager([adapter])


def run(folder: Path, seed: int, reads: int, settings: dict[str, Any]) -> int:
    """Run the shop; several processes share a cache that is not in memory."""
    shop = database.create(folder / "store.sqlite", seed)
    workers = WORKERS if "storage_url" in settings else 1
    processes = f"in each of {workers} processes " if settings else ""
    print(f"{shop.count():,} rows; {processes}{READERS} threads read, {WRITERS} write\n", flush=True)
    jobs = [Job(shop.path, settings, seed + worker, reads) for worker in range(workers)]
    plain, _ = work_together(jobs)
    cached, stats = work_together([replace(job, audit_every=AUDIT_EVERY * len(jobs)) for job in jobs])
    report(plain, cached, stats, asks="consistency" in settings)
    zoocache.configure(**settings)
    explain_one(shop, open_catalogue(shop, cached=True))
    if "telemetry" in settings:
        count()
        input("\npress Enter to end\n")
    zoocache.reset()
    return 1 if cached.stale_reads else 0


def report(plain: Outcome, cached: Outcome, stats: dict[str, int], *, asks: bool) -> None:
    """Print the table; `asks` says that each read asked a server."""
    lookups = stats["hits"] + stats["waits"] + stats["misses"] + stats["stale"]
    rows = {
        "reads": f"{cached.reads:,}",
        "cached calls, nested ones included": f"{lookups:,}",
        "hits": f"{stats['hits']:,} ({stats['hits'] / lookups:.1%})",
        "computations": f"{stats['computations']:,}",
        "writes, each with an invalidation": f"{cached.writes:,}",
        "values outdated while computed, not stored": f"{stats['born_stale']:,}",
        "reads compared with the database": f"{cached.audited:,}",
        "time without the cache": f"{plain.seconds:.2f} s",
        "time with the cache": f"{cached.seconds:.2f} s",
    }
    for name, value in rows.items():
        print(f"  {name:<44}{value:>18}")
    print(f"\nstale reads: {cached.stale_reads}\n")
    if asks:
        print("Each read asked the server, to be compared at once, which costs more than SQLite does on one")
        print('machine. With consistency="bounded" (the default) hot values come from local memory.\n')


def count() -> None:
    """Print what the metrics must say, too."""
    stats = zoocache.stats()
    misses = stats["misses"] + stats["stale"] + stats["expired"]
    print(
        f"\ncounted: {stats['hits']} hits, {misses} misses, {stats['invalidations']} invalidations",
        flush=True,
    )


def explain_one(shop: Database, catalogue: Catalogue) -> None:
    """Make one entry stale and ask the cache why it is."""
    location = shop.locations[0]
    catalogue.store_page(location.store)
    zoocache.invalidate(tag(location))
    explanation = zoocache.explain(catalogue.store_page, location.store)
    print("why a page is not served any more:\n")
    lines = str(explanation).splitlines()
    print("\n".join(lines[:8] + (["  …"] if len(lines) > 8 else [])))  # noqa: PLR2004 - the first few tell it


if __name__ == "__main__":
    sys.exit(main())

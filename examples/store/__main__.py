"""A shop whose pages are cached: run `python examples/store`.

Readers and writers share a SQLite database. Results are cached under tags such as
`org:1:store:2:product:42`; a write invalidates the tag of what it changed. Some thousand reads are compared
with the database; none may differ.

With `--lmdb` four processes do so, and share the cache through a folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import database
from catalogue import Catalogue, open_catalogue, tag
from workers import Job, work_together
from workload import AUDIT_EVERY, READERS, READS_EACH, WRITERS, Outcome

import zoocache

if TYPE_CHECKING:
    from database import Database

WORKERS = 4


def main() -> int:
    """Run the shop with and without the cache, and print what happened."""
    parser = argparse.ArgumentParser(prog="store", description="a shop whose pages are cached")
    parser.add_argument("--lmdb", action="store_true", help=f"share the cache among {WORKERS} processes")
    parser.add_argument("--seed", type=int, default=42, help="what the rows and the customers depend on")
    parser.add_argument(
        "--reads",
        type=int,
        default=READS_EACH,
        help="how many pages each customer reads",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shop = database.create(Path(folder) / "store.sqlite", options.seed)
        processes = f"in each of {WORKERS} processes " if options.lmdb else ""
        print(
            f"{shop.count():,} rows; {processes}{READERS} threads read, {WRITERS} write\n",
            flush=True,
        )
        storage_url = f"lmdb://{folder}/cache" if options.lmdb else None
        seeds = range(options.seed, options.seed + (WORKERS if options.lmdb else 1))
        jobs = [Job(shop.path, storage_url, seed, options.reads) for seed in seeds]
        plain, _ = work_together(jobs)
        cached, stats = work_together([replace(job, audit_every=AUDIT_EVERY * len(jobs)) for job in jobs])
        report(plain, cached, stats)
        zoocache.configure(storage_url=storage_url)
        explain_one(shop, open_catalogue(shop, cached=True))
    return 1 if cached.stale_reads else 0


def report(plain: Outcome, cached: Outcome, stats: dict[str, int]) -> None:
    """Print the table."""
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

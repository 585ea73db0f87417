"""A shop whose pages are cached: run `python examples/store`.

Readers and writers share a SQLite database. Results are cached under tags such as
`org:1:store:2:product:42`; a write invalidates the tag of what it changed. One read of twenty is compared
with the database; none may differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from catalogue import Catalogue, open_catalogue, tag
from database import Database
from workload import READERS, READS_EACH, WRITERS, Outcome, run

import zoocache


def main() -> int:
    """Run the shop with and without the cache, and print what happened."""
    parser = argparse.ArgumentParser(prog="store", description="a shop whose pages are cached")
    parser.add_argument("--seed", type=int, default=42, help="what the rows and the customers depend on")
    parser.add_argument("--reads", type=int, default=READS_EACH, help="how many pages each customer reads")
    options = parser.parse_args()
    seed, reads = options.seed, options.reads
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "store.sqlite", seed)
        print(f"{database.count():,} rows; {READERS} threads read, {WRITERS} write\n")
        plain = run(database, open_catalogue(database, cached=False), audit=False, seed=seed, reads=reads)
        catalogue = open_catalogue(database, cached=True)
        cached = run(database, catalogue, audit=True, seed=seed, reads=reads)
        report(plain, cached)
        explain_one(database, catalogue)
    return 1 if cached.stale_reads else 0


def report(plain: Outcome, cached: Outcome) -> None:
    """Print the table."""
    stats = zoocache.stats()
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


def explain_one(database: Database, catalogue: Catalogue) -> None:
    """Make one entry stale and ask the cache why it is."""
    location = database.locations[0]
    catalogue.store_page(location.store)
    zoocache.invalidate(tag(location))
    explanation = zoocache.explain(catalogue.store_page, location.store)
    print("why a page is not served any more:\n")
    lines = str(explanation).splitlines()
    print("\n".join(lines[:8] + (["  …"] if len(lines) > 8 else [])))  # noqa: PLR2004 - the first few tell it


if __name__ == "__main__":
    sys.exit(main())

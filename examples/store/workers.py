"""The same shop in several processes that share one cache."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalogue import open_catalogue
from database import Database
from workload import Outcome, run

import zoocache

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Job:
    """What one worker process does."""

    database: Path
    #: Of the cache.
    settings: dict[str, Any]
    seed: int
    reads: int
    #: After how many cached reads of a customer one is compared with the database; `None` without the cache.
    audit_every: int | None = None


def work(job: Job) -> tuple[Outcome, dict[str, int]]:
    """Run the shop in this process; returns what happened, and the cache's counters."""
    # All processes that name the same folder, or server, have one cache.
    zoocache.configure(**job.settings)
    database = Database(job.database)
    catalogue = open_catalogue(database, cached=job.audit_every is not None)
    outcome = run(
        database,
        catalogue,
        audit_every=job.audit_every or 0,
        seed=job.seed,
        reads=job.reads,
    )
    return outcome, zoocache.stats()


def work_together(jobs: list[Job]) -> tuple[Outcome, dict[str, int]]:
    """Run each job in a process of its own, all at the same time, and add up what they say."""
    if len(jobs) == 1:
        return work(jobs[0])
    with ProcessPoolExecutor(len(jobs), multiprocessing.get_context("spawn")) as processes:
        results = list(processes.map(work, jobs))
    total, counters = Outcome(), dict.fromkeys(results[0][1], 0)
    for outcome, stats in results:
        for name in ("reads", "audited", "stale_reads", "writes"):
            setattr(total, name, getattr(total, name) + getattr(outcome, name))
        total.seconds = max(total.seconds, outcome.seconds)
        counters = {name: count + stats[name] for name, count in counters.items()}
    return total, counters

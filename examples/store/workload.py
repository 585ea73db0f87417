"""Customers who read, employees who write, and an auditor who looks for stale reads."""

from __future__ import annotations

import contextlib
import fcntl
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalogue import Catalogue, open_catalogue, tag

import zoocache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from database import Database, Location

READERS, READS_EACH = 4, 12_000
WRITERS = 2
READS_PER_WRITE = 400
AUDIT_EVERY = 20


@dataclass
class Outcome:
    """What one run came to."""

    reads: int = 0
    audited: int = 0
    stale_reads: int = 0
    writes: int = 0
    seconds: float = 0.0
    errors: list[BaseException] = field(default_factory=list)


@dataclass
class Shop:
    """The database, the catalogue under test, and one without a cache to compare with."""

    database: Database
    catalogue: Catalogue
    truth: Catalogue
    #: After how many reads of a customer one is compared; 0 for none.
    audit_every: int
    outcome: Outcome = field(default_factory=Outcome)
    counting: threading.Lock = field(default_factory=threading.Lock)
    #: One permit for each write that is due; readers hand them out as they go.
    writes_due: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keep others from writing, in all processes.

        A write and its invalidation happen in this block, and so does the auditor's comparison. Nothing else
        needs it: ordinary reads run while values are computed, written and invalidated.
        """
        with Path(f"{self.database.path}.writing").open("w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def run(database: Database, catalogue: Catalogue, *, audit_every: int, seed: int, reads: int) -> Outcome:
    """Let readers and writers work at the same time, and say what happened."""
    shop = Shop(database, catalogue, open_catalogue(database, cached=False), audit_every)
    writes_each = READERS * reads // READS_PER_WRITE // WRITERS
    threads = [_thread(shop, _read, seed + n, reads) for n in range(READERS)]
    threads += [_thread(shop, _write, -seed - n, writes_each) for n in range(1, WRITERS + 1)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shop.outcome.seconds = time.perf_counter() - began
    if shop.outcome.errors:
        raise shop.outcome.errors[0]
    return shop.outcome


def _thread(shop: Shop, job: Callable[[Shop, random.Random, int], None], *arguments: int) -> threading.Thread:
    return threading.Thread(target=_guarded, args=(shop, job, *arguments))


def _guarded(shop: Shop, job: Callable[[Shop, random.Random, int], None], seed: int, times: int) -> None:
    try:
        job(shop, random.Random(seed), times)  # noqa: S311 - customers, no secret
    except BaseException as error:  # noqa: BLE001 - raised again by `run`, in the main thread
        shop.outcome.errors.append(error)
        # Nobody shall wait for a write, or for the reads before one, that will not come.
        shop.writes_due.release(1_000_000)


def _read(shop: Shop, random_: random.Random, times: int) -> None:
    audited = stale = 0
    for number in range(times):
        request = _request(shop.database, random_)
        if shop.audit_every and number % shop.audit_every == 0:
            audited += 1
            with shop.writing():
                stale += request(shop.catalogue) != request(shop.truth)
        else:
            request(shop.catalogue)
        if number % READS_PER_WRITE == 0:
            shop.writes_due.release()
    with shop.counting:
        shop.outcome.reads += times
        shop.outcome.audited += audited
        shop.outcome.stale_reads += stale


def _request(database: Database, random_: random.Random) -> Callable[[Catalogue], Any]:
    """Choose what a customer looks at: some products are more popular than others."""
    popular = int(len(database.locations) * random_.random() ** 3)
    location = database.locations[popular]
    kind = random_.random()
    if kind < 0.95:  # noqa: PLR2004 - nineteen of twenty
        return lambda catalogue: catalogue.product(location.product)
    if kind < 0.995:  # noqa: PLR2004 - and of the rest nine of ten
        return lambda catalogue: catalogue.store_page(location.store)
    return lambda catalogue: catalogue.organization_report(location.organization)


def _write(shop: Shop, random_: random.Random, times: int) -> None:
    for _ in range(times):
        shop.writes_due.acquire()
        with shop.writing():
            _change(shop.database, random_.choice(shop.database.locations), random_)
        with shop.counting:
            shop.outcome.writes += 1


def _change(database: Database, location: Location, random_: random.Random) -> None:
    """Change a row, commit, and then say what changed. Nobody lists keys."""
    kind = random_.random()
    if kind < 0.5:  # noqa: PLR2004 - half of them
        database.write(
            "UPDATE product SET cents = ? WHERE id = ?",
            random_.randint(99, 99_999),
            location.product,
        )
        zoocache.invalidate(tag(location))
    elif kind < 0.9:  # noqa: PLR2004 - most of the others
        database.write(
            "INSERT INTO review (product, stars) VALUES (?, ?)",
            location.product,
            random_.randint(1, 5),
        )
        zoocache.invalidate(f"reviews:{location.product}")
    else:
        database.write("UPDATE product SET cents = cents * 0.9 WHERE store = ?", location.store)
        zoocache.invalidate(f"org:{location.organization}:store:{location.store}")

"""Many threads and tasks at once, against a truth that knows which answer is too old."""

import asyncio
import random
import sys
import threading

import pytest
from helpers import Running
from storages import Prefixes

from zoocache import add_deps, cacheable, configure, invalidate, stats

KEYS = 12
READERS = 3
READS = 3000


class Truth:
    """Versions that only rise: `told` are those whose invalidation has returned."""

    def __init__(self):
        self.lock = threading.Lock()
        self.version = [0] * KEYS
        self.told = [0] * KEYS

    def change(self, keys, *tags):
        with self.lock:
            versions = []
            for key in keys:
                self.version[key] += 1
                versions.append(self.version[key])
        invalidate(*tags)
        with self.lock:
            for key, version in zip(keys, versions, strict=True):
                self.told[key] = max(self.told[key], version)


@pytest.fixture(autouse=True)
def _many_switches():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(interval)


class Shop:
    """Cached functions over a truth: a leaf for each key, one that finds its tags late, two aggregates."""

    def __init__(self, truth, seed):
        self.truth, self.random = truth, random.Random(seed)

        @cacheable(deps=lambda key: [f"shop:{key % 3}:item:{key}"])
        def item(key):
            return truth.version[key]

        @cacheable
        def late(key):
            value = truth.version[key]
            add_deps([f"shop:{key % 3}:item:{key}"])
            return value

        @cacheable(deps=lambda part: [f"shop:{part}:*"])
        def part_total(part):
            return sum(truth.version[part::3])

        @cacheable
        def total():
            return sum(map(item, range(KEYS)))

        @cacheable(deps=lambda key: [f"shop:{key % 3}:item:{key}"])
        async def item_async(key):
            value = truth.version[key]
            await asyncio.sleep(0)
            return value

        @cacheable
        async def total_async():
            return sum(await asyncio.gather(*map(item_async, range(KEYS))))

        self.item, self.late, self.part_total, self.total = item, late, part_total, total
        self.item_async, self.total_async = item_async, total_async

    def read(self, choice):
        """Read something; it must not be older than what was told before."""
        told, key = self.truth.told, choice.randrange(KEYS)
        kind = choice.random()
        if kind < 0.5:
            least, value = told[key], self.item(key)
        elif kind < 0.7:
            least, value = told[key], self.late(key)
        elif kind < 0.9:
            least, value = sum(told[key % 3 :: 3]), self.part_total(key % 3)
        else:
            least, value = sum(told), self.total()
        assert value >= least, f"stale: {value} instead of at least {least}"

    async def read_async(self, choice):
        told, key = self.truth.told, choice.randrange(KEYS)
        if choice.random() < 0.8:
            least, value = told[key], await self.item_async(key)
        else:
            least, value = sum(told), await self.total_async()
        assert value >= least, f"stale: {value} instead of at least {least}"

    def change(self):
        """Change something, and invalidate it by one of the tags that cover it."""
        key = self.random.randrange(KEYS)
        part, kind = key % 3, self.random.random()
        if kind < 0.7:
            self.truth.change([key], f"shop:{part}:item:{key}")
        elif kind < 0.8:
            self.truth.change(list(range(part, KEYS, 3)), f"shop:{part}")
        elif kind < 0.85:
            self.truth.change(list(range(part, KEYS, 3)), f"shop:{part}:item:*")
        elif kind < 0.9:
            self.truth.change(list(range(KEYS)), "shop")
        else:
            keys = self.random.sample(range(KEYS), 2)
            self.truth.change(keys, *(f"shop:{key % 3}:item:{key}" for key in keys))

    def change_until(self, stop):
        while not stop.is_set():
            self.change()
            stop.wait(0.0005)

    def read_often(self, seed):
        choice = random.Random(seed)
        for _ in range(READS):
            self.read(choice)

    def read_in_tasks(self, seed):
        async def task(number):
            choice = random.Random(f"{seed} {number}")
            for count in range(READS // 10):
                await self.read_async(choice)
                if count % 10 == 0:
                    await asyncio.sleep(0)

        async def main():
            await asyncio.gather(*map(task, range(5)))

        asyncio.run(main())


def finish(readers, writers, stop):
    try:
        for reader in readers:
            reader.result()
    finally:
        stop.set()
    for writer in writers:
        writer.result()


def hit_rate():
    counts = stats()
    return counts["hits"] / (counts["hits"] + counts["misses"] + counts["stale"])


@pytest.mark.parametrize("limit", [None, 8], ids=["roomy", "crowded"])
def test_threads_never_see_what_was_invalidated(limit, request):
    configure(max_entries=limit)
    shop, stop = Shop(Truth(), 1), threading.Event()
    writers = [Running(shop.change_until, stop) for _ in range(2)]
    readers = [Running(shop.read_often, seed) for seed in range(READERS)]
    finish(readers, writers, stop)
    if limit is None:
        # Storing on a server takes longer than until the next invalidation.
        assert hit_rate() > (0.01 if isinstance(request.config.storage, Prefixes) else 0.3)


def test_tasks_and_threads_never_see_what_was_invalidated():
    shop, stop = Shop(Truth(), 2), threading.Event()
    writers = [Running(shop.change_until, stop)]
    readers = [Running(shop.read_often, 1)]
    readers += [Running(shop.read_in_tasks, seed) for seed in range(2)]
    finish(readers, writers, stop)
    assert hit_rate() > 0.3


def test_when_changes_end_everything_is_a_hit():
    shop, stop = Shop(Truth(), 3), threading.Event()
    writers = [Running(shop.change_until, stop) for _ in range(2)]
    finish([Running(shop.read_often, 1)], writers, stop)
    for _ in range(2):
        assert [shop.item(key) for key in range(KEYS)] == shop.truth.version
        assert shop.total() == sum(shop.truth.version)
    before = shop.item.stats()["hits"]
    assert [shop.item(key) for key in range(KEYS)] == shop.truth.version
    assert shop.item.stats()["hits"] == before + KEYS


def test_later_hits_are_never_older():
    shop, stop = Shop(Truth(), 4), threading.Event()

    def read():
        newest = [0] * KEYS
        choice = random.Random(5)
        for _ in range(READS):
            key = choice.randrange(KEYS)
            value = shop.item(key)
            assert value >= newest[key]
            newest[key] = value

    writers = [Running(shop.change_until, stop)]
    finish([Running(read) for _ in range(READERS)], writers, stop)

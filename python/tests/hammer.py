"""Readers and writers that hammer an application over HTTP, and compare each answer with what was written.

A write counts from the moment its answer arrived: a read that begins later and shows less is stale. A read
may show a write that is on its way.
"""

import asyncio
import itertools
import random
from collections import defaultdict

import httpx

READERS, WRITERS = 24, 3


class Truth:
    """What was written to each key: numbered versions and what they hold."""

    def __init__(self):
        self._held = defaultdict(dict)
        self._acknowledged = defaultdict(int)
        self._order = defaultdict(asyncio.Lock)

    def order(self, key):
        """One writer of a key at a time: then versions have an order that is known here."""
        return self._order[key]

    def note(self, key, version, value):
        self._held[key][version] = value

    def acknowledge(self, key, version):
        self._acknowledged[key] = version

    def latest(self):
        return dict(self._acknowledged)

    def judge(self, answered, least):
        """Compare `{key: (version, value)}` with what it must be at least; returns what is stale or wrong."""
        found = []
        for key, (version, value) in answered.items():
            if version < least.get(key, 0):
                found.append(f"{key}: version {version} after {least[key]} was acknowledged")
            elif self._held[key].get(version) != value:
                found.append(f"{key}: version {version} holds {self._held[key].get(version)}, not {value}")
        return found


class Hammer:
    """An application under load.

    Args:
        url: Where it is.
        read: `await read(client, key)` asks for something; returns `{key: (version, value)}`.
        write: `await write(client, key, value)` changes something; returns the new version.
        keys: What there is.
    """

    def __init__(self, url, read, write, keys):
        self._url, self._read, self._write, self._keys = url, read, write, list(keys)
        self._truth = Truth()
        self.stale, self.reads, self.writes = [], 0, 0

    def run(self, reads=3000, seed=1):
        asyncio.run(self._run(reads, seed))
        return self

    async def _run(self, reads, seed):
        limits = httpx.Limits(max_connections=READERS + WRITERS)
        async with httpx.AsyncClient(base_url=self._url, limits=limits, timeout=60) as client:
            for key in self._keys:
                await self._change(client, key, f"first {key}")
            left = itertools.count(reads, -1)
            readers = [
                self._reader(client, random.Random(f"{seed} {number}"), left) for number in range(READERS)
            ]
            writing = asyncio.gather(
                *(self._writer(client, random.Random(-number)) for number in range(WRITERS))
            )
            await asyncio.gather(*readers)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _reader(self, client, dice, left):
        # The popular ones are read more often, so that most reads are hits.
        while next(left) > 0:
            key = self._keys[min(int(dice.expovariate(0.3)), len(self._keys) - 1)]
            least = self._truth.latest()
            answered = await self._read(client, key)
            self.reads += 1
            self.stale += self._truth.judge(answered, least)

    async def _writer(self, client, dice):
        for number in itertools.count():
            await self._change(client, dice.choice(self._keys), f"{number} {dice.random()}")
            await asyncio.sleep(dice.random() * 0.02)

    async def _change(self, client, key, value):
        async with self._truth.order(key):
            # Who is cancelled would leave a change of which nobody knows.
            await asyncio.shield(self._acknowledged(client, key, value))

    async def _acknowledged(self, client, key, value):
        version = self._truth.latest().get(key, 0) + 1
        # Before it is sent: a read may show it as soon as it is committed.
        self._truth.note(key, version, value)
        told = await self._write(client, key, value)
        assert told == version, f"{key} is at {told}, not {version}"
        self._truth.acknowledge(key, version)
        self.writes += 1


def all_at_once(url, path, count, **options):
    """Make so many requests for one path at once; returns the answers."""

    async def run():
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
            return await asyncio.gather(*(client.get(path, **options) for _ in range(count)))

    return asyncio.run(run())

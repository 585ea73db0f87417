"""A worker in Python: started by `host-native/tests/processes`, which describes and checks the run.

`worker.py worker FOLDER HISTORY READS SEED PLACE`, or, after all others have ended,
`worker.py last FOLDER HISTORY`.
"""

import asyncio
import fcntl
import logging
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path

import cached
from history import ASYNC, CHANGE, KEYS, PLAIN, TAGS, WORKERS, At, History, Kind, Truth, now_ns

import zoocache

#: Reads and writes of a forked child.
CHILD_STEPS = 200


class Worker:
    def __init__(self, folder, history, reads, place, *, is_last=False):
        self.folder = folder
        self.place = place
        self.left = reads
        self.is_last = is_last
        self.child = None
        self.begin(History(history))

    def begin(self, history):
        self.history = history
        self.truth = Truth(self.folder / "truth")
        self.computing = cached.Computing(self.truth, history, varies=not self.is_last)
        cached.begin(self.computing)

    def complain(self, what):
        sys.stderr.write(f"{what}\n")
        self.history.record(Kind.ERROR, now_ns(), PLAIN)

    def took(self, about, from_ns, flying, value):
        """Record a read, of what was there before the call or not."""
        self.computing.landed(about, value)
        is_hit = value[1] < from_ns and value[0] not in flying
        self.history.record(Kind.HIT if is_hit else Kind.COMPUTED, from_ns, about, value=value)
        self.left -= 1
        return is_hit

    def read(self, key, rng=None):
        function, args = cached.call_of(PLAIN, key)
        about, value = PLAIN + key, None
        before = now_ns(), self.computing.flying(about)
        if rng is not None and rng.random() < 0.2:
            value = zoocache.get(function.key(*args))
        return self.took(about, *before, function(*args) if value is None else value)

    async def read_async(self, key):
        function, args = cached.call_of(ASYNC, key)
        about = ASYNC + key
        before = now_ns(), self.computing.flying(about)
        return self.took(about, *before, await function(*args))

    def read_many(self, rng):
        tags = [rng.randrange(TAGS) for _ in range(3)]
        from_ns = now_ns()
        flying = [self.computing.flying(PLAIN + tag) for tag in tags]
        values = cached.leaf.many([(tag,) for tag in tags])
        for tag, flew, value in zip(tags, flying, values, strict=True):
            self.took(PLAIN + tag, from_ns, flew, value)

    def read_put(self, place):
        from_ns = now_ns()
        value = zoocache.get(cached.name_of_put(place))
        if value is not None:
            self.history.record(Kind.HIT, from_ns, PLAIN + KEYS + place, value=value)

    def put(self):
        from_ns, value = now_ns(), cached.made()
        zoocache.set(cached.name_of_put(self.place), value, deps=[f"t:{self.place % TAGS}"])
        self.history.record(Kind.PUT, from_ns, PLAIN + KEYS + self.place, value=value)

    def delete_put(self):
        from_ns = now_ns()
        zoocache.delete(cached.name_of_put(self.place))
        self.history.record(Kind.DELETED, from_ns, PLAIN + KEYS + self.place)

    def delete(self, rng):
        base, key = rng.choice((PLAIN, ASYNC)), rng.choice(cached.CONTESTED)
        function, args = cached.call_of(base, key)
        from_ns = now_ns()
        if rng.random() < 0.5:
            function.invalidate(*args)
        else:
            zoocache.delete(function.key(*args))
        self.history.record(Kind.DELETED, from_ns, base + key)

    def refresh(self, rng):
        key = rng.choice(cached.CONTESTED)
        function, args = cached.call_of(PLAIN, key)
        self.computing.landed(PLAIN + key, function.refresh(*args))

    def write(self, tags):
        from_ns = now_ns()
        versions = {tag: self.truth.increase(tag) for tag in tags}
        self.history.die_sometimes(At.INVALIDATION, 1_000)
        if len(tags) == 1:
            zoocache.invalidate(f"t:{tags[0]}")
        else:
            with zoocache.invalidation_batch():
                for tag in tags:
                    zoocache.invalidate(f"t:{tag}")
        for tag, version in versions.items():
            self.history.record(Kind.PROMISED, from_ns, tag, version)

    def change(self, tag):
        from_ns = now_ns()
        self.history.record(Kind.CHANGING, from_ns, tag)
        with zoocache.changing(f"t:{tag}", timeout=CHANGE):
            is_slow = random.randrange(8) == 0
            if is_slow:
                # Meanwhile others read what is about to change; some would store it after the deadline.
                time.sleep(0.02)
            version = self.change_inside(from_ns, tag, 5 if is_slow else 100)
        self.changed(from_ns, tag, version)

    async def change_async(self, tag):
        from_ns = now_ns()
        self.history.record(Kind.CHANGING, from_ns, tag)
        async with zoocache.changing(f"t:{tag}", timeout=CHANGE):
            version = self.change_inside(from_ns, tag, 100)
            await asyncio.sleep(0.001)
        self.changed(from_ns, tag, version)

    def change_inside(self, from_ns, tag, dies_one_in):
        version = self.truth.increase(tag)
        # The promise begins before the change is settled, and holds if it never is.
        if now_ns() - from_ns < CHANGE * 1e9:
            self.history.record(Kind.PROMISED, from_ns, tag, version)
        self.history.die_sometimes(At.CHANGE, dies_one_in)
        return version

    def changed(self, from_ns, tag, version):
        self.history.record(Kind.PROMISED, from_ns, tag, version)
        self.history.record(Kind.CHANGED, from_ns, tag)

    def step(self, rng, *, is_first):
        """Do something. One thread puts under a key, so it is clear which of two values is the newer one."""
        tag, dice = rng.randrange(TAGS), rng.randrange(1_000)
        if dice < 20:
            self.write([tag] if dice < 15 else [tag, (tag + 3) % TAGS])
        elif dice < 24:
            self.change(tag)
        elif dice < 50 and is_first:
            self.put()
        elif dice < 54 and is_first:
            self.delete_put()
        elif dice < 58:
            self.delete(rng)
        elif dice < 70:
            self.refresh(rng)
        elif dice < 150:
            self.read_put(rng.randrange(WORKERS))
        elif dice < 170:
            self.read_many(rng)
        else:
            self.read(_key(rng), rng)

    def run(self, seed, *, is_first):
        rng = random.Random(seed)
        while self.left > 0:
            self.step(rng, is_first=is_first)
            if is_first and rng.randrange(2_000) == 0:
                self.fork(rng)
            if rng.randrange(4_000) == 0:
                zoocache.prune(0.5)

    def run_loops(self, seed):
        rng = random.Random(seed)
        while self.left > 0:
            asyncio.run(self.loop(rng))

    async def loop(self, rng):
        for _ in range(rng.randrange(100)):
            tasks = [self.read_async(_key(rng)) for _ in range(rng.randrange(1, 8))]
            if rng.randrange(40) == 0:
                tasks.append(self.change_async(rng.randrange(TAGS)))
            await asyncio.gather(*tasks)

    def fork(self, rng):
        """Let a child go on beside this process, for a while and with a history of its own."""
        self.reap(os.WNOHANG)
        if self.child is not None:
            return
        seed = rng.random()
        with self.truth.writing:
            self.child = os.fork()
        if self.child == 0:
            code = 1
            try:
                signal.alarm(60)
                self.be_child(seed)
                code = 0
            except BaseException:  # noqa: BLE001 - it must end here
                traceback.print_exc()
            finally:
                os._exit(code)

    def be_child(self, seed):
        self.begin(History(f"{self.history.path}-child-{os.getpid()}"))
        rng = random.Random(seed)
        random.seed(seed)
        for _ in range(CHILD_STEPS):
            self.step(rng, is_first=False)

    def reap(self, options):
        if self.child is None:
            return
        pid, status = os.waitpid(self.child, options)
        if pid:
            self.child = None
            if os.waitstatus_to_exitcode(status) not in {0, -signal.SIGKILL}:
                self.complain(f"a child ended with {os.waitstatus_to_exitcode(status)}")


class Troubles(logging.Handler):
    """Whatever the cache complains of is an error here."""

    def __init__(self, worker):
        super().__init__(logging.WARNING)
        self._worker = worker

    def emit(self, record):
        self._worker.complain(record.getMessage())


def _key(rng):
    return min(rng.randrange(KEYS), rng.randrange(KEYS))


def configure(worker):
    """Most have a near cache, one has a small one, and one has none."""
    logging.getLogger("zoocache").addHandler(Troubles(worker))
    near = {5: {"lru_cache_size": 4}, 7: {"near_cache": False}}.get(worker.place, {})
    zoocache.configure(storage_url=f"lmdb://{worker.folder / 'cache'}", tti_flush_secs=0.01, **near)


def work(folder, history, reads, seed, place):
    # Held by this process and what it forks, until the last of them ends.
    running = os.open(folder / "running", os.O_RDONLY)
    fcntl.flock(running, fcntl.LOCK_SH)
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: wanted here
    sys.setswitchinterval(0.0005)
    random.seed(seed)
    worker = Worker(folder, history, reads, place)
    configure(worker)

    def guarded(run, *args, **kwargs):
        try:
            run(*args, **kwargs)
        except BaseException:  # noqa: BLE001 - whatever it is
            worker.complain(traceback.format_exc())
            worker.left = 0

    threads = [
        threading.Thread(target=guarded, args=(worker.run, seed * 3), kwargs={"is_first": True}),
        threading.Thread(target=guarded, args=(worker.run, seed * 3 + 1), kwargs={"is_first": False}),
        threading.Thread(target=guarded, args=(worker.run_loops, seed * 3 + 2)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    worker.reap(0)


def look(folder, history):
    """Read everything twice: nothing is invalidated any more, so the second time it is a hit."""
    worker = Worker(folder, history, 0, 0, is_last=True)
    configure(worker)
    for key in range(KEYS):
        for base, read in ((PLAIN, worker.read), (ASYNC, lambda key: asyncio.run(worker.read_async(key)))):
            read(key)
            if not read(key):
                worker.history.record(Kind.REFUSED, now_ns(), base + key)
    for place in range(WORKERS):
        worker.read_put(place)


if __name__ == "__main__":
    what, at, path, *numbers = sys.argv[1:]
    if what == "worker":
        work(Path(at), path, *map(int, numbers))
    else:
        look(Path(at), path)

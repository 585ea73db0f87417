"""The functions that the workers cache: each returns what versions of the tags it saw, and when."""

import asyncio
import collections
import contextlib
import random
import threading
import time

from history import ABSENT, ASYNC, CHANGE, KEYS, NO_VALUE, PLAIN, TAGS, At, Kind, now_ns

from zoocache import add_deps, cacheable

#: Keys that are also deleted and refreshed: whose flights may be forgotten, so that computations overlap.
CONTESTED = (1, KEYS - 1)


#: Seconds; longer than any mark stands.
SLOW = CHANGE + 0.05


class Computing:
    """What this process computes now; each key at most once at a time."""

    def __init__(self, truth, history, *, varies=True):
        self.truth = truth
        self.history = history
        self.varies = varies
        self._lock = threading.Lock()
        self._keys = set()
        self._flying = collections.defaultdict(set)

    @contextlib.contextmanager
    def key(self, base, key):
        about, began_ns = base + key, now_ns()
        with self._lock:
            is_alone = about not in self._keys
            self._keys.add(about)
            self._flying[about].add(began_ns)
        if not is_alone and key not in CONTESTED:
            self.history.record(Kind.OVERLAPPED, now_ns(), about)
        try:
            yield began_ns
            if self.varies:
                self.history.die_sometimes(At.COMPUTATION, 3_000)
        finally:
            with self._lock:
                self._keys.discard(about)

    def flying(self, about):
        """Tell when the values began that were computed here, and that no call has returned yet.

        Who gets one of these joined its flight: that is no hit, even if the computation had ended before.
        """
        with self._lock:
            return frozenset(self._flying[about])

    def landed(self, about, value):
        """Note that a call has returned the value, so its flight is over."""
        with self._lock:
            self._flying[about].discard(value[0])
        return value


class _Now:
    #: Set by the worker, and anew in what it forks.
    computing = None


def begin(computing):
    _Now.computing = computing


def call_of(base, key):
    """Tell the function and the arguments of a key."""
    leaf, both, everything = _FUNCTIONS[base]
    if key < TAGS:
        return leaf, (key,)
    return (both, (key - TAGS,)) if key < 2 * TAGS else (everything, ())


def _value(began_ns, versions):
    return began_ns, now_ns(), tuple(versions.get(tag, ABSENT) for tag in range(TAGS))


def _is_slow():
    return _Now.computing.varies and random.randrange(1_500) == 0


def _sum(began_ns, leaves):
    return _value(began_ns, {tag: value[2][tag] for tag, value in leaves.items()})


def _read(began_ns, tag):
    add_deps([f"t:{tag}"])
    return _value(began_ns, {tag: _Now.computing.truth.read(tag)})


def _read_all(began_ns):
    versions = {tag: _Now.computing.truth.read(tag) for tag in range(TAGS)}
    # Late: what was invalidated since the beginning counts all the same.
    add_deps(["t:*"])
    return _value(began_ns, versions)


@cacheable
def leaf(tag):
    with _Now.computing.key(PLAIN, tag) as began_ns:
        value = _read(began_ns, tag)
        if _is_slow():
            time.sleep(SLOW)
        return value


@cacheable
def both(tag):
    with _Now.computing.key(PLAIN, TAGS + tag) as began_ns:
        two = (tag, (tag + 1) % TAGS)
        return _sum(began_ns, {one: _Now.computing.landed(PLAIN + one, leaf(one)) for one in two})


@cacheable
def everything():
    with _Now.computing.key(PLAIN, 2 * TAGS) as began_ns:
        return _read_all(began_ns)


@cacheable
async def leaf_async(tag):
    with _Now.computing.key(ASYNC, tag) as began_ns:
        value = _read(began_ns, tag)
        await asyncio.sleep(SLOW if _is_slow() else 0)
        return value


@cacheable
async def both_async(tag):
    with _Now.computing.key(ASYNC, TAGS + tag) as began_ns:
        two = (tag, (tag + 1) % TAGS)
        values = dict(zip(two, await asyncio.gather(*map(leaf_async, two)), strict=True))
        return _sum(
            began_ns, {one: _Now.computing.landed(ASYNC + one, value) for one, value in values.items()}
        )


@cacheable
async def everything_async():
    with _Now.computing.key(ASYNC, 2 * TAGS) as began_ns:
        await asyncio.sleep(0.001)
        return _read_all(began_ns)


_FUNCTIONS = {PLAIN: (leaf, both, everything), ASYNC: (leaf_async, both_async, everything_async)}


def name_of_put(place):
    return f"put:{place}"


def made():
    """Make a value that depends on nothing but when it was made."""
    return now_ns(), now_ns(), NO_VALUE[2]

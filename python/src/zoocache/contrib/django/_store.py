"""The entries of one place, of which a process has one `Store`, whatever aliases and threads use it."""

from __future__ import annotations

import contextlib
import contextvars
import os
import secrets
import threading
import time
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import zoocache
from zoocache.context import DepsTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    #: What makes an entry: what is stored, and for how many seconds (`None` for ever).
    Make = Callable[[], "tuple[Any, float | None]"]

#: Stands for an entry that is not there.
MISSING = object()

_FOR_EVER = timedelta(days=36_500)
#: `early_refresh` makes each lifetime an age, in the application's default cache, too. So small, it does
#: nothing else.
_NO_EARLY_REFRESH = 1e-12
_NAMESPACE = "zoocache.contrib.django"
#: Before the key of what tells processes that one of them changes an entry.
_LOCK = "\0lock\0"
#: In seconds: how long a process that was killed keeps others from it, and how often they look.
_LONGEST_LOCK, _POLL = 10, 0.001
#: How often `add` tries again, if others get in its way.
_ATTEMPTS = 10


class Store:
    """Entries under texts, each with a lifetime and tags.

    All of them belong to one cached function, so that what is computed for an entry is computed once, and an
    invalidation that lands meanwhile is not missed.

    Args:
        cache: A `zoocache.Cache`, or the module `zoocache` for the default one.
        is_shared: Whether other processes may use it, too.
    """

    def __init__(self, cache: Any, *, is_shared: bool) -> None:
        self.cache = cache
        self._is_shared = is_shared
        self._is_default = cache is zoocache
        self.renew_locks()
        _known.add(self)
        self._slot = _entry_function(cache)

    @property
    def tag(self) -> str:
        """What `clear` invalidates: all entries depend on it."""
        return str(self._slot.tag)

    def renew_locks(self) -> None:
        """Make locks that nobody holds: after a fork, the threads that held the old ones are not there."""
        self._locks = tuple(threading.Lock() for _ in range(64))

    def get(self, key: str) -> Any:
        """Return what is stored under `key`, or `MISSING`."""
        return _bare(self.cache.get(self._slot.key(key), MISSING))

    async def aget(self, key: str) -> Any:
        """Do what `get` does."""
        return _bare(await self.cache.get_async(self._slot.key(key), MISSING))

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return what is stored under those of `keys` that are there."""
        names = {self._slot.key(key): key for key in keys}
        return {names[name]: _bare(found) for name, found in self.cache.get_many(list(names)).items()}

    async def aget_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Do what `get_many` does."""
        names = {self._slot.key(key): key for key in keys}
        found = await self.cache.get_many_async(list(names))
        return {names[name]: _bare(stored) for name, stored in found.items()}

    def put(self, items: Mapping[str, Any], timeout: float | None, tags: Iterable[str]) -> None:
        """Store what is computed as of now."""
        deps = list(tags)
        if timeout is not None and timeout <= 0:
            for key in items:
                self.delete(key)
        elif self._is_default:
            # Each hit may prolong what the cache's own `set` stores.
            for key, value in items.items():
                _outside(self._slot.refresh, key, _constant(value, timeout, deps))
        else:
            named = {self._slot.key(key): value for key, value in items.items()}
            deps.append(self._slot.tag)
            if len(named) == 1:
                # The usual case, in which this is faster.
                self.cache.set(*named.popitem(), deps=deps, ttl=_duration(timeout))
            else:
                self.cache.set_many(named, deps=deps, ttl=_duration(timeout))

    def add(self, key: str, value: Any, timeout: float | None, tags: Iterable[str]) -> bool:
        """Store if nothing is there; returns whether it was not."""
        # What is added is told from what others add.
        own, deps = (secrets.token_hex(8), value), list(tags)
        for _ in range(_ATTEMPTS):
            make = _Once(_constant(own, timeout, deps))
            self._find_or_make(key, make)
            if not make.was_called:
                return False
            if timeout is not None and timeout <= 0:
                return True
            # Who has waited for two others makes a value that may not be stored, as another's was.
            found = self.cache.get(self._slot.key(key), MISSING)
            if found is not MISSING:
                return type(found) is tuple and found[0] == own[0]
        return True

    def _find_or_make(self, key: str, make: _Once) -> None:
        attempt = 0
        while not self._found_or_made(key, make):
            attempt += 1
            if attempt == _ATTEMPTS:
                self._slot(key, make)
                return

    def _found_or_made(self, key: str, make: _Once) -> bool:
        """Whether nothing went wrong with a computation of another, which says nothing of this one."""
        try:
            self._slot(key, make)
        except RecursionError:
            raise
        except Exception:
            if make.was_called:
                raise
            return False
        return True

    def get_or_make(self, key: str, make: Make) -> Any:
        """Return what is stored under `key`, or make it: once at a time."""
        return _bare(self._slot(key, make))

    def make(self, key: str, make: Make) -> Any:
        """Make an entry anew, whatever is there."""
        return _bare(self._slot.refresh(key, make))

    def rewrite(self, key: str, change: Callable[[Any], Any], timeout: object) -> Any:
        """Replace what is stored by what `change` makes of it; the tags stay.

        Args:
            key: The key.
            change: Takes what is stored and returns what is to be.
            timeout: The new lifetime in seconds; `MISSING` leaves what remains of the old one.

        Returns:
            What `change` returned, or `MISSING` if nothing is there.
        """
        return _outside(self._rewrite, key, change, timeout)

    def _rewrite(self, key: str, change: Callable[[Any], Any], timeout: object) -> Any:
        if self.get(key) is MISSING:
            return MISSING
        with self._alone(key):
            try:
                # A computation that begins before the entry is read: it is not kept if its tags are
                # invalidated meanwhile.
                return self._slot.refresh(key, lambda: self._changed(key, change, timeout))
            except _NotThereError:
                return MISSING

    def move(self, key: str, to: str, timeout: float | None) -> bool:
        """Store under another key what is under this one; returns whether it was there."""
        return bool(_outside(self._move, key, to, timeout))

    def _move(self, key: str, to: str, timeout: float | None) -> bool:
        if self.get(key) is MISSING:
            return False
        try:
            self._slot.refresh(to, lambda: self._changed(key, lambda value: value, timeout))
        except _NotThereError:
            return False
        self.delete(key)
        return True

    def delete(self, key: str) -> bool:
        """Remove an entry; returns whether it was there."""
        return bool(self._slot.invalidate(key))

    def clear(self) -> None:
        """Remove everything; of the application's default cache, what Django has stored in it."""
        if self._is_default:
            self.cache.invalidate(self._slot.tag)
        else:
            self.cache.clear()

    def close(self) -> None:
        """Let go of a folder or server; memory, and the application's default cache, stay."""
        if self._is_shared and not self._is_default:
            self.cache.close()

    def name(self, key: str) -> str:
        """Return the key by which `explain` knows the entry."""
        return str(self._slot.key(key))

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Make a block that no other thread, and no other process, enters for the same key."""
        with self._locks[hash(key) % len(self._locks)]:
            if not self._is_shared:
                yield
                return
            mark = f"{_LOCK}{key}"
            while not self.add(mark, None, _LONGEST_LOCK, ()):
                time.sleep(_POLL)
            try:
                yield
            finally:
                self.delete(mark)

    def _changed(self, key: str, change: Callable[[Any], Any], timeout: object) -> tuple[Any, Any]:
        # Outside of the computation that is running, since the old lifetime would bound the new one.
        value, tags, remaining = _outside(self._read, key)
        if value is MISSING:
            raise _NotThereError
        zoocache.add_deps(tags)
        return change(value), remaining if timeout is MISSING else timeout

    def _read(self, key: str) -> tuple[Any, Iterable[str], float | None]:
        name = self._slot.key(key)
        with DepsTracker() as tracker:
            value = self.cache.get(name, MISSING)
        return _bare(value), tracker.deps, self.cache.explain(name).expires_in


_known: weakref.WeakSet[Store] = weakref.WeakSet()


def _after_fork() -> None:
    for store in _known:
        store.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _NotThereError(Exception):
    """What ends the rewriting of an entry that is not there."""


class _Once:
    """A `Make` that tells whether it was called."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self.was_called = False

    def __call__(self) -> tuple[Any, float | None]:
        self.was_called = True
        return self._make()


def _entry_function(cache: Any) -> Any:
    lifetime = threading.local()

    # The lifetime is asked for in the same thread, right after the computation.
    @cache.cacheable(
        namespace=_NAMESPACE,
        key=_key,
        ttl=lambda _value: lifetime.duration,
        early_refresh=_NO_EARLY_REFRESH,
        cluster_lock=True,
        copy="share",
    )
    def entry(key: str, make: Make | None = None) -> Any:  # noqa: ARG001 - the key of the call
        assert make is not None  # noqa: S101 - for type checkers
        value, timeout = make()
        lifetime.duration = _duration(timeout)
        return value

    return entry


def _outside(function: Callable[..., Any], *args: Any) -> Any:
    """Do something of which a computation that is running is to know nothing: it is no part of its result."""
    return contextvars.Context().run(function, *args)


def _bare(stored: Any) -> Any:
    """What was given to be stored; what `add` stores has a mark of its own."""
    return stored[1] if type(stored) is tuple else stored


def _key(key: str) -> str:
    return key


def _duration(timeout: float | None) -> float | timedelta:
    if timeout is None:
        return _FOR_EVER
    return max(timeout, 0)


def _constant(value: Any, timeout: float | None, tags: list[str]) -> Make:
    def make() -> tuple[Any, float | None]:
        zoocache.add_deps(tags)
        return value, timeout

    return make

"""The inspector of a cache that is open in this process, be it only to look at a place of others."""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zoocache import _native
from zoocache._errors import StorageError, Unsent
from zoocache._explain import explain
from zoocache.inspect import _activity, _processes
from zoocache.inspect._base import Inspector
from zoocache.inspect._plain import plain
from zoocache.inspect._recent import Recent
from zoocache.inspect._server import Server
from zoocache.inspect.records import (
    STATES,
    Activity,
    Branch,
    Entry,
    Explanation,
    Invalidation,
    Node,
    Page,
    State,
    Stats,
    Value,
    moment,
    utc,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zoocache._cache import Cache

#: Beyond every position.
_END = 2**53 - 1
#: Seconds that `prune` may take.
_LONGEST_PRUNE = 60
#: Rows that one sweep of a folder or server looks at, at least.
_SWEPT_ROWS = 4_000


class LocalInspector(Inspector):
    """Looks at a `Cache`."""

    def __init__(self, cache: Cache) -> None:
        self._cache, self._native = cache, cache._native  # noqa: SLF001 - our own
        settings = cache._place()  # noqa: SLF001
        self._settings = settings
        self._folder = _processes.folder_of(settings)
        address = settings.server or settings.bus
        self._server = Server(address, settings.prefix) if address is not None else None
        # Others' invalidations are in the log; what is told in memory only must be listened to.
        is_logged = self._folder is not None or self._server is not None
        self._recent = None if is_logged else Recent(cache)

    def stats(self) -> Stats:
        # First: it brings the cache up to date.
        latest = utc(_native.position(self._native))
        counters = self._cache.stats()
        if self._folder is not None:
            facts = _native.folder_facts(self._native) or {}
            return Stats(
                kind="lmdb",
                place=str(self._folder),
                entries=counters["entries"],
                bytes=facts.get("used_bytes"),
                tags=counters["tags"],
                latest=latest,
                counters=counters,
                facts=facts,
            )
        if self._settings.server is not None and self._server is not None:
            return Stats(
                kind="redis",
                place=self._server.shown,
                entries=self._server.count(),
                bytes=None,
                tags=counters["tags"],
                latest=latest,
                counters=counters,
                facts=self._server.sizes(),
            )
        place = f"process {os.getpid()}"
        return Stats("memory", place, counters["entries"], None, counters["tags"], latest, counters)

    def entries(
        self,
        *,
        prefix: str = "",
        tag: str | None = None,
        state: State | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page:
        if state is not None and state not in STATES:
            raise ValueError(f"state must be one of {', '.join(STATES)}, not {state!r}")
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit!r}")
        place = b"" if cursor is None else _place(cursor)
        found, after = _native.entries(self._native, prefix, tag, state, place, limit)
        return Page(tuple(_entry(*row) for row in found), None if after is None else after.hex())

    def value(self, key: str) -> Value:
        found = _native.peek(self._native, key)
        state = self.explain(key).state
        if found is None:
            if state != "absent":
                raise StorageError(
                    f"the value under {key!r} cannot be read: it is damaged, or authenticated with a secret; "
                    "give the secret that the program gives to configure()"
                )
            raise KeyError(key)
        is_object, content = found
        if is_object:
            # Its own methods are not called: they may do anything.
            cls = type(content)
            return Value(key, state, {"$type": f"{cls.__module__}:{cls.__qualname__}"}, None)
        return Value(key, state, _finite(plain(content)), len(content))

    def explain(self, key: str) -> Explanation:
        return explain(self._native, key, (), {})

    def tree(self, tag: str | None = None) -> tuple[Branch, ...]:
        nodes = {branch.tag: branch for branch in self._branches(tag)}
        if self._recent is not None:
            # In memory tags that nothing depends on are forgotten at once.
            for below, is_it, at in self._recent.below(tag):
                node = nodes.get(below) or Branch(below, 0, 0, None, None, changing=False)
                if is_it:
                    nodes[below] = replace(node, invalidated=max(at, node.invalidated or at))
                else:
                    nodes[below] = replace(node, invalidated_below=max(at, node.invalidated_below or at))
        return tuple(nodes[below] for below in sorted(nodes))

    def _branches(self, tag: str | None) -> Iterator[Branch]:
        for below, entries, fresh, at, at_below, changing in _native.tree(self._native, tag):
            yield Branch(below, entries, fresh, utc(at), utc(at_below), changing)

    def affected(self, tag: str) -> int:
        return self._cache.affected(tag)

    def invalidations(self, after: int | None = None, limit: int = 100) -> tuple[Invalidation, ...]:
        if self._recent is not None:
            return self._recent.invalidations(after, limit)
        first = 0 if after is None else after + 1
        told = _native.history(self._native, first, _END, limit, after is None)
        found = [Invalidation(at, moment(at), tuple(tags), node) for at, tags, node in told]
        return tuple(reversed(found) if after is None else found)

    def nodes(self) -> tuple[Node, ...]:
        if self._folder is not None:
            return _processes.users_of(self._folder)
        if self._server is not None:
            return self._server.nodes(self.invalidations)
        return (_processes.this_process(),)

    def activity(self) -> tuple[Activity, ...]:
        return (self.own_activity(), *self._others())

    def own_activity(self) -> Activity:
        """Tell what this process has done."""
        if self._settings.server is not None and self._server is not None:
            return _activity.own(self._cache, _activity.name_on_server(), self._server.place)
        place = str(self._folder) if self._folder is not None else f"process {os.getpid()}"
        return _activity.own(self._cache, _processes.name_here(), place)

    def publisher(self) -> _activity.Publisher | None:
        """What tells others of a server what this process does."""
        if self._settings.server is None or self._server is None:
            return None
        return _activity.Publisher(self._server, self.own_activity)

    def _others(self) -> tuple[Activity, ...]:
        """Tell what other processes have done, as far as they say it."""
        if self._folder is not None:
            users = [node.name for node in _processes.users_of(self._folder) if not node.is_self]
            return _activity.on_machine(users, str(self._folder))
        if self._settings.server is not None and self._server is not None:
            others = [name for name in self._server.names() if name != _activity.name_on_server()]
            return _activity.published(self._server, others)
        return ()

    def invalidate(self, *tags: str) -> int:
        return self._cache.invalidate(*tags, wait=True)

    def clear(self) -> None:
        try:
            self._native.clear()
        except Unsent as unsent:
            unsent.settle(wait=True, stacklevel=2)

    def prune(self) -> int:
        freed = 0
        end = time.monotonic() + _LONGEST_PRUNE
        for _ in range(self._sweeps()):
            if self._server is not None:
                # Whoever swept last keeps others from it for a second.
                self._server.let_sweep()
            freed += self._native.sweep()
            if time.monotonic() > end:
                break
        self._native.prune(0)
        return freed

    def _sweeps(self) -> int:
        """How many calls look at everything: each goes on where the one before has stopped."""
        if self._folder is not None:
            return self._cache.stats()["entries"] // _SWEPT_ROWS + 2
        if self._settings.server is not None and self._server is not None:
            return int(self._server.ask("DBSIZE")) // _SWEPT_ROWS + 2
        return 1

    def close(self) -> None:
        if self._recent is not None:
            self._recent.close()


def _entry(key: str, state: State, size: int | None, created: int, expires: int, tags: list[str]) -> Entry:
    tags.sort(key=lambda tag: (tag.startswith("fn."), tag))
    return Entry(key, state, size, moment(created), utc(expires), tuple(tags))


def _place(cursor: str) -> bytes:
    try:
        return bytes.fromhex(cursor)
    except ValueError:
        raise ValueError(f"not a cursor: {cursor[:80]!r}; give the one of the page before") from None


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"$type": "float", "value": str(value)}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return value

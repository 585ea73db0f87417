"""`Inspector`: what can be asked of a cache, wherever it is."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from zoocache._errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

    from zoocache.inspect.records import (
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
    )


class Unreachable(CacheError):
    """There is no cache to look at; the message says what is missing."""


#: Entries of one page of many: in memory each page looks at all.
_PAGE = 10_000


class Inspector(ABC):
    """Looks at one cache. Made by `zoocache.inspect.inspect`; its methods may be called from any thread."""

    @abstractmethod
    def stats(self) -> Stats:
        """Tell sizes and counters. O(entries) where a server does not count them."""

    @abstractmethod
    def entries(
        self,
        *,
        prefix: str = "",
        tag: str | None = None,
        state: State | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page:
        """List entries, `limit` of them at most (10 000).

        In memory they come in the order of their keys; elsewhere in none, and what is stored or removed
        meanwhile may be missing. A page may have fewer entries than `limit` though others follow.

        Args:
            prefix: What their keys begin with.
            tag: Only what `invalidate(tag)` would reach.
            state: Only those in this state.
            cursor: That of the page before.
            limit: How many at most.

        Raises:
            InvalidTag: The tag is not valid.
        """

    @abstractmethod
    def value(self, key: str) -> Value:
        """Show the value under a key as plain data, also one that is not fresh.

        Raises:
            KeyError: Nothing is stored there.
            SerializationError: The bytes are damaged, forged, or of another version.
        """

    @abstractmethod
    def explain(self, key: str) -> Explanation:
        """Tell why the entry under a key is what it is; what made it stale, when, and who did that."""

    @abstractmethod
    def tree(self, tag: str | None = None) -> tuple[Branch, ...]:
        """Tell the tags just below one, or without it the first ones, in their order. O(entries).

        These are tags that entries depend on, or that were invalidated and are not forgotten: 10 000 at most.

        Raises:
            InvalidTag: The tag is not valid.
        """

    @abstractmethod
    def affected(self, tag: str) -> int:
        """Tell how many fresh entries `invalidate(tag)` would make stale. O(entries).

        Raises:
            InvalidTag: The tag is not valid.
        """

    @abstractmethod
    def invalidations(self, after: int | None = None, limit: int = 100) -> tuple[Invalidation, ...]:
        """Tell of past invalidations.

        A folder knows the latest one of each tag, a server all of the last thousand or so, and a process
        those since its control socket was opened or its inspector was made.

        Args:
            after: The earliest ones after this position. Without it the latest ones.
            limit: How many at most.

        Returns:
            The invalidations, earliest first.
        """

    @abstractmethod
    def nodes(self) -> tuple[Node, ...]:
        """Tell which processes use the cache now, and how far each of them is behind.

        Raises:
            StorageError: The server does not let this user know.
        """

    @abstractmethod
    def activity(self) -> tuple[Activity, ...]:
        """Tell what each process has done with the cache since it began.

        From outside these are the processes that have said `configure(control=True)`: for a folder those of
        this user on this machine, for a server those of all machines, which begin to tell within two seconds
        of the first question and stop when nobody asks any more.

        Raises:
            StorageError: The server does not let this user know.
        """

    @abstractmethod
    def invalidate(self, *tags: str) -> int:
        """Invalidate tags for everybody; returns the position.

        Raises:
            InvalidTag: A tag is not valid; then nothing is invalidated.
            StorageError: It could not be told to everybody.
        """

    @abstractmethod
    def clear(self) -> None:
        """Make every entry stale, for everybody."""

    @abstractmethod
    def prune(self) -> int:
        """Free what nobody will read again, now instead of a little later.

        Returns:
            How many entries; copies in the memory of the process that is asked count, too.
        """

    @abstractmethod
    def close(self) -> None:
        """End the inspector. The cache stays as it is."""

    def follow(self, after: int | None = None, pause: float = 0.2) -> Iterator[Invalidation]:
        """Tell of invalidations as they happen, for ever.

        Args:
            after: Begin after this position. Without it: now.
            pause: Seconds between two looks.
        """
        if after is None:
            latest = self.invalidations(limit=1)
            after = latest[-1].position if latest else 0
        while True:
            news = self.invalidations(after=after, limit=1000)
            yield from news
            if news:
                after = news[-1].position
            else:
                time.sleep(pause)

    def all_entries(
        self,
        *,
        prefix: str = "",
        tag: str | None = None,
        state: State | None = None,
        limit: int | None = None,
    ) -> Iterator[Entry]:
        """List entries page by page; see `entries`.

        Args:
            prefix: What their keys begin with.
            tag: Only what `invalidate(tag)` would reach.
            state: Only those in this state.
            limit: How many at most; `None` for all.
        """
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = self.entries(prefix=prefix, tag=tag, state=state, cursor=cursor, limit=size)
            yield from page.entries
            cursor = page.cursor
            if cursor is None:
                return
            left = None if left is None else left - len(page.entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

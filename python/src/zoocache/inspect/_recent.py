"""What was invalidated in this process's memory, as far as it is remembered."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from zoocache.inspect._processes import name_here
from zoocache.inspect.records import Invalidation, moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from zoocache._cache import Cache

#: Older ones are forgotten.
_MOST = 1000
#: Of one invalidation.
_MOST_TAGS = 100


class Recent:
    """Remembers the invalidations of a cache since it was made."""

    def __init__(self, cache: Cache) -> None:
        #: Appending and copying are one step each for other threads.
        self._told: deque[tuple[int, tuple[str, ...]]] = deque(maxlen=_MOST)
        self._subscription = cache.on_invalidate(self._note)

    def _note(self, tags: list[str], position: int) -> None:
        self._told.append((position, tuple(tags[:_MOST_TAGS])))

    def invalidations(self, after: int | None, limit: int) -> tuple[Invalidation, ...]:
        """Tell of those after a position, or of the latest."""
        # Threads may be told in another order than that of the positions.
        told = sorted(self._told.copy())
        if after is None:
            chosen = told[-limit:] if limit > 0 else []
        else:
            chosen = [one for one in told if one[0] > after][:limit]
        # As explanations name it.
        node = name_here()
        return tuple(Invalidation(at, moment(at), tags, node) for at, tags in chosen)

    def below(self, tag: str | None) -> Iterator[tuple[str, bool, datetime]]:
        """Tell what was invalidated just below a tag, or still further down.

        Returns:
            Of each the tag just below, whether it was that one itself, and when.
        """
        above = [] if tag in {None, "*"} else str(tag).removesuffix(":*").split(":")
        level = len(above) + 1
        for position, tags in self._told.copy():
            for told in tags:
                path = told.removesuffix(":*").split(":")
                if path[: len(above)] == above and len(path) >= level and told != "*":
                    yield ":".join(path[:level]), len(path) == level, moment(position)

    def close(self) -> None:
        """Listen no more."""
        self._subscription.cancel()

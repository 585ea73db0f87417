"""The inspector of what is shown."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from zoocache._cache import DEFAULT, Cache
from zoocache.inspect import Inspector
from zoocache.inspect._local import LocalInspector

if TYPE_CHECKING:
    from zoocache._settings import Settings


class Source:
    """Makes the inspector of a cache when it is needed, and another one when that is configured anew."""

    def __init__(self, cache: Cache | Inspector | None) -> None:
        if cache is not None and not isinstance(cache, (Cache, Inspector)):
            raise TypeError(
                f"cache must be a Cache or an Inspector, not {type(cache).__name__}; "
                "for a URL or a process: zoocache.inspect.inspect(...)"
            )
        self._lock = threading.Lock()
        self._cache = None if isinstance(cache, Inspector) else cache or DEFAULT
        self._inspector: Inspector | None = cache if isinstance(cache, Inspector) else None
        self._place: Settings | None = None

    def inspector(self) -> Inspector:
        """The inspector, as things are now."""
        with self._lock:
            cache, inspector = self._cache, self._inspector
            if cache is not None and (inspector is None or cache._place() != self._place):  # noqa: SLF001 - our own
                if inspector is not None:
                    inspector.close()
                self._place = cache._place()  # noqa: SLF001
                self._inspector = inspector = LocalInspector(cache)
            assert inspector is not None  # noqa: S101 - one of the two is there
            return inspector

    def close(self) -> None:
        """End the inspector, unless it was given."""
        with self._lock:
            if self._cache is not None and self._inspector is not None:
                self._inspector.close()
                self._inspector = None

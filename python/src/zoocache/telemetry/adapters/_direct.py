"""What an adapter is told directly, kept until somebody reads it."""

from __future__ import annotations

import bisect
import threading
from typing import TYPE_CHECKING

from zoocache.telemetry._core import Distribution, Family, Labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zoocache.telemetry._core import _Kind

#: Seconds, from 16 microseconds to a minute: as in the histograms of the cache.
_BOUNDS = tuple(16e-6 * 2**step for step in range(23))


class Direct:
    """Metrics that were told directly."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._families: dict[str, Family] = {}

    def increment(self, name: str, value: float, labels: Mapping[str, str] | None) -> None:
        """Add to a counter.

        Raises:
            ValueError: `value` is negative, or the name is that of another kind of metric.
        """
        if value < 0:
            msg = f"increment({name!r}): a counter never falls, but value is {value!r}; use set_gauge"
            raise ValueError(msg)
        with self._lock:
            self._family(name, "counter").add(_sorted(labels), value)

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None) -> None:
        """Add one value to a distribution."""
        counts = [0] * (len(_BOUNDS) + 1)
        counts[bisect.bisect_left(_BOUNDS, value)] = 1
        with self._lock:
            family = self._family(name, "histogram")
            family.add(_sorted(labels), Distribution(_BOUNDS, tuple(counts), value))

    def set_gauge(self, name: str, value: float, labels: Mapping[str, str] | None) -> None:
        """Set a gauge."""
        with self._lock:
            self._family(name, "gauge").samples[_sorted(labels)] = value

    def add_to(self, gathered: dict[str, Family]) -> dict[str, Family]:
        """Add all of it to what was read of caches."""
        with self._lock:
            for name, family in self._families.items():
                into = gathered.setdefault(name, Family(name, family.kind, family.help))
                if into.kind == family.kind:
                    for labels, value in family.samples.items():
                        into.add(labels, value)
        return gathered

    def _family(self, name: str, kind: _Kind) -> Family:
        family = self._families.setdefault(name, Family(name, kind, "Told by the program."))
        if family.kind != kind:
            msg = f"the metric {name!r} is a {family.kind}; a {kind} needs another name"
            raise ValueError(msg)
        return family


def _sorted(labels: Mapping[str, str] | None) -> Labels:
    return tuple(sorted((str(name), str(value)) for name, value in (labels or {}).items()))

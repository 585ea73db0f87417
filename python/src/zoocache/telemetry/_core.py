"""The counters of a cache, as families of metrics.

This is the only module that knows what native code calls them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from zoocache import _native

if TYPE_CHECKING:
    from collections.abc import Iterable

    _Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

#: The labels of a sample, sorted by their names.
Labels: TypeAlias = tuple[tuple[str, str], ...]

_COUNTERS = {
    "cache_hits_total": ("hits", "Lookups that served a fresh entry."),
    "cache_stale_served_total": ("stale_served", "Values that were not fresh and were served on purpose."),
    "cache_computations_total": ("computations", "Values that were computed, or stored by `set`."),
    "cache_errors_total": ("errors", "Computations that failed."),
    "cache_born_stale_total": (
        "born_stale",
        "Computed values that were not stored, as something they depend on was invalidated meanwhile.",
    ),
    "cache_refreshes_total": ("refreshes", "Computations begun while the entry could still be served."),
    "cache_evictions_total": ("evicted", "Entries removed because room ran out."),
    "cache_invalidations_total": ("invalidations", "Invalidations by this process, of any number of tags."),
    "cache_flight_leaders_total": ("leads", "Callers that computed while others could wait for them."),
    "cache_flight_waiters_total": ("waits", "Callers that waited for the computation of another."),
    "cache_flight_timeouts_total": ("timeouts", "Callers that waited too long and computed by themselves."),
    "cache_shared_hits_total": ("shared_hits", "Entries found in the folder or on the server."),
    "cache_storage_errors_total": ("storage_errors", "Times that the folder or server could not be used."),
    "cache_rejected_total": ("rejected", "Stored entries that were damaged, foreign or not authentic."),
    "cache_catch_ups_total": ("catch_ups", "Reads that found out what no message had told."),
    "cache_domain_changes_total": ("domain_changes", "Times that all shared entries were lost at once."),
}
_GAUGES = {
    "cache_entries": ("entries", "Entries that this process or the folder holds, fresh or not."),
    "cache_trie_nodes": ("tags", "Tags known, those above others included."),
}
_HISTOGRAMS = {
    "cache_fill_seconds": ("fill", "Time of computations that ended with a value."),
    "cache_storage_read_seconds": ("read", "Time of reads of the folder or server."),
    "cache_storage_write_seconds": ("write", "Time of writes to the folder or server."),
    "cache_bus_lag_seconds": ("lag", "Time from an invalidation elsewhere until its message arrived here."),
}
_MISSES = ("cache_misses_total", "Lookups that served nothing fresh, by cause: absent, stale or expired.")
_BYTES = ("cache_bytes", "Bytes of the entries, where they are counted.")
_FUNCTION_HITS = ("function_hits_total", "Calls of a cached function that were served.")
_FUNCTION_MISSES = (
    "function_misses_total",
    "Calls of a cached function that were not served, by cause: absent, stale or expired.",
)
_FUNCTION_ERRORS = ("function_errors_total", "Calls of a cached function that raised.")


class Distribution(NamedTuple):
    """Many values, in buckets.

    Attributes:
        bounds: The upper bounds of the buckets, without the last one, which has none.
        counts: How many values are in each bucket, those of the buckets before it not included.
        total: The sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    def plus(self, other: Distribution) -> Distribution:
        """Add another with the same buckets."""
        counts = tuple(own + more for own, more in zip(self.counts, other.counts, strict=True))
        return Distribution(self.bounds, counts, self.total + other.total)

    def minus(self, other: Distribution) -> Distribution:
        """What has been added since it was like the other."""
        counts = tuple(own - less for own, less in zip(self.counts, other.counts, strict=True))
        return Distribution(self.bounds, counts, self.total - other.total)


@dataclass
class Family:
    """A metric with all of its labels.

    Attributes:
        name: Without any prefix.
        kind: `counter`, `gauge` or `histogram`.
        help: What it is, in a sentence.
        samples: A number, or for a histogram a `Distribution`, for each combination of labels.
    """

    name: str
    kind: _Kind
    help: str
    samples: dict[Labels, float | Distribution] = field(default_factory=dict)

    def add(self, labels: Labels, value: float | Distribution) -> None:
        """Add a value to what there is of these labels."""
        before = self.samples.get(labels)
        if before is None:
            self.samples[labels] = value
        elif isinstance(before, Distribution):
            if isinstance(value, Distribution):
                self.samples[labels] = before.plus(value)
        elif not isinstance(value, Distribution):
            self.samples[labels] = before + value


def bound_text(bound: float) -> str:
    """Write the upper bound of a bucket as Prometheus does."""
    return "+Inf" if bound == float("inf") else repr(bound)


def families() -> dict[str, Family]:
    """Make all metrics of caches, without samples."""
    tables: tuple[tuple[_Kind, Iterable[tuple[str, str]]], ...] = (
        ("counter", ((name, text) for name, (_, text) in _COUNTERS.items())),
        ("counter", (_MISSES, _FUNCTION_HITS, _FUNCTION_MISSES, _FUNCTION_ERRORS)),
        ("gauge", ((name, text) for name, (_, text) in _GAUGES.items())),
        ("gauge", (_BYTES,)),
        ("histogram", ((name, text) for name, (_, text) in _HISTOGRAMS.items())),
    )
    return {name: Family(name, kind, text) for kind, table in tables for name, text in table}


def gather(cores: Iterable[Core]) -> dict[str, Family]:
    """Read several caches; what has the same labels is added up."""
    gathered = families()
    for core in cores:
        core._read_into(gathered)  # noqa: SLF001 - our own
    return gathered


class Core:
    """The counters of one cache, to be read at any time, from any thread.

    Attributes:
        storage: Where its entries rest: `memory`, `lmdb` or `redis`.
    """

    def __init__(self, cache: _native.NativeCache, storage: str) -> None:
        self.storage = storage
        self._metrics = _native.Metrics(cache)

    def collect(self) -> list[Family]:
        """Read all metrics; without samples if the cache is closed."""
        return list(gather([self]).values())

    def _read_into(self, gathered: dict[str, Family]) -> None:
        read = self._metrics.read()
        if read is None:
            return
        stats: dict[str, int] = read["stats"]

        def add(name: str, value: float | Distribution, **labels: str) -> None:
            gathered[name].add(tuple(sorted({"storage": self.storage, **labels}.items())), value)

        for table in (_COUNTERS, _GAUGES):
            for name, (key, _) in table.items():
                add(name, stats[key])
        for cause, key in (("absent", "misses"), ("stale", "stale"), ("expired", "expired")):
            add(_MISSES[0], stats[key], cause=cause)
        if read["bytes"] is not None:
            add(_BYTES[0], read["bytes"])
        _add_timings(read, self.storage, add)
        for function, hits, misses, stale, expired, errors in read["functions"]:
            add(_FUNCTION_HITS[0], hits, function=function)
            for cause, count in (("absent", misses), ("stale", stale), ("expired", expired)):
                add(_FUNCTION_MISSES[0], count, function=function, cause=cause)
            add(_FUNCTION_ERRORS[0], errors, function=function)


def _add_timings(read: dict[str, Any], storage: str, add: Any) -> None:
    bounds = tuple(read["bounds"])
    for name, (key, _) in _HISTOGRAMS.items():
        if key in read["timings"]:
            counts, total = read["timings"][key]
            # In memory there are no trips, unless there is a bus.
            if key == "fill" or storage != "memory" or any(counts):
                add(name, Distribution(bounds, tuple(counts), total))

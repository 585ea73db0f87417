"""Metrics for Prometheus: read when it asks for them."""

from __future__ import annotations

import os
import re
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar

from zoocache.contrib._extra import extra
from zoocache.telemetry._adapter import TelemetryAdapter
from zoocache.telemetry._core import Core, Distribution, Family, bound_text, families, gather
from zoocache.telemetry.adapters._direct import Direct

with extra("prometheus", "prometheus-client", "zoocache.telemetry.adapters.prometheus"):
    import prometheus_client
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TOTAL = "_total"


class PrometheusAdapter(TelemetryAdapter):
    """Shows the counters of caches to Prometheus, which reads them: a hit costs what it always costs.

    Args:
        port: Serve the metrics over HTTP on this port, from a thread; 0 for any that is free (see `port`).
            Without it, the program serves the registry.
        addr: The address to serve on. `"0.0.0.0"` lets other machines ask.
        prefix: What the names of all metrics begin with.
        registry: Where the metrics are registered; that of `prometheus_client` if not given.

    Raises:
        ImportError: `prometheus-client` is not installed.
        ValueError: The prefix makes no valid names, or another adapter has registered the same names.
        OSError: The port cannot be served.
    """

    reads_core: ClassVar[bool] = True

    def __init__(
        self,
        port: int | None = None,
        addr: str = "127.0.0.1",
        prefix: str = "zoocache",
        registry: CollectorRegistry | None = None,
    ) -> None:
        if not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", prefix):
            msg = f"prefix must be a name of letters, digits and underscores, not {prefix!r}"
            raise ValueError(msg)
        self.registry = prometheus_client.REGISTRY if registry is None else registry
        self._collector = _Collector(prefix)
        try:
            self.registry.register(self._collector)
        except ValueError as error:
            msg = (
                f"metrics with prefix={prefix!r} are in this registry already: {error}; close() the other "
                "adapter, or give another prefix or registry"
            )
            raise ValueError(msg) from error
        self._port: int | None = None
        if port is not None:
            try:
                server, thread = prometheus_client.start_http_server(port, addr, self.registry)
            except BaseException:
                self.registry.unregister(self._collector)
                raise
            self._serving = (server, thread)
            self._process = os.getpid()
            self._port = server.server_port
        self._is_closed = False

    @property
    def port(self) -> int | None:
        """The port on which the metrics are served, if they are."""
        return self._port

    def increment(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Add to a counter."""
        # Also if it is told under both names, it is one.
        name = _valid(name).removesuffix(_TOTAL) + _TOTAL
        self._collector.direct.increment(name, value, _with_valid_names(labels))

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Add a value to a histogram."""
        self._collector.direct.observe(_valid(name), value, _with_valid_names(labels))

    def set_gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Set a gauge."""
        self._collector.direct.set_gauge(_valid(name), value, _with_valid_names(labels))

    def bind_core(self, core: Core) -> None:
        """Show the counters of this cache, too."""
        self._collector.cores.append(core)

    def close(self) -> None:
        """Serve and show nothing any more."""
        if self._is_closed:
            return
        self._is_closed = True
        self.registry.unregister(self._collector)
        self._collector.cores.clear()
        if self._port is not None:
            server, thread = self._serving
            # The thread of the parent's is not in a forked child.
            if self._process == os.getpid():
                server.shutdown()
                thread.join()
            server.server_close()


class _Collector(Collector):
    """Asked by the registry whenever somebody reads it."""

    def __init__(self, prefix: str) -> None:
        self.direct = Direct()
        self.cores: list[Core] = []
        self._prefix = prefix

    def describe(self) -> Iterator[Metric]:
        """Name what there may be, so that two of the same name are noticed."""
        return (self._metric(family) for family in families().values())

    def collect(self) -> Iterator[Metric]:
        """Read everything."""
        gathered = self.direct.add_to(gather(tuple(self.cores)))
        return (self._metric(family) for family in gathered.values() if family.samples)

    def _metric(self, family: Family) -> Metric:
        name = f"{self._prefix}_{family.name}"
        # The name of a counter is told without the ending of its samples.
        metric = Metric(
            name.removesuffix(_TOTAL) if family.kind == "counter" else name, family.help, family.kind
        )
        for pairs, value in family.samples.items():
            labels = dict(pairs)
            if isinstance(value, Distribution):
                _add_buckets(metric, labels, value)
            else:
                ending = _TOTAL if family.kind == "counter" else ""
                metric.add_sample(metric.name + ending, labels, value)
        return metric


def _add_buckets(metric: Metric, labels: dict[str, str], value: Distribution) -> None:
    bounds = (*value.bounds, float("inf"))
    up_to = list(accumulate(value.counts))
    for bound, count in zip(bounds, up_to, strict=True):
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound_text(bound)}, count)
    metric.add_sample(f"{metric.name}_count", labels, up_to[-1])
    metric.add_sample(f"{metric.name}_sum", labels, value.total)


def _with_valid_names(labels: Mapping[str, str] | None) -> dict[str, str]:
    return {_valid(name): text for name, text in (labels or {}).items()}


def _valid(name: str) -> str:
    name = re.sub("[^a-zA-Z0-9_]", "_", name)
    return f"_{name}" if name[:1].isdigit() else name

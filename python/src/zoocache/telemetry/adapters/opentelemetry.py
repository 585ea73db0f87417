"""Metrics and traces for OpenTelemetry: metrics are read when its reader asks for them."""

from __future__ import annotations

import functools
import threading
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar

from zoocache._native import __version__
from zoocache.contrib._extra import extra
from zoocache.telemetry._adapter import TelemetryAdapter
from zoocache.telemetry._core import Core, Distribution, bound_text, families, gather
from zoocache.telemetry.adapters._direct import Direct

_MODULE = "zoocache.telemetry.adapters.opentelemetry"
with extra("opentelemetry", "opentelemetry-api", _MODULE):
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from opentelemetry.trace import TracerProvider

    from zoocache.telemetry._core import Family

_SCOPE = "zoocache"


class OpenTelemetryAdapter(TelemetryAdapter):
    """Shows counters of caches to OpenTelemetry, whose reader reads them; a hit costs what it always does.

    A histogram of a cache becomes three counters, `…_bucket` (with the attribute `le`), `…_sum`, `…_count`:
    OpenTelemetry has no histogram that can be read instead of written.

    Args:
        service_name: What the service is called, if a provider is made for `otlp_endpoint`.
        otlp_endpoint: Where to send the metrics, over HTTP, such as `http://collector:4318/v1/metrics`.
            Without it the program's own provider does what it does with them.
        meter_provider: Who reads the metrics; the global one if not given.
        spans: Whether each computation is a span, `zoocache.fill`, with the attribute `zoocache.function`,
            and each time that a caller waits for a server one, `zoocache.storage`.
        tracer_provider: Whose spans they are; the global one's if not given.

    Raises:
        ImportError: OpenTelemetry is not installed, or what `otlp_endpoint` needs.
        ValueError: Both `otlp_endpoint` and `meter_provider` are given.
    """

    reads_core: ClassVar[bool] = True

    def __init__(
        self,
        service_name: str = "zoocache",
        otlp_endpoint: str | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        spans: bool = False,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self._own: Any = None
        if otlp_endpoint is not None:
            if meter_provider is not None:
                msg = "otlp_endpoint has no meaning with a meter_provider, which knows where to send metrics"
                raise ValueError(msg)
            meter_provider = self._own = _provider(service_name, otlp_endpoint)
        provider = metrics.get_meter_provider() if meter_provider is None else meter_provider
        self._meter: Meter = provider.get_meter(_SCOPE, __version__)
        self._direct = Direct()
        self._cores: list[Core] = []
        self._instruments: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._known = families()
        self._is_closed = False
        for family in self._known.values():
            self._show(family)
        self.makes_spans = spans
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider) if spans else None

    def increment(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Add to a counter."""
        if name in self._known:
            self._direct.increment(name, value, labels)
        else:
            self._instrument("create_counter", name).add(value, labels)

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Add a value to a histogram."""
        if name in self._known:
            self._direct.observe(name, value, labels)
        else:
            self._instrument("create_histogram", name).record(value, labels)

    def set_gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Set a gauge."""
        if name in self._known:
            self._direct.set_gauge(name, value, labels)
        else:
            self._instrument("create_gauge", name).set(value, labels)

    def bind_core(self, core: Core) -> None:
        """Show the counters of this cache, too."""
        self._cores.append(core)

    def span(self, name: str, function: str) -> AbstractContextManager[Any] | None:
        """Make the span of a computation, or of a wait for a server; `None` if there are to be none."""
        if self._tracer is None or self._is_closed:
            return None
        attributes = {"zoocache.function": function} if function else {}
        return self._tracer.start_as_current_span(name, attributes=attributes)

    def past_span(self, name: str, began_us: int) -> None:
        """Make the span of a wait that has ended, and began then: microseconds since the Unix epoch."""
        if self._tracer is not None and not self._is_closed:
            self._tracer.start_span(name, start_time=began_us * 1000).end()

    def close(self) -> None:
        """Show nothing any more; a provider that was made for `otlp_endpoint` sends what it has."""
        if self._own is not None:
            self._own.shutdown()
        self._is_closed = True
        self._cores.clear()

    def _instrument(self, create: str, name: str) -> Any:
        with self._lock:
            instrument = self._instruments.get(name)
            if instrument is None:
                instrument = self._instruments[name] = getattr(self._meter, create)(name)
        return instrument

    def _show(self, family: Family) -> None:
        name, unit = family.name, "s" if family.name.endswith("_seconds") else ""
        if family.kind == "gauge":
            self._meter.create_observable_gauge(name, [self._reader(name, "")], unit, family.help)
        elif family.kind == "counter":
            self._meter.create_observable_counter(name, [self._reader(name, "")], unit, family.help)
        else:
            for part in ("bucket", "sum", "count"):
                readers = [self._reader(name, part)]
                shown = unit if part == "sum" else ""
                self._meter.create_observable_counter(f"{name}_{part}", readers, shown, family.help)

    def _reader(self, name: str, part: str) -> Any:
        return functools.partial(self._read, name, part)

    def _read(self, name: str, part: str, _options: CallbackOptions) -> Iterable[Observation]:
        if self._is_closed:
            return []
        family = self._direct.add_to(gather(tuple(self._cores)))[name]
        return [
            one for labels, value in family.samples.items() for one in _observed(dict(labels), value, part)
        ]


def _observed(labels: dict[str, str], value: float | Distribution, part: str) -> Iterator[Observation]:
    if not isinstance(value, Distribution):
        yield Observation(value, labels)
    elif part == "sum":
        yield Observation(value.total, labels)
    elif part == "count":
        yield Observation(sum(value.counts), labels)
    else:
        bounds = (*value.bounds, float("inf"))
        for bound, count in zip(bounds, accumulate(value.counts), strict=True):
            yield Observation(count, {**labels, "le": bound_text(bound)})


def _provider(service_name: str, otlp_endpoint: str) -> Any:
    needed = "opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http"
    with extra("opentelemetry", needed, _MODULE):
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - only who sends needs it
            OTLPMetricExporter,
        )
        from opentelemetry.sdk import metrics as sdk  # noqa: PLC0415
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=otlp_endpoint))
    resource = Resource.create({"service.name": service_name})
    return sdk.MeterProvider(metric_readers=[reader], resource=resource)

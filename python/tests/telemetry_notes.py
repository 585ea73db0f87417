"""An adapter of telemetry that keeps what it is told, and the default cache with it."""

from collections import Counter

from zoocache import configure
from zoocache.telemetry import TelemetryAdapter, TelemetryManager

DURATIONS = {"cache_get_duration_seconds", "cache_set_duration_seconds"}


class Notes(TelemetryAdapter):
    """Keeps what it is told."""

    def __init__(self):
        self.told = []
        self.cores = []
        self.closed = 0

    def increment(self, name, value=1.0, labels=None):
        self.told.append((name, value, labels))

    def observe(self, name, value, labels=None):
        self.told.append((name, value, labels))

    def set_gauge(self, name, value, labels=None):
        self.told.append((name, value, labels))

    def close(self):
        self.closed += 1

    def bind_core(self, core):
        self.cores.append(core)

    def counts(self, **labels):
        """How often each metric was told, durations left out."""
        wanted = [
            (name, told)
            for name, _, told in self.told
            if labels.items() <= told.items() and name not in DURATIONS
        ]
        return Counter(name for name, _ in wanted)

    def causes(self):
        return [labels["cause"] for name, _, labels in self.told if name == "cache_misses_total"]


def configured(adapter, **settings):
    configure(telemetry=TelemetryManager([adapter]), **settings)
    return adapter

"""What the cache does, for the systems that watch programs: metrics, logs and traces.

`configure(telemetry=TelemetryManager([PrometheusAdapter()]))`. The adapters of this package read the
counters that the cache keeps anyway, when they are asked; a program's own is called in step with the cache.
"""

from zoocache.telemetry._adapter import TelemetryAdapter
from zoocache.telemetry._core import Core, Distribution, Family
from zoocache.telemetry._manager import TelemetryManager, TimerContext
from zoocache.telemetry.adapters.logs import LogAdapter

__all__ = [
    "Core",
    "Distribution",
    "Family",
    "LogAdapter",
    "TelemetryAdapter",
    "TelemetryManager",
    "TimerContext",
]

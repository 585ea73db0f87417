"""Telemetry, as type checkers see it."""

from collections.abc import Mapping

from typing_extensions import assert_type

from zoocache import Cache, configure
from zoocache.telemetry import Core, Family, LogAdapter, TelemetryAdapter, TelemetryManager, TimerContext


class Own(TelemetryAdapter):
    def increment(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        print(name, value, labels)

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        print(name, value, labels)

    def set_gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        print(name, value, labels)

    def bind_core(self, core: Core) -> None:
        assert_type(core.collect(), list[Family])


manager = TelemetryManager([Own(), LogAdapter(format_json=True, interval="5m")])
configure(telemetry=manager)
cache = Cache(telemetry=manager)
with TimerContext(manager, "seconds", {"page": "shop"}) as timer:
    assert_type(timer, TimerContext)

configure(telemetry=Own())  # type: ignore[arg-type]
TelemetryManager([1])  # type: ignore[list-item]

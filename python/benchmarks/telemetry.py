"""Measures what telemetry costs: without it, with the adapters that read counters, and with a program's own.

Each contender runs in a process of its own, in turn, in another order each round. A figure is the least of
all rounds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import report

import zoocache
from zoocache.telemetry import LogAdapter, TelemetryAdapter, TelemetryManager

CONTENDERS = ("none", "Prometheus", "OpenTelemetry", "logs", "own adapter")
ROUNDS = 10
#: A short loop is seldom interrupted, so that the least time is that of the loop alone.
LOOP, LOOPS = 2_000, 50
GOAL = 1.1


class Own(TelemetryAdapter):
    """Does nothing with what it is told."""

    def increment(self, name: str, value: float = 1.0, labels: Any = None) -> None:
        """Do nothing."""

    def observe(self, name: str, value: float, labels: Any = None) -> None:
        """Do nothing."""

    def set_gauge(self, name: str, value: float, labels: Any = None) -> None:
        """Do nothing."""


def adapter_of(contender: str) -> TelemetryAdapter:
    """Make the adapter that is measured."""
    if contender == "Prometheus":
        from zoocache.telemetry.adapters.prometheus import PrometheusAdapter  # noqa: PLC0415 - only where needed

        return PrometheusAdapter(port=0)
    if contender == "OpenTelemetry":
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415

        from zoocache.telemetry.adapters.opentelemetry import OpenTelemetryAdapter  # noqa: PLC0415

        return OpenTelemetryAdapter(meter_provider=MeterProvider())
    return LogAdapter() if contender == "logs" else Own()


def measure(contender: str) -> dict[str, float]:
    """Measure a hit in several shapes, and a miss, in nanoseconds; the empty loop is not taken off."""
    telemetry = None if contender == "none" else TelemetryManager([adapter_of(contender)])
    zoocache.configure(telemetry=telemetry, default_ttl=60)

    @zoocache.cacheable(deps=lambda x: [f"a:{x}"])
    def one(x: int) -> int:
        return x

    class Thing:
        def __zoocache_key__(self) -> int:
            return 1

        @zoocache.cacheable
        def method(self, x: int) -> int:
            return x

    many = list(range(LOOP))
    fresh = iter(range(10**9, 2 * 10**9))
    return {
        "hit, one argument": least(one, [1] * LOOP),
        "hit, method": least(Thing().method, [1] * LOOP),
        f"hit, {LOOP} entries in turn": least(one, many),
        "miss": least(one, fresh),
    }


def least(function: Any, arguments: Any) -> float:
    """Return the least time of a call in any loop."""
    times = []
    for _ in range(LOOPS):
        loop = arguments if isinstance(arguments, list) else [next(arguments) for _ in range(LOOP)]
        began = time.perf_counter_ns()
        for argument in loop:
            function(argument)
        times.append((time.perf_counter_ns() - began) / LOOP)
    return min(times)


def measured_apart(contender: str) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, contender]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - our own program
    return json.loads(done.stdout)


def main() -> int:
    """Measure, print, and say whether the goal is met."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return 0
    figures: dict[str, dict[str, float]] = {}
    for number in range(ROUNDS):
        for contender in CONTENDERS[:: -1 if number % 2 else 1]:
            for shape, ns in measured_apart(contender).items():
                before = figures.setdefault(shape, {}).get(contender, ns)
                figures[shape][contender] = min(ns, before)
    header = ("", *CONTENDERS)
    rows = [
        (shape, *(f"{ns[contender]:.0f} ns ({ns[contender] / ns['none']:.2f}x)" for contender in CONTENDERS))
        for shape, ns in figures.items()
    ]
    print(report.terminal(header, rows))
    hits = [ns for shape, ns in figures.items() if shape.startswith("hit")]
    worst = max(ns[contender] / ns["none"] for ns in hits for contender in CONTENDERS[1:4])
    print(f"\nhits with an adapter that reads counters: {worst:.2f}x at most (goal: {GOAL}x)")
    return 0 if worst <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())

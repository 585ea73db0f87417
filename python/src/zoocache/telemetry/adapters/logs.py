"""Metrics as lines of a log: what has changed, once a minute."""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

from zoocache._log import logger as zoocache_logger
from zoocache._time import milliseconds
from zoocache.telemetry._adapter import TelemetryAdapter
from zoocache.telemetry._core import Core, Distribution, Labels, gather

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zoocache._options import Duration

_INCREMENT, _OBSERVE, _GAUGE = "increment", "observe", "gauge"


class LogAdapter(TelemetryAdapter):
    """Logs what a cache did since the last time: a line for each counter, gauge, histogram that has changed.

    A line is `[INCREMENT] cache_hits_total: 12.0 {'storage': 'memory'}`, or a JSON object with
    `telemetry_type`, `metric_name`, `value` and `labels`. Of a histogram it tells the mean, and how many
    values there are.

    Args:
        logger: Where to log; the one called `name` if not given.
        name: The name of the logger.
        level: The level of the lines.
        format_json: Whether lines are JSON objects.
        interval: How often, in seconds, or as a `timedelta` or a text such as `"5m"`.

    Raises:
        ConfigError: `interval` makes no sense.
    """

    reads_core: ClassVar[bool] = True

    def __init__(
        self,
        logger: logging.Logger | None = None,
        name: str = "zoocache.telemetry",
        level: int = logging.INFO,
        format_json: bool = False,
        *,
        interval: Duration = 60.0,
    ) -> None:
        self.logger = logging.getLogger(name) if logger is None else logger
        self._level = level
        self._is_json = format_json
        self._interval = milliseconds("interval", interval) / 1000
        self._cores: list[Core] = []
        self.reporting = threading.Lock()
        self._before: dict[tuple[str, Labels], float | Distribution] = {}
        self._ticker: _Ticker | None = None

    def increment(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Log that a counter rose."""
        self._log(_INCREMENT, name, value, labels)

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Log a value."""
        self._log(_OBSERVE, name, value, labels)

    def set_gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Log how much there is of something."""
        self._log(_GAUGE, name, value, labels)

    def bind_core(self, core: Core) -> None:
        """Report on this cache, too, from now on."""
        self._cores.append(core)
        if self._ticker is None:
            self._ticker = _Ticker(self)

    def close(self) -> None:
        """Report for the last time."""
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.stop()
            self.report()
        self._cores.clear()

    def report(self) -> None:
        """Log now what has changed since the last time."""
        with self.reporting:
            before, self._before = self._before, {}
            for family in gather(tuple(self._cores)).values():
                for labels, value in family.samples.items():
                    self._before[family.name, labels] = value
                    metric = family.name, family.kind
                    self._report(metric, labels, value, before.get((family.name, labels)))

    def _report(
        self,
        metric: tuple[str, str],
        labels: Labels,
        value: float | Distribution,
        before: float | Distribution | None,
    ) -> None:
        name, kind = metric
        if isinstance(value, Distribution):
            new = value.minus(before) if isinstance(before, Distribution) else value
            count = sum(new.counts)
            if count:
                self._log(_OBSERVE, name, new.total / count, dict(labels), count)
            return
        known = 0 if before is None or isinstance(before, Distribution) else before
        if value == known:
            return
        if kind == "gauge":
            self._log(_GAUGE, name, value, dict(labels))
        else:
            # Less than before: one of several caches was closed.
            self._log(_INCREMENT, name, max(value - known, 0), dict(labels))

    def _log(
        self, kind: str, name: str, value: float, labels: Mapping[str, str] | None, count: int | None = None
    ) -> None:
        if not self.logger.isEnabledFor(self._level):
            return
        shown = dict(labels or {})
        if not self._is_json:
            times = "" if count is None else f" ({count} times)"
            line = f"[{kind.upper()}] {name}: {float(value)} {shown}{times}"
        else:
            record: dict[str, Any] = {"telemetry_type": kind, "metric_name": name, "value": float(value)}
            record["labels"] = shown
            if count is not None:
                record["count"] = count
            line = json.dumps(record, default=str)
        self.logger.log(self._level, "%s", line)

    @property
    def interval(self) -> float:
        """How often it reports, in seconds."""
        return self._interval


class _Ticker:
    """A thread that lets an adapter report now and then, as long as the adapter lives."""

    def __init__(self, adapter: LogAdapter) -> None:
        self._adapter = weakref.ref(adapter)
        self._interval = adapter.interval
        self.start()
        _tickers.add(self)

    def start(self) -> None:
        adapter = self._adapter()
        if adapter is not None:
            # In a forked child that of the parent may be held by a thread that is not there.
            adapter.reporting = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zoocache-telemetry", daemon=True)
        self._thread.start()

    def end(self) -> None:
        adapter = self._adapter()
        if adapter is not None:
            adapter.close()

    def stop(self) -> None:
        _tickers.discard(self)
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            adapter = self._adapter()
            if adapter is None:
                return
            try:
                adapter.report()
            except Exception:  # noqa: BLE001 - a handler of the program's own; the next report may go well
                zoocache_logger.warning("the telemetry log failed", exc_info=True)
            del adapter


_tickers: weakref.WeakSet[_Ticker] = weakref.WeakSet()


def _at_exit() -> None:
    """Report for the last time, also if the program ends without `reset()`."""
    for ticker in tuple(_tickers):
        ticker.end()


def _after_fork() -> None:
    """Start anew the threads, which are not in this process."""
    for ticker in tuple(_tickers):
        ticker.start()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)

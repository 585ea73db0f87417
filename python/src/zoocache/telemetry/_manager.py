"""The adapters of a cache, and what stands between them and it: nothing that they raise reaches the cache."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from zoocache._errors import ConfigError
from zoocache._log import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from zoocache.telemetry._adapter import TelemetryAdapter
    from zoocache.telemetry._core import Core

_METHODS = ("increment", "observe", "set_gauge")
#: Seconds between two reports of what one adapter raised.
_LOG_INTERVAL = 60.0


class TelemetryManager:
    """Tells adapters what a cache does: `configure(telemetry=TelemetryManager([...]))`.

    It may be given to several caches. When the last of them is closed or reset, it closes its adapters.

    Args:
        adapters: Who is told.

    Raises:
        TypeError: One of them is no adapter.
    """

    def __init__(self, adapters: Iterable[TelemetryAdapter] = ()) -> None:
        self.adapters = tuple(adapters)
        for adapter in self.adapters:
            missing = [name for name in _METHODS if not callable(getattr(adapter, name, None))]
            if missing or isinstance(adapter, type):
                what = f"the class {adapter.__name__}" if isinstance(adapter, type) else repr(adapter)
                msg = f"a telemetry adapter must be a TelemetryAdapter, not {what}"
                raise TypeError(msg)
        self._cores: list[Core] = []
        self._is_closed = False
        self._lock = threading.Lock()
        self._reported: dict[int, float] = {}

    def increment(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Add to a counter of each adapter."""
        self._each(self.adapters, "increment", name, value, labels)

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Add a value, such as a duration in seconds, to a distribution of each adapter."""
        self._each(self.adapters, "observe", name, value, labels)

    def set_gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Tell each adapter how much there is of something now."""
        self._each(self.adapters, "set_gauge", name, value, labels)

    def bind_core(self, core: Core) -> None:
        """Give a cache's counters to each adapter; `configure` and `Cache` do so.

        Raises:
            ConfigError: The manager is closed.
        """
        with self._lock:
            self.refuse_if_closed()
            self._cores.append(core)
        for adapter in self.adapters:
            self._call(adapter, "bind_core", core)

    def release(self, core: Core) -> None:
        """Note that a cache is closed; after the last one the adapters are closed, too."""
        with self._lock:
            self._cores = [other for other in self._cores if other is not core]
            is_last = not self._cores
        if is_last:
            self.close()

    def close(self) -> None:
        """Close each adapter, once."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._cores = []
        for adapter in self.adapters:
            self._call(adapter, "close")

    def refuse_if_closed(self) -> None:
        """Raise a `ConfigError` if the adapters are closed."""
        if self._is_closed:
            msg = "telemetry: this TelemetryManager is closed, with its adapters; make another"
            raise ConfigError(msg)

    def in_step(self, storage: str) -> Callable[[str, str, str, float | None], None] | None:
        """Return what native code calls in step with a cache, or `None` if no adapter wants it."""
        adapters = [adapter for adapter in self.adapters if not getattr(adapter, "reads_core", False)]
        if not adapters:
            return None

        def tell(name: str, function: str, cause: str, seconds: float | None) -> None:
            if self._is_closed:
                return
            labels = {"function": function, "storage": storage}
            if name == "cache_misses_total":
                labels["cause"] = cause
            if seconds is None:
                self._each(adapters, "increment", name, 1.0, labels)
            else:
                self._each(adapters, "observe", name, seconds, labels)

        return tell

    def spans(self) -> Callable[[str, str, int | None], Any] | None:
        """Return what native code makes spans with, or `None` if no adapter makes any."""
        makers = [adapter for adapter in self.adapters if getattr(adapter, "makes_spans", False)]
        return _Spans(self, makers) if makers else None

    def _each(
        self,
        adapters: Iterable[TelemetryAdapter],
        method: str,
        name: str,
        value: float,
        labels: Mapping[str, str] | None,
    ) -> None:
        for adapter in adapters:
            # A copy for each: what one does to it is no business of the others.
            self._call(adapter, method, name, value, None if labels is None else dict(labels))

    def _call(self, adapter: TelemetryAdapter, method: str, *args: Any) -> None:
        called = getattr(adapter, method, None)
        if called is not None:  # not `close` and `bind_core` of what is an adapter by its methods only
            self.guarded(adapter, method, called, *args)

    def guarded(self, adapter: TelemetryAdapter, method: str, called: Callable[..., Any], *args: Any) -> Any:
        """Call something of an adapter's; returns `None` if that raises."""
        try:
            return called(*args)
        except Exception:  # noqa: BLE001 - whatever a program's own code raises: the cache goes on
            self._report(adapter, method)
            return None

    def _report(self, adapter: TelemetryAdapter, method: str) -> None:
        now = time.monotonic()
        if now - self._reported.get(id(adapter), -_LOG_INTERVAL) < _LOG_INTERVAL:
            return
        # Two threads at once log twice; that does no harm.
        self._reported[id(adapter)] = now
        name = type(adapter).__qualname__
        logger.warning(
            "the telemetry adapter %s failed in %s(); zoocache goes on", name, method, exc_info=True
        )


class _Spans:
    """Makes the spans of each adapter that makes spans."""

    def __init__(self, manager: TelemetryManager, adapters: list[Any]) -> None:
        self._manager = manager
        self._adapters = adapters

    def __call__(self, name: str, function: str, began_us: int | None) -> _Span | None:
        """Make a span of something that begins now; or, with `began_us`, of what has ended now."""
        if began_us is None:
            return _Span(self._manager, self._adapters, name, function)
        for adapter in self._adapters:
            self._manager.guarded(adapter, "span", adapter.past_span, name, began_us)
        return None


class _Span:
    """A block, and spans around it that never change how it ends."""

    def __init__(self, manager: TelemetryManager, adapters: list[Any], name: str, function: str) -> None:
        self._manager = manager
        self._made = [
            (adapter, manager.guarded(adapter, "span", adapter.span, name, function)) for adapter in adapters
        ]

    def __enter__(self) -> None:
        for adapter, span in self._made:
            if span is not None:
                self._manager.guarded(adapter, "span", span.__enter__)

    def __exit__(self, *raised: object) -> None:
        for adapter, span in reversed(self._made):
            if span is not None:
                self._manager.guarded(adapter, "span", span.__exit__, *raised)


class TimerContext:
    """A block whose duration is observed, in seconds, however it ends; for `with` and `async with`.

    Args:
        manager: Whose adapters are told; an adapter will do.
        name: The metric.
        labels: What tells its parts apart.
    """

    def __init__(
        self,
        manager: TelemetryManager | TelemetryAdapter,
        name: str,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._manager = manager
        self._name = name
        self._labels = labels
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._manager.observe(self._name, time.perf_counter() - self._began, self._labels)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

"""What an adapter is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zoocache.telemetry._core import Core


class TelemetryAdapter(ABC):
    """Takes what there is to tell to a system that watches programs.

    It is called in step with the cache, in the thread or event loop whose call it is about, and so must be
    quick. What it raises is logged once a minute, and nothing else comes of it.

    Attributes:
        reads_core: Whether it reads the counters of the cache by itself when it needs them (see `bind_core`).
            Then it is not called in step, and costs a hit nothing.
    """

    reads_core: ClassVar[bool] = False

    @abstractmethod
    def increment(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Add to a counter.

        Args:
            name: The counter.
            value: How much.
            labels: What tells its parts apart.
        """

    @abstractmethod
    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Add one of many values, such as a duration in seconds, to a distribution."""

    @abstractmethod
    def set_gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Say how much there is of something now."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """End. It is called when the last cache that was bound is closed or reset."""

    def bind_core(self, core: Core) -> None:  # noqa: B027 - most need it not
        """Take the counters of a cache, once for each cache that is configured with this adapter."""

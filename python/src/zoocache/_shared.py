"""What a cached function needs to know before it reads what other processes have stored."""

from __future__ import annotations

from typing import Any

from zoocache import _registry
from zoocache._shared_identity import warn_of


def meet(function: Any, name: str, shared: str | None) -> None:
    """Learn the classes that a function returns, and warn of one whose results are not shared."""
    _registry.learn(function)
    warn_of(name, shared)

"""What a cached function needs to know before it reads what other processes have stored."""

from __future__ import annotations

from typing import Any

from zoocache import _registry
from zoocache._log import logger
from zoocache._shared_identity import OWN


def meet(function: Any, name: str, shared: str | None) -> None:
    """Learn the classes that a function returns, and say in the log if its entries are this process's own."""
    _registry.learn(function)
    if shared is not None and OWN in shared:
        logger.warning(
            "%s: its results are not shared with other processes, which cannot tell it from other functions "
            "of that name (it captures an object, or has no file); if it means the same everywhere, give it "
            'namespace="..."',
            name,
        )

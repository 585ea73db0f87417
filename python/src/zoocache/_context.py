"""The context variable that links nested calls; native code reads and writes it."""

from __future__ import annotations

from contextvars import ContextVar

#: The running computation that the current code is part of.
CURRENT: ContextVar[object] = ContextVar("zoocache_computation", default=None)

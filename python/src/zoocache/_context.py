"""The context variables that native code reads: what the current code is part of."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoocache import _native

#: The running computation that the current code is part of.
CURRENT: ContextVar[object] = ContextVar("zoocache_computation", default=None)
#: The innermost batch of invalidations.
BATCH: ContextVar[_native.Batch | None] = ContextVar("zoocache_batch", default=None)
#: The innermost demand on reads.
DEMAND: ContextVar[_native.Demand | None] = ContextVar("zoocache_demand", default=None)

"""Computations that nobody waits for: of sync functions in threads of a pool, of async ones in tasks.

They keep the context variables of the call that began them. What fails in one has no caller to go to: it is
counted, and logged once a minute for each function.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoocache._native import CachedFunction, Lead

#: Computations in the background that may run at once; others wait for their turn.
_MAX_THREADS = 8
#: Seconds between two logged failures of one function.
_LOG_INTERVAL = 60.0

_logger = logging.getLogger("zoocache")
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_logged: dict[str, float] = {}


def in_thread(function: CachedFunction[..., Any], lead: Lead, args: tuple[Any, ...], kwargs: Any) -> None:
    """Compute in another thread."""
    context = contextvars.copy_context()
    # The interpreter is shutting down: `lead` is dropped, and whoever waits for it takes over.
    with contextlib.suppress(RuntimeError):
        _threads().submit(context.run, _run, function, lead, args, kwargs)


def _run(function: CachedFunction[..., Any], lead: Lead, args: tuple[Any, ...], kwargs: Any) -> None:
    try:
        function._run(lead, args, kwargs)  # noqa: SLF001
    except Exception as error:  # noqa: BLE001 - whatever the user's function raises
        report(function, error)


def report(function: CachedFunction[..., Any], error: BaseException) -> None:
    """Log what a function raised that nobody waits for, unless it did so a moment ago."""
    name, now = repr(function), time.monotonic()
    with _lock:
        if now - _logged.get(name, -_LOG_INTERVAL) < _LOG_INTERVAL:
            return
        _logged[name] = now
    _logger.warning("%s failed in the background; its callers got a stale value", name, exc_info=error)


def _threads() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603 - made at the first use
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="zoocache")
        return _pool


def _after_fork() -> None:
    """Forget the threads, which are not in this process."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)

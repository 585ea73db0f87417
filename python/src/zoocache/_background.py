"""Computations that nobody waits for: of sync functions in threads, of async ones in tasks.

They keep the context variables of the call that began them. What fails in one has no caller to go to: it is
counted, and logged once a minute for each function.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

from zoocache import _native
from zoocache._context import BATCH

if TYPE_CHECKING:
    from zoocache._native import CachedFunction, Lead

#: Computations in the background that may run at once; others wait for their turn.
_MAX_THREADS = 8
#: Seconds between two logged failures of one function.
_LOG_INTERVAL = 60.0

_Job: TypeAlias = Callable[[], None]

_logger = logging.getLogger("zoocache")
_logged: dict[str, float] = {}


class _Threads:
    """A pool whose end drops what waits for its turn; one of Python's own computes all of it first."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="zoocache")
        # Reentrant: the garbage collector may run code that comes here, at any time.
        self._lock = threading.RLock()
        self._waiting: deque[_Job] = deque()
        self._running = 0

    def run(self, job: _Job) -> None:
        """Run a job in a thread, as soon as one is free."""
        with self._lock:
            if self._running == _MAX_THREADS:
                self._waiting.append(job)
                return
            self._running += 1
        self._begin([job])

    def _begin(self, jobs: list[_Job]) -> None:
        try:
            self._pool.submit(self._work, jobs)
        except RuntimeError:
            # There are no more threads, or the interpreter is shutting down: jobs are dropped with their
            # leads, and whoever waits for them takes over. The pool may have taken in this one all the same.
            jobs.clear()
            with self._lock:
                self._running -= 1
                dropped = list(self._waiting)
                self._waiting.clear()
            # With nothing locked: this may run foreign code.
            dropped.clear()

    def _work(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            jobs.pop()()
        finally:
            with self._lock:
                if self._waiting:
                    jobs.append(self._waiting.popleft())
                else:
                    self._running -= 1
            if jobs:
                self._begin(jobs)


_threads = _Threads()


def in_thread(function: CachedFunction[..., Any], lead: Lead, args: tuple[Any, ...], kwargs: Any) -> None:
    """Compute in another thread."""
    context = contextvars.copy_context()
    _threads.run(functools.partial(context.run, _run, function, lead, args, kwargs))


def _run(function: CachedFunction[..., Any], lead: Lead, args: tuple[Any, ...], kwargs: Any) -> None:
    # What it invalidates is not part of what the caller may yet drop.
    BATCH.set(None)
    try:
        _native.run(function, lead, args, kwargs)
    except BaseException as error:  # noqa: BLE001 - whatever the user's function raises: the thread goes on
        report(function, error)


def report(function: CachedFunction[..., Any], error: BaseException) -> None:
    """Log what a function raised that nobody waits for, unless it did so a moment ago."""
    name, now = repr(function), time.monotonic()
    if now - _logged.get(name, -_LOG_INTERVAL) < _LOG_INTERVAL:
        return
    # Two threads at once log twice; that does no harm.
    _logged[name] = now
    _logger.warning("%s failed in the background; its callers got a stale value", name, exc_info=error)


def _after_fork() -> None:
    """Forget the threads, which are not in this process."""
    global _threads  # noqa: PLW0603 - made anew
    _threads = _Threads()


os.register_at_fork(after_in_child=_after_fork)

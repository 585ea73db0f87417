"""Waiting for a server in an event loop, without blocking it.

What was asked for is awaited with `arrived`: all coroutines of a loop share one bell (`native/far.rs`), which
its reader callback answers. What native code can only do in one go, and may have to wait for a server in
between, is done in threads of this module's own, with `in_thread`.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import itertools
import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from zoocache import _native

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
#: Operations that wait for a server at the same time; others wait for them.
_THREADS = 16


class _Waiting:
    """The coroutines of one event loop that wait for something to arrive."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.bell = _native.Bell()
        self.futures: dict[int, asyncio.Future[None]] = {}

    def answer(self) -> None:
        for token in self.bell.take():
            future = self.futures.pop(token, None)
            # Whoever was cancelled does not wait any more.
            if future is not None and not future.done():
                future.set_result(None)


_waiting: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiting] = weakref.WeakKeyDictionary()
_tokens = itertools.count()


def _of(loop: asyncio.AbstractEventLoop) -> _Waiting | None:
    """Return those who wait in `loop`; `None` if it cannot watch a bell."""
    waiting = _waiting.get(loop)
    # A forked child does not share its parent's bells.
    if waiting is None or waiting.process != os.getpid():
        waiting = _Waiting()
        try:
            loop.add_reader(waiting.bell.fileno(), waiting.answer)
        except NotImplementedError:
            # As the proactor of Windows; `arrived` waits in a thread then.
            return None
        _waiting[loop] = waiting
    return waiting


async def arrived(fetch: _native.Fetch) -> None:
    """Wait until what was asked for is here, or is known not to come."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # Driven by hand or by another kind of loop: nothing could wake us up.
        fetch.wait()
        return
    waiting = _of(loop)
    if waiting is None:
        await in_thread(fetch.wait)
        return
    token = next(_tokens)
    future: asyncio.Future[None] = loop.create_future()
    waiting.futures[token] = future
    try:
        if not fetch.subscribe(waiting.bell, token):
            await future
        fetch.waited()
    finally:
        waiting.futures.pop(token, None)


class _Threads:
    """The threads of this process."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="zoocache")


_threads: _Threads | None = None


async def in_thread(function: Callable[..., _T], *args: Any) -> _T:
    """Call a function in another thread, with the context of the caller.

    Its caller may be cancelled meanwhile; the function goes on.
    """
    global _threads  # noqa: PLW0603 - a forked child has none of its parent's
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return function(*args)
    if _threads is None or _threads.process != os.getpid():
        _threads = _Threads()
    call = functools.partial(contextvars.copy_context().run, function, *args)
    return await asyncio.shield(loop.run_in_executor(_threads.pool, call))

"""Misses of async cached functions, in a coroutine of Python's own.

A hit never comes here. What is decided (who computes, who waits, what is stored) is decided by native
code; this module only awaits.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from zoocache._context import CURRENT

if TYPE_CHECKING:
    from zoocache._native import CachedCall, CachedFunction, Lead, Wait

_T = TypeVar("_T")
_VALUE, _LEAD = 0, 1


async def fill(function: CachedFunction[..., Any], key: bytes, args: tuple[Any, ...], kwargs: Any) -> Any:
    """Compute the value of a call that missed, or wait for somebody who does."""
    second_round = False
    while True:
        kind, payload = function._step(key, second_round, args, kwargs)  # noqa: SLF001
        if kind == _VALUE:
            return payload
        if kind == _LEAD:
            return await _lead(function, payload, args, kwargs)
        if not await _landed(payload):
            payload.give_up()
            return await _lead(function, function._lead_alone(key, args, kwargs), args, kwargs)  # noqa: SLF001
        taken, value = payload.take()
        if taken:
            return value
        second_round = True


async def refresh(function: CachedFunction[..., Any], key: bytes, args: tuple[Any, ...], kwargs: Any) -> Any:
    """Compute the value of a call in any case and store it."""
    return await _lead(function, function._lead_alone(key, args, kwargs), args, kwargs)  # noqa: SLF001


async def _lead(function: CachedFunction[..., Any], lead: Lead, args: tuple[Any, ...], kwargs: Any) -> Any:
    outer = CURRENT.set(lead.frame())
    try:
        value = await function.__wrapped__(*args, **(kwargs or {}))
    except BaseException as error:
        lead.fail(error)
        raise
    finally:
        # Closed from another context, as by the garbage collector, there is nothing to put back.
        with contextlib.suppress(ValueError):
            CURRENT.reset(outer)
    lead.finish(value)
    return value


async def _landed(wait: Wait) -> bool:
    """Wait until the other computation has ended; `False` if it takes too long or cannot be waited for."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # Driven by hand or by another kind of loop: nothing could wake us up.
        return False
    future: asyncio.Future[bool] = loop.create_future()
    wait.subscribe(_wake, loop, future)
    timer = loop.call_later(wait.timeout, _give_up, future)
    try:
        return await future
    finally:
        timer.cancel()


def _wake(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(True)


def _give_up(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(False)


async def awaited(call: CachedCall[_T]) -> _T:
    """Await a call, in a coroutine whose `__await__()` is an iterator."""
    return await call


async def empty() -> None:
    """Do nothing: stands for a call that does not run when an exception is thrown into it."""

"""Misses of async cached functions, in a coroutine of Python's own.

A hit never comes here. What is decided (who computes, who waits, what is stored) is decided by native
code; this module only awaits.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any, TypeVar

from zoocache import _native
from zoocache._background import report
from zoocache._context import BATCH, CURRENT
from zoocache._far import arrived, in_thread

if TYPE_CHECKING:
    from zoocache._native import CachedCall, CachedFunction, Fetch, Lead, Wait

_T = TypeVar("_T")
_VALUE, _LEAD, _CLAIM, _ASKED = 0, 1, 3, 4  # steps: `native/miss.rs`
_OURS, _BUSY, _FOUND = 0, 1, 2  # answers to a claim
#: How often what another process has computed may turn out to be stale, before a caller computes by itself.
_MAX_ROUNDS = 2
#: Seconds between two questions whether another process has finished.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.02
_NO_SPAN = contextlib.nullcontext()
_REVALIDATING, _LATE, _FAILED = 0, 1, 2  # occasions for a stale value: `native/tolerant.rs`

#: Tasks in the background, by event loop; a loop itself does not keep them alive.
_tasks: dict[asyncio.AbstractEventLoop, set[asyncio.Task[Any]]] = {}


async def fill(function: CachedFunction[..., Any], key: bytes, args: tuple[Any, ...], kwargs: Any) -> Any:
    """Compute the value of a call that missed, or wait for somebody who does."""
    second_round, rounds = False, 0
    fetch: Fetch | None = None
    while True:
        may_claim = rounds < _MAX_ROUNDS
        kind, payload = _native.step(function, key, (second_round, may_claim), args, kwargs, fetch)
        # It is good for one step: what comes later is another read.
        fetch = None
        if kind == _VALUE:
            return payload
        if kind == _ASKED:
            await arrived(payload)
            fetch = payload
            continue
        if kind == _CLAIM:
            answer, value = await _claimed(payload)
            if answer == _FOUND:
                return value
            if answer != _OURS:
                rounds += 1
                continue
            _declare(payload, args, kwargs)
            kind = _LEAD
        if kind == _LEAD:
            return await _lead(function, payload, args, kwargs)
        _end_with_their_loops()
        if not await _landed(payload):
            payload.give_up()
            return await refresh(function, key, args, kwargs)
        taken, value = payload.take()
        if taken:
            return value
        second_round = True


async def fill_tolerant(
    function: CachedFunction[..., Any], key: bytes, args: tuple[Any, ...], kwargs: Any
) -> Any:
    """Do what `fill` does, unless a stale value stands in."""
    try:
        if (fetch := await _asked(function, key)) is not None:
            found, value = _native.fetched(function, key, args, kwargs, fetch)
            if found:
                return value
        if _native.has_stand_in(function, key, _REVALIDATING, fetch):
            _native.begin_refresh(function, key, args, kwargs, fetch)
            found, value = _native.stand_in(function, key, _REVALIDATING, fetch)
            if found:
                return value
        timeout = _native.soft_timeout(function)
        if timeout is not None and _native.has_stand_in(function, key, _LATE, fetch):
            return await _within(timeout, function, key, args, kwargs)
        return await fill(function, key, args, kwargs)
    except RecursionError:
        # A key that depends on itself is a mistake in the program, which a stale value would only hide.
        raise
    except Exception:
        found, value = _native.stand_in(function, key, _FAILED, await _asked(function, None))
        if found:
            return value
        raise


async def _asked(function: CachedFunction[..., Any], key: bytes | None) -> Fetch | None:
    """Return what the server, if there is one, has of a key, and what has changed."""
    fetch = _native.ask(function, key)
    if fetch is not None:
        await arrived(fetch)
    return fetch


async def _within(
    timeout: float, function: CachedFunction[..., Any], key: bytes, args: tuple[Any, ...], kwargs: Any
) -> Any:
    """Compute in the background and wait for it no longer than `timeout`, in seconds."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # Driven by hand or by another kind of loop: there are no tasks.
        return await fill(function, key, args, kwargs)
    computing = loop.create_task(fill(function, key, args, kwargs))
    _keep(computing)
    try:
        done, _ = await asyncio.wait({computing}, timeout=timeout)
    except BaseException:
        computing.add_done_callback(functools.partial(_ended, function))
        with contextlib.suppress(RuntimeError):  # the loop is closed, and its tasks with it
            computing.cancel()
        raise
    if done:
        return computing.result()
    found, value = _native.stand_in(function, key, _LATE, await _asked(function, None))
    if found:
        computing.add_done_callback(functools.partial(_ended, function))
        return value
    return await computing


def in_task(function: CachedFunction[..., Any], lead: Lead, args: tuple[Any, ...], kwargs: Any) -> None:
    """Compute in a task of the running event loop; without one, whoever waits for `lead` takes over."""
    with contextlib.suppress(RuntimeError):
        loop = asyncio.get_running_loop()
        task = loop.create_task(_compute(function, lead, args, kwargs))
        _keep(task)
        task.add_done_callback(functools.partial(_ended, function))


async def _compute(
    function: CachedFunction[..., Any], lead: Lead, args: tuple[Any, ...], kwargs: Any
) -> None:
    # What it invalidates is not part of what the caller may yet drop.
    BATCH.set(None)
    if _declare(lead, args, kwargs):
        await _lead(function, lead, args, kwargs)


def _declare(lead: Lead, args: tuple[Any, ...], kwargs: Any) -> bool:
    try:
        return lead.declare(args, kwargs)
    except BaseException as error:
        lead.fail(error)
        raise


async def _claimed(lead: Lead) -> tuple[int, Any]:
    """Ask to compute alone among all processes, and wait for another that does."""
    pause, waited = _SHORTEST_PAUSE, 0.0
    while True:
        answer, value = await in_thread(lead.claim) if lead.is_far else lead.claim()
        if answer != _BUSY:
            return answer, value
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # Driven by hand or by another kind of loop: there is no way to pause.
            waited = lead.timeout
        if waited >= lead.timeout:
            await in_thread(lead.give_up_claim) if lead.is_far else lead.give_up_claim()
            return _OURS, None
        await asyncio.sleep(pause)
        waited += pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def _keep(task: asyncio.Task[Any]) -> None:
    loop = task.get_loop()
    if loop not in _tasks:
        _end_with_their_loops()
    _tasks.setdefault(loop, set()).add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    loop = task.get_loop()
    tasks = _tasks.get(loop, set())
    tasks.discard(task)
    if not tasks:
        _tasks.pop(loop, None)


def _end_with_their_loops() -> None:
    """End tasks whose loop was closed before they were done, or others would wait for them in vain."""
    for loop in [loop for loop in tuple(_tasks) if loop.is_closed()]:
        for task in _tasks.pop(loop, ()):
            # What its clean-up raises concerns nobody: the program left it behind.
            with contextlib.suppress(Exception):
                task.get_coro().close()


def _ended(function: CachedFunction[..., Any], task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        report(function, error)


async def refresh(function: CachedFunction[..., Any], key: bytes, args: tuple[Any, ...], kwargs: Any) -> Any:
    """Compute the value of a call in any case and store it."""
    fetch = await _asked(function, None)
    return await _lead(function, _native.lead_alone(function, key, args, kwargs, fetch), args, kwargs)


async def _lead(function: CachedFunction[..., Any], lead: Lead, args: tuple[Any, ...], kwargs: Any) -> Any:
    outer = CURRENT.set(lead.frame())
    try:
        with lead.span() or _NO_SPAN:
            value = await function.__wrapped__(*args, **(kwargs or {}))
    except BaseException as error:
        lead.fail(error)
        raise
    finally:
        # Closed from another context, as by the garbage collector, there is nothing to put back.
        with contextlib.suppress(ValueError):
            CURRENT.reset(outer)
    if not lead.is_far:
        lead.finish(value)
    elif lead.prepare(value):
        await in_thread(lead.commit)
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

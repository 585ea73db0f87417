"""Many calls of an async function at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from zoocache._bulk import asked, completed, fetched, near, together
from zoocache._far import arrived

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from zoocache import _native
    from zoocache._bulk import Call


async def many_async(
    function: _native.CachedFunction[..., Awaitable[Any]], calls: list[Call], limit: int | None
) -> list[Any]:
    """Return the results of `calls`, computing at most `limit` of them at once."""
    results, absent = near(function, calls)
    if absent and (fetch := asked(function, calls, absent)) is not None:
        await arrived(fetch)
        absent = fetched(function, calls, (results, absent), fetch)
    missing = together(function, calls, absent)

    async def worker(work: Iterator[list[int]]) -> None:
        for place, *_ in work:
            args, kwargs = calls[place]
            results[place] = await function(*args, **(kwargs or {}))

    work = iter(missing)
    count = len(missing) if limit is None else min(limit, len(missing))
    if count <= 1 or not _runs_asyncio():
        await worker(work)
    else:
        await _all([worker(work if limit is not None else iter([places])) for places in missing[:count]])
    return completed(function, calls, results, missing)


def _runs_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # another kind of loop: one after the other then
        return False
    return True


async def _all(workers: list[Any]) -> None:
    """Run all of them; after the first exception, or when cancelled, cancel the others and wait for them."""
    tasks = [asyncio.create_task(worker) for worker in workers]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    except BaseException:
        await _cancel(tasks)
        raise
    failed = [task for task in tasks if task in done and (task.cancelled() or task.exception() is not None)]
    if failed:
        await _cancel(tasks)
        failed[0].result()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

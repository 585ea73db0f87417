"""Asking a cache without stopping the event loop: it may take long, and wait for a server.

The threads are not those of the application, whose own work must not wait for a page; and a process may end
while one of them still waits for a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from zoocache.dashboard._answers import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

_R = TypeVar("_R")


class Threads:
    """A few threads, each of which does one thing."""

    def __init__(self, most: int = 8) -> None:
        self._free = threading.BoundedSemaphore(most)

    async def run(self, work: Callable[..., _R], *given: Any) -> _R:
        """Do something in a thread.

        Raises:
            Refusal: All of them are busy.
        """
        if not self._free.acquire(blocking=False):
            raise Refusal(503, "too much is asked at once; ask again in a second", {"retry-after": "1"})
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_R] = loop.create_future()

        def run() -> None:
            result: Any = None
            error: Exception | None = None
            try:
                result = work(*given)
            except Exception as raised:  # noqa: BLE001 - for whoever waits
                error = raised
            except BaseException as raised:  # noqa: BLE001 - a panic of native code, too: nobody may wait for ever
                error = RuntimeError(f"{type(raised).__name__}: {raised}")
            finally:
                self._free.release()
            # Whoever waited may be gone, and its loop, too.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, done, result, error)

        threading.Thread(target=run, name="zoocache-dashboard", daemon=True).start()
        return await done


def _settle(done: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)

"""What processes do with a cache: counted here, and told to whoever watches from elsewhere.

Each process counts for itself. Those of one machine are asked through their control sockets. Those that share
a server tell there what they have counted, for as long as somebody watches: whoever does writes the key
`{PREFIX}:watched`, and each process with a control socket then writes `{PREFIX}:activity:NODE` every two
seconds. Both expire by themselves.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from zoocache import _native
from zoocache._errors import CacheError
from zoocache._log import logger
from zoocache._settings import is_configured, lock
from zoocache.inspect._remote import RemoteInspector, control_sockets
from zoocache.inspect._server import plain
from zoocache.inspect.records import Activity, FunctionActivity, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from zoocache._cache import Cache
    from zoocache.inspect._server import Server

#: Seconds between two looks at whether somebody watches.
PAUSE = 2.0
#: Milliseconds for which a wish to watch, and what is told because of it, is valid.
_VALID_MS = 10_000
#: The most bytes that a process tells, and the most processes that are listened to.
_MOST_BYTES, _MOST_PROCESSES = 256 * 1024, 1000
#: Seconds that a process may take to answer, and how many are asked at once: those that are stopped must not
#: stop whoever watches.
_PATIENCE, _AT_ONCE = 1.0, 16
#: Beyond every counter.
_MOST = 2**64


def own(cache: Cache, process: str, place: str) -> Activity:
    """Tell what this process has done with a cache since it was made."""
    counters, functions = _native.activity(cache._native)  # noqa: SLF001 - our own
    return Activity(
        process, place, time.monotonic(), counters, tuple(FunctionActivity(*row) for row in functions)
    )


def name_on_server() -> str:
    """What this process is called among the nodes of a server."""
    return plain(f"{os.uname().nodename}:{os.getpid()}")


def on_machine(processes: Sequence[str], place: str) -> tuple[Activity, ...]:
    """Tell what those of some processes of this machine that have a control socket have done with a place."""
    sockets = [(pid, path) for pid, path in control_sockets().items() if f"pid:{pid}" in processes]
    if len(sockets) < 2:  # noqa: PLR2004 - nobody else waits for the answer
        told = [_asked(*socket) for socket in sockets]
    else:
        with ThreadPoolExecutor(min(len(sockets), _AT_ONCE), "zoocache-activity") as asking:
            told = list(asking.map(lambda socket: _asked(*socket), sockets))
    return tuple(one for activities in told for one in activities if one.place == place and _is_possible(one))


def _asked(pid: int, path: Path) -> tuple[Activity, ...]:
    try:
        return RemoteInspector(path, _PATIENCE).activity()
    except (CacheError, OSError, ValueError) as error:
        logger.debug("process %d does not tell what it does: %s", pid, error)
        return ()


class Publisher:
    """Tells on the server what this process does, while somebody watches there; in a thread of its own.

    A server that does not answer keeps it waiting, and nobody else.
    """

    def __init__(self, server: Server, activity: Callable[[], Activity]) -> None:
        self._server, self._activity = server, activity
        self._has_failed = False
        self._ended = threading.Event()

    def start(self) -> None:
        """Look every two seconds from now on."""
        threading.Thread(target=self._go_on, name="zoocache-activity", daemon=True).start()

    def end(self) -> None:
        """Look no more, and leave the cache alone: it may be another one, or none, from now on."""
        with lock:
            self._ended.set()

    def _go_on(self) -> None:
        while not self._ended.is_set():
            try:
                self.publish()
            except Exception:  # noqa: BLE001 - it is tried again
                logger.exception("what this process does could not be told")
            self._ended.wait(PAUSE)

    def publish(self) -> None:
        """Look whether somebody watches, and tell. What the server refuses is tried again the next time."""
        try:
            base = _base(self._server)
            if self._server.ask("EXISTS", f"{base}:watched"):
                # Never while the server is asked. Without it, the default cache could be gone by now, and be
                # made anew by being asked.
                with lock:
                    if self._ended.is_set() or not is_configured():
                        return
                    activity = self._activity()
                told = json.dumps(to_json(activity)).encode()
                if len(told) <= _MOST_BYTES:
                    self._server.ask("SET", f"{base}:activity:{activity.process}", told, "PX", _VALID_MS)
        except CacheError as error:
            if not self._has_failed and not self._ended.is_set():
                logger.warning("whoever watches this cache does not see what this process does: %s", error)
            self._has_failed = True
        else:
            self._has_failed = False


def published(server: Server, processes: Sequence[str]) -> tuple[Activity, ...]:
    """Tell what some processes have told on the server, and ask all of them to go on.

    Raises:
        StorageError: The server refuses it, or does not answer.
    """
    base = _base(server)
    server.ask("SET", f"{base}:watched", "1", "PX", _VALID_MS)
    if not processes:
        return ()
    asked = processes[:_MOST_PROCESSES]
    listed = server.ask("MGET", *(f"{base}:activity:{name}" for name in asked))
    told = [_read(text, name) for name, text in zip(asked, listed, strict=True) if text is not None]
    return tuple(activity for activity in told if activity is not None)


def _read(text: bytes, process: str) -> Activity | None:
    """What a process has told; `None` if it is of another version, or written by somebody else."""
    if len(text) > _MOST_BYTES:
        return None
    try:
        activity = from_json(Activity, json.loads(text))
    except (ValueError, RecursionError):
        return None
    return activity if activity.process == process and _is_possible(activity) else None


def _is_possible(activity: Activity) -> bool:
    """Whether it can be reckoned with: JSON also has infinities, what is no number, and any whole number."""
    functions = activity.functions
    lengths = [activity.clock, *(one.seconds for one in functions)]
    counts = [*activity.counters.values()]
    for one in functions:
        counts += [one.hits, one.misses, one.stale, one.expired, one.errors, one.computed]
    return all(0 <= count < _MOST for count in counts) and all(
        0 <= length < _MOST and math.isfinite(length) for length in lengths
    )


def _base(server: Server) -> str:
    return server.probe.table.removesuffix(":V")

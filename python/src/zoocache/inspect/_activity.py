"""What processes do with a cache: counted here, and told to whoever watches from elsewhere.

Each process counts for itself. Those of one machine are asked through their control sockets. Those that share
a server tell there what they have counted, for as long as somebody watches: whoever does writes the key
`{PREFIX}:watched`, and each process with a control socket then writes `{PREFIX}:activity:NODE` every two
seconds. Both expire by themselves.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from zoocache import _native
from zoocache._errors import CacheError
from zoocache._log import logger
from zoocache.inspect._remote import RemoteInspector, control_sockets
from zoocache.inspect._server import plain
from zoocache.inspect.records import Activity, FunctionActivity, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from zoocache._cache import Cache
    from zoocache.inspect._server import Server

#: Seconds between two looks at whether somebody watches.
PAUSE = 2.0
#: Milliseconds for which a wish to watch, and what is told because of it, is valid.
_VALID_MS = 10_000
#: The most bytes that a process tells, and the most processes that are listened to.
_MOST_BYTES, _MOST_PROCESSES = 256 * 1024, 1000
#: Seconds that a process may take to answer: one that is stopped must not stop whoever watches.
_PATIENCE = 1.0


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
    return tuple(one for one in _asked(processes) if one.place == place)


def _asked(processes: Sequence[str]) -> Iterator[Activity]:
    for pid, path in control_sockets().items():
        if f"pid:{pid}" in processes:
            try:
                yield from RemoteInspector(path, _PATIENCE).activity()
            except (CacheError, OSError, ValueError) as error:
                logger.debug("process %d does not tell what it does: %s", pid, error)


class Publisher:
    """Tells on the server what this process does, while somebody watches there."""

    def __init__(self, server: Server, activity: Callable[[], Activity]) -> None:
        self._server, self._activity = server, activity
        self._has_failed = False

    def publish(self) -> None:
        """Look whether somebody watches, and tell. What the server refuses is tried again the next time."""
        try:
            base = _base(self._server)
            if self._server.ask("EXISTS", f"{base}:watched"):
                activity = self._activity()
                told = json.dumps(to_json(activity)).encode()
                if len(told) <= _MOST_BYTES:
                    self._server.ask("SET", f"{base}:activity:{activity.process}", told, "PX", _VALID_MS)
        except CacheError as error:
            if not self._has_failed:
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
    listed = server.ask("MGET", *(f"{base}:activity:{name}" for name in processes[:_MOST_PROCESSES]))
    told = [_read(text) for text in listed if text is not None and len(text) <= _MOST_BYTES]
    return tuple(activity for activity in told if activity is not None)


def _read(text: bytes) -> Activity | None:
    """What a process has told; `None` if it is of another version, or written by somebody else."""
    try:
        return from_json(Activity, json.loads(text))
    except (ValueError, RecursionError):
        return None


def _base(server: Server) -> str:
    return server.probe.table.removesuffix(":V")

"""The inspector of another process's cache, through its control socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoocache._errors import InvalidTag, SerializationError, StorageError
from zoocache.inspect import _socket
from zoocache.inspect._base import Inspector, Unreachable
from zoocache.inspect._processes import is_alive, name_here
from zoocache.inspect.records import (
    Activity,
    Branch,
    Explanation,
    Invalidation,
    Node,
    Page,
    State,
    Stats,
    Value,
    from_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds that an answer may take: looking at everything takes its time.
_PATIENCE = 120.0
#: What a failure of the other process is here; anything else is a `StorageError`.
_ERRORS: Mapping[str, type[Exception]] = {
    "InvalidTag": InvalidTag,
    "KeyError": KeyError,
    "SerializationError": SerializationError,
    "TypeError": TypeError,
    "ValueError": ValueError,
}


class RemoteInspector(Inspector):
    """Looks at the default cache of another process of this user."""

    def __init__(self, process: int | Path, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._path = process if isinstance(process, Path) else _socket.folder() / f"{process}.sock"
        if not self._path.is_socket():
            raise Unreachable(_missing(process))

    def stats(self) -> Stats:
        return from_json(Stats, self._ask("stats"))

    def entries(
        self,
        *,
        prefix: str = "",
        tag: str | None = None,
        state: State | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page:
        asked = self._ask("entries", prefix=prefix, tag=tag, state=state, cursor=cursor, limit=limit)
        return from_json(Page, asked)

    def value(self, key: str) -> Value:
        return from_json(Value, self._ask("value", key=key))

    def explain(self, key: str) -> Explanation:
        return from_json(Explanation, self._ask("explain", key=key))

    def tree(self, tag: str | None = None) -> tuple[Branch, ...]:
        return tuple(from_json(Branch, branch) for branch in self._ask("tree", tag=tag))

    def affected(self, tag: str) -> int:
        return int(self._ask("affected", tag=tag))

    def invalidations(self, after: int | None = None, limit: int = 100) -> tuple[Invalidation, ...]:
        told = self._ask("invalidations", after=after, limit=limit)
        return tuple(from_json(Invalidation, one) for one in told)

    def nodes(self) -> tuple[Node, ...]:
        nodes = [from_json(Node, node) for node in self._ask("nodes")]
        # Whoever was asked is not who asks.
        return tuple(Node(**{**vars(node), "is_self": node.name == name_here()}) for node in nodes)

    def activity(self) -> tuple[Activity, ...]:
        return (from_json(Activity, self._ask("own_activity")),)

    def invalidate(self, *tags: str) -> int:
        return int(self._ask("invalidate", tags=tags))

    def clear(self) -> None:
        self._ask("clear")

    def prune(self) -> int:
        return int(self._ask("prune"))

    def close(self) -> None:
        """There is nothing to end: each question has a connection of its own."""

    def _ask(self, operation: str, **given: Any) -> Any:
        request = json.dumps({"do": operation, "with": given}).encode() + b"\n"
        if len(request) > _socket.MOST_REQUEST:
            raise ValueError(f"the request takes {len(request)} bytes of at most {_socket.MOST_REQUEST}")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(self._patience)
            try:
                connection.connect(str(self._path))
                connection.sendall(request)
                answer = json.loads(_socket.read_line(connection, _socket.MOST_ANSWER))
            except (OSError, ValueError) as error:
                raise Unreachable(f"the process at {self._path} does not answer: {error}") from error
        if "failed" in answer:
            raise _ERRORS.get(answer["failed"], StorageError)(answer["text"])
        return answer["done"]


def control_sockets() -> dict[int, Path]:
    """Tell the control sockets of this user's processes that run, by their process ids."""
    found = {}
    try:
        paths = list(_socket.folder().glob("*.sock"))
    except OSError:
        paths = []
    for path in paths:
        if path.stem.isdigit() and is_alive(int(path.stem)) and path.is_socket():
            found[int(path.stem)] = path
    return dict(sorted(found.items()))


def _missing(process: int | Path) -> str:
    if isinstance(process, Path):
        return f"there is no control socket at {process}"
    if not is_alive(process):
        return f"there is no process {process}"
    others = ", ".join(str(pid) for pid in control_sockets())
    known = f"; these have one: {others}" if others else ""
    return f"process {process} has no control socket: let it say configure(control=True){known}"

"""What a Redis server says of the caches on it, beside what a cache itself can tell."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from zoocache import _native
from zoocache._errors import StorageError
from zoocache.inspect.records import Invalidation, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Keys that one step of a walk looks at: a server answers nobody else meanwhile.
_STEP = 1000
_MICROSECONDS = 1_000_000


class Server:
    """A connection to a server, opened at its first use."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url, self._prefix = url, prefix
        self._probe: _native.Probe | None = None

    @property
    def probe(self) -> _native.Probe:
        """The connection.

        Raises:
            StorageError: Nobody answers, or the server refuses this client.
        """
        if self._probe is None:
            self._probe = _native.Probe(self._url, self._prefix)
        return self._probe

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return self.probe.shown

    def ask(self, *words: str | bytes | int) -> Any:
        """Send a command and return its answer.

        Raises:
            StorageError: The server refuses it, or does not answer.
        """
        try:
            answer = self.probe.ask(*words)
        except StorageError:
            # A connection that has broken stays so: the next question opens another one.
            self._probe = None
            raise
        if isinstance(answer, PermissionError):
            raise StorageError(f"the server at {self.shown} refuses {words[0]!s}: {answer}")
        return answer

    def count(self) -> int:
        """Count the entries. O(keys of the database)."""
        return sum(1 for _ in self.walk(self.probe.entries))

    def walk(self, pattern: str) -> Iterator[bytes]:
        """Tell the names that match a pattern; one may come twice while the server grows or shrinks."""
        place: bytes | int = 0
        while True:
            place, names = self.ask("SCAN", place, "MATCH", pattern, "COUNT", _STEP)
            yield from names
            if int(place) == 0:
                return

    def let_sweep(self) -> None:
        """Let this process look for dead entries, although another one may just have done so."""
        self.ask("UNLINK", self.probe.table.removesuffix(":V") + ":sweeper")

    def prefixes(self) -> list[str]:
        """Tell under which prefixes there are caches, as the server writes them. O(keys of the database)."""
        names = (name.decode(errors="replace") for name in self.walk("{*}:V"))
        return sorted({name[1:-3] for name in names})

    def info(self, section: str) -> dict[str, str]:
        """Tell a section of what the server says of itself."""
        return info_of(self.ask("INFO", section))

    def now(self) -> int:
        """Tell the server's time, in microseconds since the Unix epoch."""
        seconds, microseconds = self.ask("TIME")
        return int(seconds) * _MICROSECONDS + int(microseconds)

    def sizes(self) -> dict[str, int]:
        """Tell how full the server is."""
        memory = self.info("memory")
        return {name: int(memory[name]) for name in ("used_memory", "maxmemory") if name in memory}

    def nodes(self, invalidations: Callable[[int, int], tuple[Invalidation, ...]]) -> tuple[Node, ...]:
        """Tell which processes are connected, by the names that they give their connections."""
        listed = self.ask("CLIENT", "LIST")
        now = self.now()
        nodes: dict[str, Node] = {}
        for line in listed.decode(errors="replace").splitlines():
            node = self._node(line, now, invalidations)
            if node is None:
                continue
            known = nodes.get(node.name)
            # A process may have several caches: the one that is furthest behind counts.
            if known is None or (node.behind or 0) > (known.behind or 0):
                nodes[node.name] = node
        return tuple(nodes[name] for name in sorted(nodes))

    def _node(
        self, line: str, now: int, invalidations: Callable[[int, int], tuple[Invalidation, ...]]
    ) -> Node | None:
        fields = dict(field.partition("=")[::2] for field in line.split(" "))
        head, _, rest = fields.get("name", "").partition(f"zoocache/{plain(self.probe.table)}/")
        name, _, told = rest.rpartition("/")
        if head or not told.isdigit():
            return None
        behind = None
        if int(told):
            missed = invalidations(int(told), 1)
            behind = max(0, now - missed[0].position) / _MICROSECONDS if missed else 0.0
        age = fields.get("age", "")
        return Node(
            name=name,
            behind=behind,
            age=float(age) if age.isdigit() else None,
            address=fields.get("addr", ""),
            is_self=name.endswith(f":{os.getpid()}")
            and name.rpartition(":")[0] == plain(os.uname().nodename),
        )


def info_of(answer: bytes) -> dict[str, str]:
    """Read what `INFO` answers."""
    lines = answer.decode(errors="replace").splitlines()
    return dict(line.partition(":")[::2] for line in lines if ":" in line and not line.startswith("#"))


def plain(text: str) -> str:
    """A text as it stands in the name of a client: as `host-native/src/server/calling.rs` writes it."""
    return "".join(letter if "!" <= letter <= "~" and letter != "/" else "_" for letter in text)[:100]

"""What a transaction has done so far. It lives beside the DBAPI connection, whoever uses that."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from sqlalchemy.orm import Session

#: Changed rows of a table that are told one by one; beyond, the table is told.
MOST_ROWS = 1000

_KEY = "zoocache"


@dataclass
class Frame:
    """What happened since the transaction, or a savepoint in it, began.

    Attributes:
        savepoint: Its name; `None` for the transaction.
        has_written: Whether something may have been written, or settings of the transaction changed.
        has_changed: The same without texts that look as if they only read.
        changed: The tags of tables, and those of their changed rows; `None` for any row.
    """

    savepoint: str | None = None
    has_written: bool = False
    has_changed: bool = False
    changed: dict[str, set[str] | None] = field(default_factory=dict)

    def add(self, table: str, rows: Iterable[str] | None) -> None:
        """Note changed rows of a table, or that it was changed anyhow."""
        known = self.changed.setdefault(table, set())
        if rows is None or known is None:
            self.changed[table] = None
            return
        known.update(rows)
        if len(known) > MOST_ROWS:
            self.changed[table] = None

    def merge(self, other: Frame) -> None:
        self.has_written |= other.has_written
        self.has_changed |= other.has_changed
        for table, rows in other.changed.items():
            self.add(table, rows)


class Work:
    """What the transaction of a DBAPI connection has done so far.

    Attributes:
        has_begun: Whether a statement ran, so that there may be a snapshot that later ones read from.
        is_autocommit: Whether each statement commits what it does.
        is_lasting: Whether what was done may stay, even if the transaction is rolled back.
        running: The tables of statements whose end is not known.
    """

    def __init__(self) -> None:
        self.frames = [Frame()]
        self.has_begun = False
        self._begun_in: object = None
        self.is_autocommit = False
        self.is_lasting = False
        self.running: dict[object, list[str]] = {}

    @property
    def has_written(self) -> bool:
        return any(frame.has_written for frame in self.frames)

    @property
    def has_changed(self) -> bool:
        return any(frame.has_changed for frame in self.frames)

    def begin(self, computation: object) -> None:
        """Note that a statement runs, in a computation of a cached function or in none."""
        if not self.has_begun:
            self.has_begun, self._begun_in = True, computation

    def began_in(self, computation: object) -> bool:
        """Whether the snapshot, if there is one, is no older than a computation.

        Its first statement ran in it: then whatever the computation reads was so after it had begun.
        """
        return self.has_begun and self._begun_in is computation

    def wrote(self, *, is_sure: bool = True) -> None:
        """Note that something may have been written."""
        self.frames[-1].has_written = True
        self.frames[-1].has_changed |= is_sure

    def add(self, table: str, rows: Iterable[str] | None = None) -> None:
        """Note changed rows of a table, or that it was changed anyhow."""
        self.frames[-1].add(table, rows)

    def tags(self) -> list[str]:
        """The tags of all that was changed."""
        self._settle_running()
        whole = Frame()
        for frame in self.frames:
            whole.merge(frame)
        return [
            tag
            for table, rows in whole.changed.items()
            for tag in ([table] if rows is None else sorted(rows))
        ]

    def _settle_running(self) -> None:
        for tables in self.running.values():
            for table in tables:
                self.add(table)
        self.running.clear()

    def savepoint(self, name: str) -> None:
        self._settle_running()
        self.frames.append(Frame(name))

    def roll_back_to(self, name: str) -> None:
        """Forget what was done since a savepoint, which stays."""
        self._settle_running()
        index = self._index(name)
        if index is not None:
            self.frames[index:] = [Frame(name)]

    def release(self, name: str) -> None:
        """Let what was done since a savepoint belong to what is around it."""
        self._settle_running()
        index = self._index(name)
        if index is not None:
            inner = self.frames[index:]
            del self.frames[index:]
            for frame in inner:
                self.frames[-1].merge(frame)

    def _index(self, name: str) -> int | None:
        return next((i for i in range(len(self.frames) - 1, 0, -1) if self.frames[i].savepoint == name), None)


class Place:
    """What is known of a DBAPI connection for as long as it lives.

    Attributes:
        work: Of its present transaction.
        level: Its isolation level if nobody sets another; `None` before it was asked for that.
        open: Stands for what is still being read.
        name: Stands for its database if that may be one that no other connection reaches.
        session: The session that has used it last.
        plan: How the statement that runs next is served by the cache, if it is.
    """

    def __init__(self) -> None:
        self.work = Work()
        self.level: str | None = None
        self.open: weakref.WeakSet[Any] = weakref.WeakSet()
        self.name: str | None = None
        self.session: weakref.ref[Session] | None = None
        self.plan: Any = None


def place(info: MutableMapping[Any, Any]) -> Place:
    """Return what is known of a DBAPI connection, which is kept in its `info`."""
    found: Place | None = info.get(_KEY)
    if found is None:
        found = info[_KEY] = Place()
    return found


def info_of(connection: Any) -> MutableMapping[Any, Any] | None:
    """Return the `info` of a connection; `None` while a dialect looks at its first one, which has none."""
    try:
        return connection.info  # type: ignore[no-any-return]
    except NotImplementedError:  # raised by the property itself
        return None

"""What an inspector tells: plain records, and the same as JSON.

Times are UTC, lengths of time seconds, sizes bytes. A *position* is the place of an invalidation in the order
of all: microseconds since the Unix epoch, by the clock of whoever orders them, made unique.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any, Literal, TypeVar

from zoocache._explain import Cause, Dependency, Explanation

_R = TypeVar("_R")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

State = Literal["fresh", "stale", "changing", "expired"]
#: All of them.
STATES: tuple[State, ...] = typing.get_args(State)


@dataclass(frozen=True)
class Entry:
    """An entry, without its value.

    Attributes:
        key: Its key: for a cached function its name and the arguments.
        state: `fresh`; `stale`: a dependency was invalidated; `changing`: one is being changed; `expired`.
        bytes: What it takes, where that is counted.
        created: When it was stored, by the clock of whoever stored it.
        expires: When it expires; `None` for never.
        dependencies: The tags it depends on, the functions' own tags last.
    """

    key: str
    state: State
    bytes: int | None
    created: datetime
    expires: datetime | None
    dependencies: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """Some entries.

    Attributes:
        entries: The entries. There may be more where there are none.
        cursor: What gets the next page; `None` if there is none.
    """

    entries: tuple[Entry, ...]
    cursor: str | None


@dataclass(frozen=True)
class Value:
    """A value as plain data.

    Attributes:
        key: The key.
        state: What its entry is; also a value that is not fresh is shown.
        value: None, booleans, numbers, texts, lists and dictionaries. What is of another type is a dictionary
            with `$type`, the name that the bytes give, and its content.
        bytes: How long its encoding is; `None` for an object in memory that has none.
    """

    key: str
    state: str
    value: Any
    bytes: int | None


@dataclass(frozen=True)
class Branch:
    """A tag in the hierarchy.

    Attributes:
        tag: The tag.
        entries: Entries that depend on it or on anything below it.
        fresh: Those of them that are fresh.
        invalidated: When it was invalidated last, as far as that is known.
        invalidated_below: When something below it was invalidated last, as far as that is known.
        changing: Whether a change of it, or of something below it, is announced.
    """

    tag: str
    entries: int
    fresh: int
    invalidated: datetime | None
    invalidated_below: datetime | None
    changing: bool


@dataclass(frozen=True)
class Invalidation:
    """An invalidation of the past.

    Attributes:
        position: Its place in the order of all.
        at: The same as a time.
        tags: What was invalidated; `*` for everything.
        node: Who did it, where that was noted.
    """

    position: int
    at: datetime
    tags: tuple[str, ...]
    node: str | None


@dataclass(frozen=True)
class Node:
    """A process that uses the cache now.

    Attributes:
        name: As invalidations name it.
        behind: For how long an invalidation has been waiting for it; 0 if it knows of all. `None` where
            nobody can tell: it asks before each read.
        age: For how long it has been connected, or has been running.
        address: From where it is connected; for a process of this machine what runs there.
        is_self: Whether this is the process that asks.
    """

    name: str
    behind: float | None
    age: float | None
    address: str
    is_self: bool


@dataclass(frozen=True)
class FunctionActivity:
    """What became of the calls of one cached function in one process.

    Attributes:
        name: Its name, as telemetry has it; `other` for all beyond two hundred.
        hits: Calls that were served.
        misses: Calls for which nothing was stored.
        stale: Calls for which what was stored was stale.
        expired: Calls for which what was stored had expired.
        errors: Calls that raised.
        computed: Computations that were measured: those since somebody watches.
        seconds: How long these took together.
    """

    name: str
    hits: int
    misses: int
    stale: int
    expired: int
    errors: int
    computed: int
    seconds: float


@dataclass(frozen=True)
class Activity:
    """What one process has done with the cache since it began.

    Attributes:
        process: Its name, as in `Node`.
        place: The folder, the server without user and password, or the process.
        clock: When it was counted, in seconds on a clock of that process: only differences mean something.
        counters: What `zoocache.stats()` tells there.
        functions: Its cached functions.
    """

    process: str
    place: str
    clock: float
    counters: dict[str, int]
    functions: tuple[FunctionActivity, ...]


@dataclass(frozen=True)
class Stats:
    """Sizes and counters of a cache.

    Attributes:
        kind: Where its entries rest.
        place: The folder, the server without user and password, or the process.
        entries: Entries stored now, fresh or not.
        bytes: What they take, where that is counted.
        tags: Tags that are known.
        latest: The latest invalidation that is known of.
        counters: Hits, misses and so on of the process that was asked; `None` from outside, since each
            process counts for itself.
        facts: More of the storage: for a folder `map_bytes`, `used_bytes`, `readers`, ...; for a server
            `used_memory`, `maxmemory`.
    """

    kind: Literal["memory", "lmdb", "redis"]
    place: str
    entries: int
    bytes: int | None
    tags: int
    latest: datetime | None
    counters: dict[str, int] | None
    facts: dict[str, int] = field(default_factory=dict)


def utc(microseconds: int) -> datetime | None:
    """The time of a position; `None` for 0, which stands for never."""
    return _EPOCH + timedelta(microseconds=microseconds) if microseconds else None


def moment(microseconds: int) -> datetime:
    """The time of a position."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_json(record: Any) -> Any:
    """What `json.dumps` takes: records as dictionaries, times as ISO 8601 texts."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {name.name: to_json(getattr(record, name.name)) for name in dataclasses.fields(record)}
    if isinstance(record, datetime):
        return record.isoformat(timespec="microseconds")
    if isinstance(record, (list, tuple)):
        return [to_json(part) for part in record]
    if isinstance(record, dict):
        return {name: to_json(part) for name, part in record.items()}
    return record


def from_json(cls: type[_R], plain: Any) -> _R:
    """The record of a class that `to_json` made plain.

    Raises:
        ValueError: It is none.
    """
    try:
        return typing.cast("_R", _read(cls, plain))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a {cls.__name__}: {error}") from error


def _read(hint: Any, plain: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union}:
        return None if plain is None else _read(next(arg for arg in args if arg is not type(None)), plain)
    if origin is tuple:
        return tuple(_read(args[0], part) for part in _of(list, plain))
    if origin is dict:
        return {_of(str, name): _read(args[1], part) for name, part in _of(dict, plain).items()}
    if dataclasses.is_dataclass(hint):
        hints = _hints(hint)  # type: ignore[arg-type]
        return hint(**{name: _read(hints[name], part) for name, part in plain.items()})  # type: ignore[operator]
    return datetime.fromisoformat(plain) if hint is datetime else _read_plain(hint, plain)


def _read_plain(hint: Any, plain: Any) -> Any:
    if typing.get_origin(hint) is Literal:
        if plain not in typing.get_args(hint):
            raise TypeError(f"{plain!r:.100} is none of {typing.get_args(hint)}")
        return plain
    # JSON writes 1.0 as 1 elsewhere.
    return plain if hint is Any else _of((int, float) if hint is float else hint, plain)


def _of(cls: Any, plain: Any) -> Any:
    # `True` is an `int` to Python.
    if not isinstance(plain, cls) or (isinstance(plain, bool) and cls is not bool):
        raise TypeError(f"{plain!r:.100} is no {getattr(cls, '__name__', 'number')}")
    return plain


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


__all__ = [
    "Activity",
    "Branch",
    "Cause",
    "Dependency",
    "Entry",
    "Explanation",
    "FunctionActivity",
    "Invalidation",
    "Node",
    "Page",
    "Stats",
    "Value",
    "from_json",
    "to_json",
]

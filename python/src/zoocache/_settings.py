"""The settings of a cache, and `configure`, which makes the default one."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from zoocache import _native
from zoocache._errors import ConfigError
from zoocache._time import milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zoocache._options import Duration

#: Orders `configure` and `reset`, and keeps forks from happening while a storage is opened.
lock = threading.RLock()
#: What `configure` was given beyond the defaults; a second call may repeat it, not change it.
_given: dict[str, Any] = {}
_default = _native.NativeCache()


@dataclass(frozen=True)
class Settings:
    """What native code needs to know; times in milliseconds."""

    #: The folder that processes share; `None` for this process's memory.
    folder: str | None = None
    #: The application's own folder in it.
    application: str | None = None
    near_entries: int = 10_000
    map_bytes: int | None = None
    use_interval_ms: int = 30_000
    secret: bytes | None = field(default=None, repr=False)
    max_age_ms: int | None = None
    max_readers: int | None = None
    max_entries: int | None = None
    max_bytes: int | None = None
    default_ttl_ms: int | None = None
    read_extend_ttl: bool = True
    flight_timeout_ms: int = 60_000


class CacheSettings(TypedDict, total=False):
    """The parameters of `configure`, which describes them."""

    storage_url: str | None
    bus_url: str | None
    prefix: str | None
    prune_after: float | None
    default_ttl: float | None
    read_extend_ttl: bool
    max_entries: int | None
    lmdb_map_size: int | None
    flight_timeout: float
    tti_flush_secs: float
    auto_prune_secs: float | None
    auto_prune_interval: float
    lru_update_interval: float
    channel_capacity: int
    batch_size: int
    lru_cache_size: int
    telemetry: object
    max_bytes: int | None
    near_cache: bool
    max_age: Duration
    max_readers: int | None
    secret: str | bytes | None


#: Values that need not be given and conflict with no others.
DEFAULTS: dict[str, Any] = {
    "storage_url": None,
    "bus_url": None,
    "prefix": None,
    "prune_after": None,
    "default_ttl": None,
    "read_extend_ttl": True,
    "max_entries": None,
    "lmdb_map_size": None,
    "flight_timeout": 60,
    "tti_flush_secs": 30,
    "auto_prune_secs": None,
    "auto_prune_interval": 3600,
    "lru_update_interval": 30,
    "channel_capacity": 1_000_000,
    "batch_size": 1000,
    "lru_cache_size": 10_000,
    "telemetry": None,
    "max_bytes": None,
    "near_cache": True,
    "max_age": "30d",
    "max_readers": None,
    "secret": None,
}


def configure(
    storage_url: str | None = None,
    bus_url: str | None = None,
    prefix: str | None = None,
    prune_after: float | None = None,
    default_ttl: float | None = None,
    read_extend_ttl: bool = True,
    max_entries: int | None = None,
    lmdb_map_size: int | None = None,
    flight_timeout: float = 60,
    tti_flush_secs: float = 30,
    auto_prune_secs: float | None = None,
    auto_prune_interval: float = 3600,
    lru_update_interval: float = 30,
    channel_capacity: int = 1_000_000,
    batch_size: int = 1000,
    lru_cache_size: int = 10_000,
    telemetry: object = None,
    *,
    max_bytes: int | None = None,
    near_cache: bool = True,
    max_age: Duration = "30d",
    max_readers: int | None = None,
    secret: str | bytes | None = None,
) -> None:
    """Configure the default cache.

    Without it the first use configures the defaults. Calling it again with the same settings does nothing.

    Args:
        storage_url: Where entries rest: `None` or `memory://` for this process's memory, `lmdb://PATH` for a
            folder that all processes of the machine share.
        bus_url: Not supported in this version: must be `None`.
        prefix: Separates applications that share a folder: each has entries and tags of its own.
        prune_after: Accepted; unneeded tags are forgotten by themselves.
        default_ttl: Seconds after which entries expire whose function names no `ttl`. `None` for never.
        read_extend_ttl: Whether each hit starts the time anew (time to idle).
        max_entries: The most entries the cache may hold; going over it evicts. `None` for no limit.
        lmdb_map_size: The most bytes that the file of the entries may have; what it can have if not given.
        flight_timeout: Seconds to wait for somebody else's computation before computing oneself.
        tti_flush_secs: How often a folder is told of hits that prolong lives; the shorter of this and of
            `lru_update_interval` counts.
        auto_prune_secs: Accepted; unneeded tags are forgotten by themselves.
        auto_prune_interval: Accepted; unneeded tags are forgotten by themselves.
        lru_update_interval: How often a folder is told which entries are in use, so that others are evicted.
        channel_capacity: Accepted; it has no meaning for these storages.
        batch_size: Accepted; it has no meaning for these storages.
        lru_cache_size: The most entries of a folder that this process also holds in memory.
        telemetry: Not supported in this version: must be `None`.
        max_bytes: The most bytes of all entries of a folder; going over it evicts. `None` for no limit.
        near_cache: Whether this process holds entries of a folder in memory, ready to be served.
        max_age: How long a folder remembers an invalidation. Entries older than what it remembers are stale.
        max_readers: How many threads of all processes may read a folder at one instant. The first process
            that opens it decides.
        secret: Authenticates the entries of a folder: those that were made without it are not read. All
            processes of the folder give the same.

    Raises:
        ConfigError: A setting makes no sense; a `ValueError` that names the parameter.
        StorageError: The folder cannot be opened; the message says why.
        RuntimeError: The cache is configured with other settings already.
    """
    changed = given(locals())
    if "storage_url" in changed:
        changed["storage_url"] = storage(changed["storage_url"])
    settings = check(changed)
    with lock:
        if not _default.install(settings):
            _refuse_changes(changed)
            return
        _given.clear()
        _given.update(changed)


def reset() -> None:
    """Forget the default cache, its entries and its settings, so that `configure` can be called anew."""
    with lock:
        _given.clear()
        _default.reset()


def put_aside() -> tuple[_native.PutAside, dict[str, Any]]:
    """Leave the default cache as if nobody had configured it; returns what `put_back` needs."""
    with lock:
        before = _default.put_aside(None), dict(_given)
        _given.clear()
        return before


def put_back(cache: _native.PutAside, given: dict[str, Any]) -> None:
    """Undo `put_aside`."""
    with lock:
        _given.clear()
        _given.update(given)
        instead = _default.put_aside(cache)
    # Not in the lock: freeing what was cached may run foreign code.
    del instead


def _refuse_changes(given: dict[str, Any]) -> None:
    for name, value in given.items():
        if _given.get(name, DEFAULTS[name]) != value:
            now = _given.get(name, DEFAULTS[name])
            msg = (
                f"zoocache is configured already, with {name}={_shown(name, now)}; it cannot become "
                f"{_shown(name, value)}: call configure() once, before the first use, or reset() first"
            )
            raise RuntimeError(msg)


def _shown(name: str, value: object) -> str:
    # URLs may hold credentials.
    return "…" if (name.endswith("_url") or name == "secret") and value is not None else repr(value)


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `settings` that are not the defaults."""
    # `1` is equal to the default `True`, but no bool.
    return {
        name: value
        for name, value in settings.items()
        if value != DEFAULTS[name] or isinstance(value, bool) != isinstance(DEFAULTS[name], bool)
    }


def check(given: dict[str, Any]) -> Settings:
    """Check settings that are not the defaults.

    Raises:
        ConfigError: A setting makes no sense; the message names it.
    """
    for name in ("bus_url", "telemetry"):
        if given.get(name) is not None:
            msg = f"{name} is not supported by this version of zoocache; leave it out"
            raise ConfigError(msg)
    for name in (
        "max_entries",
        "max_bytes",
        "lmdb_map_size",
        "channel_capacity",
        "batch_size",
        "lru_cache_size",
    ):
        _check_count(name, given.get(name))
    _check_count("max_readers", given.get("max_readers"), below=2**31)
    for name in (
        "prune_after",
        "tti_flush_secs",
        "auto_prune_secs",
        "auto_prune_interval",
        "lru_update_interval",
    ):
        if given.get(name) is not None:
            milliseconds(name, given[name], allow_zero=True)
    prefix = given.get("prefix")
    if prefix is not None and not isinstance(prefix, str):
        msg = f"prefix must be a str, not {type(prefix).__name__}: {prefix!r}"
        raise ConfigError(msg)
    default_ttl = given.get("default_ttl")
    url = storage(given.get("storage_url"))
    if url is not None:
        # Now, not at the first call: that may be in a process forked while another thread imports it.
        importlib.import_module("zoocache._shared")
    near = _checked_bool("near_cache", given.get("near_cache", True))
    limits = {"lru_cache_size": DEFAULTS["lru_cache_size"], "max_entries": 2**62}
    return Settings(
        folder=None if url is None else url.removeprefix(_LMDB),
        application=None if prefix is None else _application(prefix),
        near_entries=min(given.get(name, limit) for name, limit in limits.items()) if near else 0,
        map_bytes=given.get("lmdb_map_size"),
        use_interval_ms=_use_interval(given),
        secret=_secret(given.get("secret")),
        max_age_ms=milliseconds("max_age", given.get("max_age", DEFAULTS["max_age"])),
        max_readers=given.get("max_readers"),
        max_entries=given.get("max_entries"),
        max_bytes=given.get("max_bytes"),
        default_ttl_ms=None if default_ttl is None else milliseconds("default_ttl", default_ttl),
        read_extend_ttl=_checked_bool("read_extend_ttl", given.get("read_extend_ttl", True)),
        flight_timeout_ms=milliseconds("flight_timeout", given.get("flight_timeout", 60)),
    )


def storage(url: object) -> str | None:
    """Check a `storage_url` and write it as it is compared: `None` for memory, and an absolute path.

    Raises:
        ConfigError: It is none.
    """
    if url is None or url == "memory://":
        return None
    if not isinstance(url, str):
        msg = f"storage_url must be a str, not {type(url).__name__}"
        raise ConfigError(msg)
    scheme, separator, rest = url.partition("://")
    if scheme == "lmdb" and separator:
        if not rest or "\0" in rest:
            msg = 'storage_url lmdb:// needs the path of a folder; write storage_url="lmdb://./cache"'
            raise ConfigError(msg)
        return _LMDB + os.path.abspath(rest)  # noqa: PTH100 - links stay: they may be moved on purpose
    if scheme == "memory" and separator:
        msg = 'storage_url memory:// takes nothing after it; write storage_url="memory://"'
        raise ConfigError(msg)
    # Only the scheme is shown: the rest may hold credentials.
    shown = f"{scheme}://" if separator else "a text without a scheme"
    msg = f"storage_url has an unknown scheme ({shown}); known are memory:// and lmdb://PATH"
    raise ConfigError(msg)


_LMDB = "lmdb://"
#: The longest name of a folder, in bytes, on every file system of Linux.
_LONGEST_NAME = 255


def _application(prefix: str) -> str:
    """Name the folder of an application."""
    # It takes its time to import, which is not for programs without a prefix.
    import urllib.parse  # noqa: PLC0415

    # Only letters, digits, "_" and "-" stay as they are: it is no path, and none of the folders' own names.
    try:
        quoted = urllib.parse.quote(prefix, safe="", errors="strict")
    except UnicodeEncodeError:
        msg = f"prefix must not hold lone surrogates: {prefix!r}"
        raise ConfigError(msg) from None
    name = "app-" + quoted.replace(".", "%2E").replace("~", "%7E")
    if len(name) > _LONGEST_NAME:
        msg = (
            f"prefix is too long to name a folder: {prefix[:50]!r}... makes {len(name)} bytes of at most "
            f"{_LONGEST_NAME}"
        )
        raise ConfigError(msg)
    return name


def _use_interval(given: dict[str, Any]) -> int:
    names = ("tti_flush_secs", "lru_update_interval")
    # With each sweep, if it is 0.
    return max(1, min(milliseconds(name, given.get(name, DEFAULTS[name]), allow_zero=True) for name in names))


def _secret(secret: object) -> bytes | None:
    # Neither its text nor its length is shown.
    if isinstance(secret, str):
        secret = secret.encode("utf-8", "surrogatepass")
    if secret is not None and not isinstance(secret, bytes):
        msg = f"secret must be a str or bytes, not {type(secret).__name__}"
        raise ConfigError(msg)
    if secret == b"":
        msg = "secret must not be empty; give a long random text, or leave it out"
        raise ConfigError(msg)
    return secret


def _checked_bool(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        msg = f"{name} must be a bool, not {type(value).__name__}: {value!r}"
        raise ConfigError(msg)
    return value


def _check_count(name: str, value: object, below: int = 2**62) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        msg = f"{name} must be an int, not {type(value).__name__}: {value!r}"
        raise ConfigError(msg)
    if not 1 <= value < below:
        msg = f"{name} must be at least 1 and below 2**{below.bit_length() - 1}, not {value!r}"
        raise ConfigError(msg)


def _before_fork() -> None:
    """Leave nothing to import, or half imported by another thread: the child would wait for ever."""
    for name in ("zoocache._context", "zoocache._keys"):
        importlib.import_module(name)
    for name in ("asyncio", "zoocache._async", "zoocache._shared"):
        if name in sys.modules:
            importlib.import_module(name)
    lock.acquire()
    _native.before_fork()


def _after_fork_in_parent() -> None:
    _native.after_fork_in_parent()
    lock.release()


def _after_fork_in_child() -> None:
    _native.after_fork()
    lock.release()


atexit.register(_native.shut_down)
os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)

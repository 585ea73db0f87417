"""The settings of a cache, and `configure`, which makes the default one."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from zoocache import _native
from zoocache._errors import ConfigError
from zoocache._places import LMDB, application, bus_of, on_server, storage
from zoocache._time import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zoocache._options import Duration
    from zoocache.inspect._control import Control
    from zoocache.telemetry import Core, TelemetryManager

    #: A manager, and the cache that it reads.
    _Telemetry: TypeAlias = tuple[TelemetryManager, Core]

#: Orders `configure` and `reset`, and keeps forks from happening while a storage is opened.
lock = threading.RLock()
#: What `configure` was given beyond the defaults; a second call may repeat it, not change it.
_given: dict[str, Any] = {}
_default = _native.NativeCache()
#: The control socket of the default cache, if it has one.
_control: list[Control] = []
_telemetry: _Telemetry | None = None


@dataclass(frozen=True)
class Settings:
    """What native code needs to know; times in milliseconds."""

    #: The folder that processes share; `None` for this process's memory.
    folder: str | None = None
    #: The application's own folder in it.
    application: str | None = None
    #: The server that machines share, and the one through which memory caches invalidate each other.
    server: str | None = field(default=None, repr=False)
    bus: str | None = field(default=None, repr=False)
    #: What separates applications on a server.
    prefix: str = "zoocache"
    #: `None` if every read asks the server.
    max_staleness_ms: int | None = 1_000
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
    #: Whether it is measured how long things take; who is told of what happens, and makes spans, if anybody.
    is_timed: bool = False
    telling: Callable[[str, str, str, float | None], None] | None = None
    spanning: Callable[[str, str, int | None], Any] | None = None

    @property
    def place(self) -> str:
        """Where entries rest, in one word."""
        return "redis" if self.server is not None else "memory" if self.folder is None else "lmdb"


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
    telemetry: TelemetryManager | None
    max_bytes: int | None
    near_cache: bool
    consistency: Literal["bounded", "strong"]
    max_staleness: Duration
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
    "consistency": "bounded",
    "max_staleness": 1.0,
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
    telemetry: TelemetryManager | None = None,
    *,
    max_bytes: int | None = None,
    near_cache: bool = True,
    consistency: Literal["bounded", "strong"] = "bounded",
    max_staleness: Duration = 1.0,
    max_age: Duration = "30d",
    max_readers: int | None = None,
    secret: str | bytes | None = None,
    control: bool | str | os.PathLike[str] = False,
) -> None:
    """Configure the default cache.

    Without it the first use configures the defaults. Calling it again with the same settings does nothing.

    Args:
        storage_url: Where entries rest: `None` or `memory://` for this process's memory, `lmdb://PATH` for a
            folder that all processes of the machine share, or a Redis server (6.2 or later, or Valkey) that
            machines share: `redis://[USER][:PASSWORD@]HOST[:PORT][/DATABASE]`, the same with `rediss://` for
            TLS (and `?ssl_ca_certs=FILE`, `ssl_certfile` and `ssl_keyfile`), `unix:///PATH/TO/SOCKET`, or
            `redis+sentinel://HOST[:PORT],HOST[:PORT]/SERVICE`. A server that is away breaks nothing:
            functions are computed, and `invalidate` is told to the others later.
        bus_url: A Redis server through which caches in memory invalidate each other; their entries stay in
            memory. With a server as `storage_url` there is nothing to give here, or the same.
        prefix: Separates applications that share a folder or a server: each has entries and tags of its own.
        prune_after: Accepted; unneeded tags are forgotten by themselves.
        default_ttl: Seconds after which entries expire whose function names no `ttl`. `None` for never.
        read_extend_ttl: Whether each hit starts the time anew (time to idle).
        max_entries: The most entries the cache may hold; going over it evicts. `None` for no limit. With a
            server it bounds what this process holds in memory; the server has its own `maxmemory`.
        lmdb_map_size: The most bytes that the file of the entries may have; what it can have if not given.
        flight_timeout: Seconds to wait for somebody else's computation before computing oneself.
        tti_flush_secs: How often a folder or server is told of hits that prolong lives; the shorter of this
            and of `lru_update_interval` counts.
        auto_prune_secs: Accepted; unneeded tags are forgotten by themselves.
        auto_prune_interval: Accepted; unneeded tags are forgotten by themselves.
        lru_update_interval: How often a folder is told which entries are in use, so that others are evicted.
        channel_capacity: Accepted; it has no meaning for these storages.
        batch_size: Accepted; it has no meaning for these storages.
        lru_cache_size: The most entries of a folder or server that this process also holds in memory.
        telemetry: Whom to tell what the cache does; see `zoocache.telemetry`.
        max_bytes: The most bytes of all entries of a folder; going over it evicts. `None` for no limit.
        near_cache: Whether this process holds entries of a folder or server in memory, ready to be served.
        consistency: What is served from memory without asking the server. `"bounded"`: what was invalidated
            elsewhere is not served longer than for `max_staleness`; as a rule it is a millisecond. What was
            invalidated here is not served at all. `"strong"`: every read asks, so nothing is served that was
            invalidated anywhere before the read began. In memory and in a folder reads are always strong.
        max_staleness: The longest time that news may take with `"bounded"`; without news nothing is served
            from memory.
        max_age: How long a folder or server remembers an invalidation. Entries older than what it remembers
            are stale.
        max_readers: How many threads of all processes may read a folder at one instant. The first process
            that opens it decides.
        secret: Authenticates the entries of a folder or server: those that were made without it are not read.
            All processes that share them give the same.
        control: Whether other processes of this user may look at this cache and invalidate it, as the command
            line and `zoocache.inspect` do: `True` opens a socket that is named by the process id, in a folder
            of the user's own, also in forked children; a path opens it there.

    Raises:
        ConfigError: A setting makes no sense; a `ValueError` that names the parameter.
        StorageError: The folder cannot be opened, or the server refuses this client; the message says why.
        BusError: The server of `bus_url` refuses this client.
        RuntimeError: The cache is configured with other settings already.
    """
    values = locals()
    del values["control"]
    changed = given(values)
    if "storage_url" in changed:
        changed["storage_url"] = storage(changed["storage_url"])
    settings = check(changed)
    socket = _socket(control)
    if control:
        changed["control"] = control
    with lock:
        if not _default.install(settings):
            _refuse_changes(changed)
            return
        _given.clear()
        _given.update(changed)
        if control:
            try:
                _open_control(socket)
            except ConfigError:
                _given.clear()
                _default.reset()
                raise
        _begin_telemetry(changed, settings)


def _begin_telemetry(changed: dict[str, Any], settings: Settings) -> None:
    global _telemetry  # noqa: PLW0603 - that of the default cache, as it is configured now
    _telemetry = bind(changed.get("telemetry"), _default, settings)


def bind(
    manager: TelemetryManager | None, cache: _native.NativeCache, settings: Settings
) -> _Telemetry | None:
    """Let telemetry read a cache; returns what `release` needs."""
    if manager is None:
        return None
    from zoocache.telemetry import Core  # noqa: PLC0415 - who has no telemetry need not import it

    core = Core(cache, settings.place)
    manager.bind_core(core)
    return manager, core


def release(telemetry: _Telemetry | None) -> None:
    """Let telemetry read a cache for the last time."""
    if telemetry is not None:
        manager, core = telemetry
        manager.release(core)


def is_configured() -> bool:
    """Whether the default cache was configured with something other than the defaults."""
    return bool(_given)


def reset() -> None:
    """Forget the default cache, its entries and its settings, so that `configure` can be called anew."""
    global _telemetry
    with lock:
        _close_control()
        _given.clear()
        telemetry, _telemetry = _telemetry, None
        # First: it reads what there is for the last time.
        release(telemetry)
        _default.reset()


def current() -> Settings:
    """The settings of the default cache, without its telemetry, which may be closed already."""
    with lock:
        names = DEFAULTS.keys() - {"telemetry"}
        return check({name: value for name, value in _given.items() if name in names})


def _socket(control: object) -> Path | None:
    """The path that is given for the control socket, if one is."""
    if isinstance(control, bool):
        return None
    if isinstance(control, (str, os.PathLike)) and os.fspath(control):
        return Path(os.fsdecode(control)).absolute()
    raise ConfigError(f"control must be True, False or the path of a socket, not {control!r}")


def _open_control(socket: Path | None) -> None:
    # What few programs want takes its time to import.
    from zoocache._cache import DEFAULT  # noqa: PLC0415 - it imports this module
    from zoocache.inspect._control import Control  # noqa: PLC0415

    _control.append(Control(DEFAULT, socket))


def _close_control() -> None:
    while _control:
        _control.pop().close()


def put_aside() -> tuple[_native.PutAside, dict[str, Any], _Telemetry | None]:
    """Leave the default cache as if nobody had configured it; returns what `put_back` needs."""
    global _telemetry  # noqa: PLW0603 - as above
    with lock:
        before = _default.put_aside(None), dict(_given), _telemetry
        _given.clear()
        _telemetry = None
        return before


def put_back(cache: _native.PutAside, given: dict[str, Any], telemetry: _Telemetry | None) -> None:
    """Undo `put_aside`."""
    global _telemetry  # noqa: PLW0603 - as above
    with lock:
        release(_telemetry)
        _telemetry = telemetry
        if "control" not in given:
            # One that was opened in between.
            _close_control()
        _given.clear()
        _given.update(given)
        instead = _default.put_aside(cache)
    # Not in the lock: freeing what was cached may run foreign code.
    del instead


def _refuse_changes(given: dict[str, Any]) -> None:
    defaults = {**DEFAULTS, "control": False}
    for name, value in given.items():
        if _given.get(name, defaults[name]) != value:
            now = _given.get(name, defaults[name])
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
    manager = _manager(given.get("telemetry"))
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
    bus = bus_of(given.get("bus_url"), url)
    is_folder = url is not None and url.startswith(LMDB)
    if prefix == "" and (bus is not None or url is not None) and not is_folder:
        msg = "prefix must not be empty; leave it out, or name the application"
        raise ConfigError(msg)
    if url is not None:
        # Now, not at the first call: that may be in a process forked while another thread imports it.
        importlib.import_module("zoocache._shared")
    near = _checked_bool("near_cache", given.get("near_cache", True))
    limits = {"lru_cache_size": DEFAULTS["lru_cache_size"], "max_entries": 2**62}
    settings = Settings(
        folder=url.removeprefix(LMDB) if url is not None and is_folder else None,
        application=application(prefix) if prefix is not None and is_folder else None,
        server=None if is_folder else url,
        bus=bus,
        prefix=on_server(prefix),
        max_staleness_ms=_staleness(given),
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
    if manager is None:
        return settings
    telling, spanning = manager.in_step(settings.place), manager.spans()
    return replace(settings, is_timed=True, telling=telling, spanning=spanning)


def _manager(telemetry: Any) -> TelemetryManager | None:
    if telemetry is None:
        return None
    from zoocache.telemetry import TelemetryManager  # noqa: PLC0415 - who has no telemetry need not import it

    if not isinstance(telemetry, TelemetryManager):
        msg = f"telemetry must be a TelemetryManager([adapter, ...]) of zoocache.telemetry, not {telemetry!r}"
        raise ConfigError(msg)
    telemetry.refuse_if_closed()
    return telemetry


def _staleness(given: dict[str, Any]) -> int | None:
    consistency = given.get("consistency", DEFAULTS["consistency"])
    if not isinstance(consistency, str) or consistency not in {"bounded", "strong"}:
        msg = f'consistency must be "bounded" or "strong", not {consistency!r}'
        raise ConfigError(msg)
    staleness = milliseconds("max_staleness", given.get("max_staleness", DEFAULTS["max_staleness"]))
    return None if consistency == "strong" else staleness


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
    for name in ("asyncio", "zoocache._async", "zoocache._far", "zoocache._shared"):
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
    for control in _control:
        control.after_fork()


atexit.register(_close_control)
atexit.register(_native.shut_down)
os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)

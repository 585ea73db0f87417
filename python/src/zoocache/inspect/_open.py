"""Opening a place that other programs use, without making one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoocache._cache import Cache
from zoocache._errors import CacheError
from zoocache._places import LMDB, application, on_server, storage
from zoocache.inspect._base import Unreachable
from zoocache.inspect._local import LocalInspector
from zoocache.inspect._server import Server

if TYPE_CHECKING:
    from zoocache.inspect._base import Inspector
    from zoocache.inspect.records import Activity


def open_place(url: str, prefix: str | None, secret: str | bytes | None) -> Inspector:
    """Open the folder or server of other programs, to look at it.

    Raises:
        Unreachable: No cache is there.
        ConfigError: The URL is none.
    """
    checked = storage(url)
    if checked is None:
        raise Unreachable(
            "the memory of a process cannot be looked at by a URL: let it say configure(control=True), and "
            "give its "
            "process id"
        )
    settings: dict[str, Any] = {
        "storage_url": checked,
        "near_cache": False,
        "prefix": prefix,
        "secret": secret,
    }
    if checked.startswith(LMDB):
        folder = Path(checked.removeprefix(LMDB))
        settings.update(_of_folder(folder, prefix))
    else:
        _check_server(checked, on_server(prefix))
        settings["consistency"] = "strong"
    return _Opened(Cache(**settings))


class _Opened(LocalInspector):
    """An inspector whose cache nobody else in this process knows."""

    def stats(self) -> Any:
        stats = super().stats()
        # What was counted here says nothing about those who use the cache.
        return type(stats)(**{**vars(stats), "counters": None})

    def activity(self) -> tuple[Activity, ...]:
        return self._others()

    def close(self) -> None:
        super().close()
        self._native.reset()


def _of_folder(folder: Path, prefix: str | None) -> dict[str, Any]:
    """The settings with which the folder was made, so far as they matter to those who come after."""
    place = folder if prefix is None else folder / application(prefix)
    if not (place / "boot").is_file():
        others = sorted(path.name for path in folder.glob("app-*") if (path / "boot").is_file())
        hint = f"; there are caches with a prefix: {', '.join(others)}" if others and prefix is None else ""
        raise Unreachable(f"there is no cache in {place}{hint}")
    lines = (place / "boot").read_text(encoding="utf-8", errors="replace").splitlines()
    # Whoever opens it first decides how large it may become: we must not decide otherwise.
    known = len(lines) > 1 and lines[1].isdigit() and int(lines[1]) > 0
    return {"lmdb_map_size": int(lines[1])} if known else {}


def _check_server(url: str, prefix: str) -> None:
    try:
        server = Server(url, prefix)
        kind = server.ask("TYPE", server.probe.table)
    except CacheError as error:
        raise Unreachable(str(error)) from error
    if kind == b"zset":
        return
    if kind != b"none":
        raise Unreachable(
            f"{server.probe.table} on {server.shown} is not zoocache's: something else uses the prefix "
            f"{prefix!r}"
        )
    try:
        others = server.prefixes()
    except CacheError:
        others = []
    known = f"; the prefixes there are: {', '.join(others)}" if others else ""
    raise Unreachable(f"there is no cache with the prefix {prefix!r} on {server.shown}{known}")

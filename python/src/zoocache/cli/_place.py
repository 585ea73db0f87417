"""Which cache a command is about: its options, its environment, or the only process there is."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoocache._errors import CacheError, InvalidTag
from zoocache._places import LMDB
from zoocache.inspect import Unreachable, control_sockets, inspect

if TYPE_CHECKING:
    from collections.abc import Callable

    from zoocache.inspect import Inspector

_F = TypeVar("_F", bound="Callable[..., Any]")

_NAMED_BY = "--url, --lmdb, --redis or --pid"


@dataclass(frozen=True)
class Place:
    """A cache that was named."""

    url: str | None
    pid: int | None
    prefix: str | None

    @property
    def server(self) -> str | None:
        """The URL, if it is that of a server."""
        return None if self.url is None or self.url.startswith(LMDB) else self.url

    def open(self) -> Inspector:
        """Make an inspector.

        Raises:
            Unreachable: There is no cache.
        """
        if self.url is not None:
            return inspect(self.url, self.prefix, os.environ.get("ZOOCACHE_SECRET") or None)
        if self.pid is not None:
            return inspect(self.pid)
        sockets = control_sockets()
        if len(sockets) == 1:
            return inspect(next(iter(sockets)))
        several = f"; these processes can be looked at: {', '.join(map(str, sockets))}" if sockets else ""
        raise Unreachable(f"no cache is named: give {_NAMED_BY}, or set ZOOCACHE_URL or REDIS_URL{several}")


def place_options(command: _F) -> _F:
    """Give a command the options that name a cache, and `--json`; it gets a `Place`, and `as_json`."""

    @functools.wraps(command)
    def with_place(
        url: str | None,
        lmdb: str | None,
        redis: str | None,
        pid: int | None,
        prefix: str | None,
        **given: Any,
    ) -> Any:
        lmdb_url = None if lmdb is None else f"{LMDB}{lmdb}"
        named = [one for one in (url, lmdb_url, redis, pid) if one is not None]
        if len(named) > 1:
            raise click.UsageError(f"give one of {_NAMED_BY}")
        chosen = url or lmdb_url or redis
        if not named:
            chosen = os.environ.get("ZOOCACHE_URL") or os.environ.get("REDIS_URL")
        with told_as_text():
            return command(place=Place(chosen, pid, prefix), **given)

    options = [
        click.option("--url", metavar="URL", help="lmdb://PATH, or a server's [env: ZOOCACHE_URL]"),
        click.option("--lmdb", metavar="PATH", help="The folder of a cache."),
        click.option("--redis", metavar="URL", help="The server of a cache [env: REDIS_URL]"),
        click.option("--pid", type=int, help="A process that said configure(control=True)."),
        click.option("--prefix", envvar="ZOOCACHE_PREFIX", help="The application's [env: ZOOCACHE_PREFIX]"),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ]
    wrapped: Any = with_place
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


class told_as_text:  # noqa: N801 - used as a statement
    """Lets errors of the cache end the command with a line on standard error, and the exit code for it."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, InvalidTag):
            raise click.UsageError(str(error)) from error
        if isinstance(error, (CacheError, OSError)) and not isinstance(error, BrokenPipeError):
            raise click.ClickException(str(error)) from error

"""The application: its addresses, and what its failures look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from zoocache._errors import CacheError, InvalidTag
from zoocache._log import logger
from zoocache.dashboard._actions import Actions
from zoocache.dashboard._answers import Json, Refusal
from zoocache.dashboard._guard import Guard
from zoocache.dashboard._live import Live
from zoocache.dashboard._page import page_routes
from zoocache.dashboard._reads import Reads
from zoocache.dashboard._source import Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from zoocache._cache import Cache
    from zoocache.inspect import Inspector

#: A token that somebody could guess, one try after the other, is none.
_SHORTEST_TOKEN = 16


def dashboard(
    cache: Cache | Inspector | None = None,
    *,
    token: str | None = None,
    allowed_hosts: Iterable[str] | None = None,
) -> Dashboard:
    """Make an ASGI application that shows a cache; mount it under any path.

    Whoever can reach it can read keys and values.

    Args:
        cache: A `Cache`, an `Inspector` of any other place, or nothing for the default cache.
        token: What actions must present, at least 16 characters: invalidating, clearing, pruning. Without it
            nothing can be changed.
        allowed_hosts: The names by which browsers may reach it, without ports; others are refused. Without it
            any name is good.

    Raises:
        ValueError: The token is too short, or no header can carry it.
        TypeError: `cache` is neither.
    """
    if token is not None:
        check_token(token)
    return Dashboard(Source(cache), token, allowed_hosts)


def check_token(token: str) -> None:
    """See whether a token can protect anything.

    Raises:
        ValueError: It cannot.
    """
    # Its characters are not shown: it may be right but for one of them.
    if len(token) < _SHORTEST_TOKEN:
        raise ValueError(f"token must have at least {_SHORTEST_TOKEN} characters, not {len(token)}")
    if not all("!" <= letter <= "~" for letter in token):
        raise ValueError("token must consist of printable ASCII characters other than spaces")


class Dashboard:
    """The application that `dashboard` makes."""

    def __init__(self, source: Source, token: str | None, allowed_hosts: Iterable[str] | None) -> None:
        self._source, self._live = source, Live(source)
        reads = Reads(source, has_actions=token is not None)
        routes = [
            *page_routes(),
            *reads.routes(),
            *Actions(source, token).routes(),
            Route("/events", self._events),
        ]
        handlers: Any = {
            HTTPException: _of_http,
            Refusal: _refused,
            InvalidTag: _invalid,
            CacheError: _unavailable,
            OSError: _unavailable,
            Exception: _broken,
        }
        self._app = Guard(Starlette(routes=routes, exception_handlers=handlers), allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def under(self, path: str, app: ASGIApp) -> ASGIApp:
        """Make an application that is this one under a path, and another one elsewhere.

        For frameworks that mount no applications, such as Django.

        Args:
            path: Where, such as `/ops/cache`.
            app: What answers everywhere else.

        Raises:
            ValueError: The path is that of everything.
        """
        path = "/" + path.strip("/")
        if path == "/":
            raise ValueError("path must be one below /, such as /ops/cache")

        async def both(scope: Scope, receive: Receive, send: Send) -> None:
            root = str(scope.get("root_path", ""))
            asked = str(scope.get("path", "")).removeprefix(root)
            if scope["type"] == "http" and (asked == path or asked.startswith(f"{path}/")):
                await self({**scope, "path": root + asked, "root_path": root + path}, receive, send)
            else:
                await app(scope, receive, send)

        return both

    async def _events(self, request: Request) -> Any:
        return self._live.events(request.headers.get("last-event-id"))

    def close(self) -> None:
        """End the open streams of events, and what feeds them. May be called from anywhere, twice, too."""
        self._live.close()
        self._source.close()


def _of_http(_request: Request, error: HTTPException) -> Json:
    return Json({"error": error.detail}, error.status_code, error.headers)


def _refused(_request: Request, refusal: Refusal) -> Json:
    return Json({"error": str(refusal)}, refusal.status, refusal.headers)


def _invalid(_request: Request, error: InvalidTag) -> Json:
    return Json({"error": str(error)}, 400)


def _unavailable(_request: Request, error: Exception) -> Json:
    return Json({"error": str(error)}, 503)


def _broken(_request: Request, error: Exception) -> Json:
    logger.error("the dashboard failed: %s: %s", type(error).__name__, error)
    return Json({"error": "this failed; the log of the server says why"}, 500)

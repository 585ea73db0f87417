"""What changes a cache: only for whoever has the token, and only from the page itself."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.routing import Route

from zoocache._log import logger
from zoocache.dashboard import _parameters as parameters
from zoocache.dashboard._answers import Json, Refusal
from zoocache.dashboard._threads import Threads

if TYPE_CHECKING:
    from starlette.requests import Request

    from zoocache.dashboard._source import Source

_MOST_TAGS = 100


class Actions:
    """Does what the page is asked to do."""

    def __init__(self, source: Source, token: str | None) -> None:
        self._source, self._token = source, token
        self._threads = Threads()

    def routes(self) -> list[Route]:
        """Their addresses."""
        actions = {
            "unlock": self._unlock,
            "invalidate": self._invalidate,
            "clear": self._clear,
            "prune": self._prune,
        }
        return [Route(f"/api/{name}", action, methods=["POST"]) for name, action in actions.items()]

    async def _unlock(self, request: Request) -> Json:
        """See whether a token is the right one."""
        await self._permitted(request)
        return Json({"unlocked": True})

    async def _invalidate(self, request: Request) -> Json:
        tags = _tags(await self._permitted(request))
        position = await self._threads.run(lambda: self._source.inspector().invalidate(*tags))
        logger.info("invalidated from the dashboard: %s", ", ".join(map(repr, tags)))
        return Json({"position": position})

    async def _clear(self, request: Request) -> Json:
        await self._permitted(request)
        await self._threads.run(lambda: self._source.inspector().clear())
        logger.info("cleared from the dashboard")
        return Json({"cleared": True})

    async def _prune(self, request: Request) -> Json:
        await self._permitted(request)
        return Json({"freed": await self._threads.run(lambda: self._source.inspector().prune())})

    async def _permitted(self, request: Request) -> dict[str, Any]:
        """What a request brings, if it may act.

        Raises:
            Refusal: It may not.
        """
        if self._token is None:
            raise Refusal(403, "this dashboard can only be looked at: it was given no token")
        _check_site(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, f"actions take application/json, not {kind[:80]!r}")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode("latin-1"), self._token.encode())
        if scheme.lower() != "bearer" or not is_right:
            text = "the token is wrong" if given else "actions need the header Authorization: Bearer TOKEN"
            raise Refusal(401, text, {"www-authenticate": "Bearer"})
        return await parameters.body(request)


def _check_site(request: Request) -> None:
    """Refuse what a page of another origin has sent.

    Raises:
        Refusal: Another one has.
    """
    site, origin = request.headers.get("sec-fetch-site", "none"), request.headers.get("origin")
    if site not in {"same-origin", "none"}:
        raise Refusal(403, "actions are not for pages of other origins")
    if origin is not None and _host(origin) != request.headers.get("host", "").lower():
        raise Refusal(
            403,
            f"actions are not for pages of other origins: this one is of {origin[:80]!r}; a proxy must pass "
            "the header Host on",
        )


def _host(origin: str) -> str | None:
    """The host and port of an origin; `None` if it names none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _tags(given: dict[str, Any]) -> list[str]:
    tags = given.get("tags")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise Refusal(400, "tags must be a list of texts")
    if not 1 <= len(tags) <= _MOST_TAGS:
        raise Refusal(400, f"tags must be 1 to {_MOST_TAGS} of them, not {len(tags)}")
    return tags

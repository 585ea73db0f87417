"""What every request and every answer has to pass."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse

from zoocache.dashboard._answers import Json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Nothing but the files of the page runs, loads or is connected to, and nobody frames it.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """Refuses requests of other sites, puts paths right, and adds the headers that protect the page."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str] | None) -> None:
        self._app = app
        self._hosts = None if allowed_hosts is None else {host.lower() for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        path = _path(scope)
        answer: ASGIApp | None = self._refusal(Headers(scope=scope), path)
        if answer is None and path == "/":
            answer = _with_slash(scope)
        # Answered from here on as if it stood alone, wherever it is mounted.
        await (answer or self._app)({**scope, "path": path, "root_path": ""}, receive, protected)

    def _refusal(self, headers: Headers, path: str) -> Json | None:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            text = f"this page is not served as {host[:80]!r}, but as {', '.join(sorted(self._hosts))}"
            return Json({"error": text}, 400)
        # A link may lead to the page itself; what it asks for is asked for by the page only.
        if path != "/" and headers.get("sec-fetch-site") == "cross-site":
            return Json({"error": "this is not for pages of other sites"}, 403)
        return None


def _name(host: str) -> str:
    """The name without the port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _path(scope: Scope) -> str:
    """The path below the mount. Some tell the whole path and the mount's, others only what is below."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    if root and (path == root or path.startswith(root.rstrip("/") + "/")):
        path = path[len(root.rstrip("/")) :]
    # Litestar adds a slash.
    return "/" + path.strip("/")


def _with_slash(scope: Scope) -> RedirectResponse | None:
    """Addresses in the page are relative: without a slash at the end they would lead beside the mount."""
    # Only the raw path tells a slash of a name from one between names, but not all servers give it.
    raw = scope.get("raw_path")
    whole = raw.partition(b"?")[0].decode("latin-1") if raw else str(scope["path"])
    if whole.endswith("/") or scope["method"] not in {"GET", "HEAD"}:
        return None
    # Relative, too: a proxy may have taken a prefix away.
    last = whole.rpartition("/")[2]
    return RedirectResponse("./" + quote(unquote(last) if raw else last) + "/")

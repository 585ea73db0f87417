"""Finished responses, and how they pass through Litestar unchanged."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from litestar.response import Response
from litestar.serialization import get_serializer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from litestar import Request
    from litestar.datastructures import Cookie
    from litestar.dto import AbstractDTO
    from litestar.types import Receive, Scope, Send

    from zoocache.contrib._http import Header


class Finished(Response[Any]):
    """A response that needs no rendering. Hooks may change it like any other."""

    __slots__ = ("_body", "_named", "_raw")

    def __init__(self, status: int, raw: list[Header], body: bytes, background: Any) -> None:
        self.status_code = status
        self.content = self._body = body
        self.background = background
        self.cookies = []
        self.encoding = "utf-8"
        self.response_type_encoders = {}
        self._raw = raw
        self._named: dict[str, Any] | None = None

    @property
    def headers(self) -> dict[str, Any]:  # type: ignore[override]
        """What hooks see. Cookies that the endpoint has set are not among them."""
        if self._named is None:
            self._named = {
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in self._raw
                if name != b"set-cookie"
            }
        return self._named

    @property
    def media_type(self) -> str | None:
        """The media type, without parameters such as the encoding."""
        kind = next((value for name, value in self._raw if name == b"content-type"), None)
        return None if kind is None else kind.partition(b";")[0].decode("latin-1")

    @media_type.setter
    def media_type(self, value: Any) -> None:
        self.headers["content-type"] = getattr(value, "value", value)

    def to_asgi_response(  # type: ignore[override]
        self,
        app: Any,  # noqa: ARG002 - Litestar's interface
        request: Request[Any, Any, Any],
        *,
        cookies: Iterable[Cookie] | None = None,
        headers: dict[str, str] | None = None,
        **_: Any,
    ) -> _Sent:
        """Add the headers and cookies of the layers; what else Litestar knows is in the response."""
        raw, body = self._raw, self._body
        if self._named is not None or self.content is not body:
            raw, body = self._changed()
        if headers:
            own = {name for name, _ in raw}
            given = ((name.lower().encode("latin-1"), value) for name, value in headers.items())
            raw = raw + [
                (name, str(value).encode("latin-1"))
                for name, value in given
                if name not in own and not (self.status_code == _NOT_MODIFIED and name in _OF_CONTENT)
            ]
        if self.cookies:
            # A hook set them for one user; proxies may keep what is public, with its cookies.
            raw = [(n, v.replace(b"public", b"private") if n == b"cache-control" else v) for n, v in raw]
        if cookies or self.cookies:
            all_cookies = [*self.cookies, *(cookies or ())]
            raw = raw + [
                cookie.to_encoded_header() for cookie in all_cookies if not cookie.documentation_only
            ]
        return _Sent(self.status_code or 200, raw, b"" if request.method == "HEAD" else body, self.background)

    def _changed(self) -> tuple[list[Header], bytes]:
        """Read what a hook has changed."""
        raw = [header for header in self._raw if header[0] == b"set-cookie"]
        named = {name.lower(): value for name, value in self.headers.items()}
        body = self._body
        if self.content is not body:
            kind = str(named.get("content-type", "application/json")).partition(";")[0]
            body = self.render(self.content, kind, get_serializer(self.response_type_encoders))
            named["content-length"] = len(body)
        return [
            *((name.encode("latin-1"), str(value).encode("latin-1")) for name, value in named.items()), *raw,
        ], body  # fmt: skip


_NOT_MODIFIED = 304
_OF_CONTENT = frozenset({b"content-type", b"content-length", b"content-encoding", b"content-language"})


class _Sent:
    """The ASGI application that sends a response."""

    __slots__ = ("background", "body", "headers", "status_code")

    def __init__(self, status_code: int, headers: list[Header], body: bytes, background: Any) -> None:
        self.status_code, self.headers, self.body, self.background = status_code, headers, body, background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        # Middleware may add headers to the list.
        await send({"type": "http.response.start", "status": self.status_code, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})
        if self.background is not None:
            await self.background()


@functools.lru_cache(maxsize=1024)
def passing(dto: type[AbstractDTO[Any]]) -> type[AbstractDTO[Any]]:
    """Make a DTO that does what another one does, but leaves finished responses alone."""

    def data_to_encodable_type(self: Any, data: Any) -> Any:
        return data if isinstance(data, Finished) else dto.data_to_encodable_type(self, data)

    members = {"data_to_encodable_type": data_to_encodable_type, "zoocache_passes": dto}
    return type(dto.__name__, (dto,), members)

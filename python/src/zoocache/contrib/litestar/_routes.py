"""What is to be known of a handler: what it turns results into, and what tells its users apart."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from litestar.response import File, Response, Stream, Template
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse
from litestar.routes import HTTPRoute

from zoocache.contrib._credentials import digest, says_who
from zoocache.contrib._http import StoredResponse
from zoocache.contrib.litestar._response import passing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from litestar import Request
    from litestar.di import Provide
    from litestar.dto import AbstractDTO
    from litestar.handlers import HTTPRouteHandler

    from zoocache.contrib._http import Header

#: Names by which Litestar passes the request, or so much of it that anything of it can be read.
WHOLE = frozenset({"request", "scope", "socket"})
#: Responses that have no body of their own, or one that is made for one user.
NOT_CACHED = (Stream, File, Template)


@dataclass(frozen=True)
class Route:
    """A handler, as an application has it: with what its layers add."""

    handler: HTTPRouteHandler
    #: Tells apart what one function is turned into by several handlers.
    name: str
    #: Request headers that are read, in lower case.
    reads: frozenset[bytes]
    #: Whether whatever says who asks may be read; and whether the handler is given all headers.
    reads_any: bool
    reads_all: bool
    #: Whether the handler may read the address and its query.
    reads_url: bool
    #: Names of the response headers that the layers add to each response.
    adds: frozenset[bytes]
    #: What a `Vary` of theirs names.
    varies: tuple[bytes, ...]
    #: What transforms results.
    dto: type[AbstractDTO[Any]] | None

    @classmethod
    def of(cls, request: Request[Any, Any, Any], own: frozenset[str]) -> Route:
        """Look at the handler of a request.

        Args:
            request: The request.
            own: Names that stand in the handler's signature for our sake only.
        """
        handler: HTTPRouteHandler = request.route_handler
        handed = handler.parsed_fn_signature.parameters.keys() - own
        reads, is_known = _declared(request)
        reads_any = not is_known or bool(handler.resolve_guards() or handler.resolve_security())
        given = set(handed)
        for provider in _used(handed, handler.resolve_dependencies()):
            if not _is_trusted(provider):
                given |= provider.parsed_fn_signature.parameters.keys()
        if "cookies" in given:
            reads.add(b"cookie")
        added = {
            header.name.lower().encode("latin-1"): str(header.value).encode("latin-1")
            for header in handler.resolve_response_headers()
            if not header.documentation_only
        }
        return cls(
            handler,
            _shape(handler),
            frozenset(reads),
            reads_any=reads_any or not given.isdisjoint({*WHOLE, "headers"}),
            reads_all="headers" in handed,
            reads_url=not handed.isdisjoint(WHOLE),
            adds=frozenset(added),
            varies=tuple(name.strip() for name in added.get(b"vary", b"").split(b",") if name.strip()),
            dto=_let_pass(handler),
        )

    def tells_users_apart(self, scope: Any) -> bool:
        """Whether whatever says who asks may have been read: also by a middleware that has found a user."""
        return self.reads_any or scope.get("user") is not None or scope.get("auth") is not None

    def user(self, scope: Any, vary: tuple[bytes, ...]) -> str | None:
        """Return a digest of what a request says of who asks, as far as it may be read."""
        reads_any = self.tells_users_apart(scope)
        if not reads_any and not self.reads:
            return None
        # Of headers that say something else, `vary` names those that count, or else all do.
        reads_all = self.reads_all and not vary
        found: list[tuple[bytes, bytes]] = [
            (name, value)
            for name, value in scope["headers"]
            if reads_all or name in self.reads or (reads_any and says_who(name))
        ]
        if reads_any:
            for part in scope.get("query_string", b"").split(b"&"):
                written, _, value = part.partition(b"=")
                name = unquote_to_bytes(written).lower()
                if says_who(name):
                    found.append((b"?" + name, value))
            if (known := _identity(scope.get("user"))) is not None:
                found.append((b"user", known))
            # Of one session, another user may have logged in.
            if isinstance(session := scope.get("session"), Mapping) and session:
                found.append((b"session", repr(sorted(session.items())).encode("utf-8", "surrogatepass")))
        return digest(found)

    def vary(self, known: tuple[bytes, ...], *, reads_any: bool) -> list[bytes]:
        """Names of the request headers that responses depend on, beside those that are known."""
        if not reads_any:
            return [*self.varies, *sorted(self.reads)]
        if self.reads_all and not known:
            return [b"*"]
        return [*self.varies, *sorted(self.reads | {b"authorization", b"cookie"})]

    def rendered(self, result: Any, request: Request[Any, Any, Any]) -> tuple[StoredResponse, Any]:
        """Do what `HTTPRouteHandler.to_response` does, but for hooks, headers and cookies of the layers.

        Returns:
            The response, and what is to be done after it was sent.

        Raises:
            TypeError: It cannot be stored.
        """
        handler = self.handler
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise TypeError(
                f"{handler} returns a {type(result).__name__}; make it an `async def` that awaits it"
            )
        if isinstance(result, NOT_CACHED):
            raise refused(type(result))
        response = result
        if not isinstance(result, ASGIResponse):
            data = result if self.dto is None else self.dto(request).data_to_encodable_type(result)
            media_type: Any = getattr(handler.media_type, "value", handler.media_type)
            made = {
                "background": handler.background,
                "media_type": media_type,
                "status_code": handler.status_code,
                "type_encoders": handler.resolve_type_encoders(),
            }
            if not isinstance(data, Response):
                data = handler.resolve_response_class()(content=data, **made)
            response = data.to_asgi_response(app=None, request=request, **made)
        if not isinstance(response, ASGIResponse) or isinstance(response, ASGIStreamingResponse):
            raise refused(type(result))
        headers = tuple((name.lower(), value) for name, value in response.encode_headers())
        return StoredResponse(response.status_code, headers, bytes(response.body)), response.background


def refused(cls: type) -> TypeError:
    """Say why a response cannot be cached."""
    if issubclass(cls, Template):
        why = "is rendered for one user (the request and a CSRF token are in its context)"
    elif issubclass(cls, (Stream, File, ASGIStreamingResponse)):
        why = "is sent piece by piece"
    else:
        why = "has no body that is known beforehand"
    return TypeError(
        f"a {cls.__name__} {why} and cannot be cached; return its content, or leave cache_endpoint out"
    )


def _declared(request: Request[Any, Any, Any]) -> tuple[set[bytes], bool]:
    """The request headers that handler and dependencies declare; whether the application has the handler."""
    for route in request.app.routes:
        if isinstance(route, HTTPRoute):
            for handler, model in route.route_handler_map.values():
                if handler is request.route_handler:
                    reads = {known.field_alias.lower().encode() for known in model.expected_header_params}
                    return reads | ({b"cookie"} if model.expected_cookie_params else set()), True
    return set(), False


def _used(names: Any, providers: dict[str, Provide]) -> Iterator[Provide]:
    """The dependencies that are resolved for parameters with these names, and theirs."""
    seen: set[str] = set()
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name in providers and name not in seen:
            seen.add(name)
            yield providers[name]
            wanted += providers[name].parsed_fn_signature.parameters


def _is_trusted(provider: Provide) -> bool:
    """Whether a dependency reads the request for other ends than to know who asks."""
    # They keep a session of the database in the scope, so that it is closed when the response was sent.
    module = getattr(inspect.unwrap(provider.dependency), "__module__", None) or ""
    return module.partition(".")[0] == "advanced_alchemy"


def _identity(user: Any) -> bytes | None:
    """What names the user whom a middleware has found, if it can be told."""
    if isinstance(user, Mapping):
        user = user.get("id", user.get("sub"))
    name = getattr(user, "id", user)
    if not isinstance(name, (str, int, uuid.UUID)):
        return None
    return f"{type(name).__name__}:{name}".encode("utf-8", "surrogatepass")


def _let_pass(handler: HTTPRouteHandler) -> type[AbstractDTO[Any]] | None:
    """Let finished responses pass the handler's DTO; returns the one that transforms results."""
    dto: Any = handler.resolve_return_dto()
    if dto is None:
        return None
    if not hasattr(dto, "zoocache_passes"):
        handler._resolved_return_dto = passing(dto)  # noqa: SLF001 - there is no other way
        dto = handler.resolve_return_dto()
    if not hasattr(dto, "zoocache_passes"):
        raise RuntimeError(
            f"the DTO of {handler} cannot be wrapped; this version of Litestar is not supported"
        )
    return dto.zoocache_passes  # type: ignore[no-any-return]


def _shape(handler: HTTPRouteHandler) -> str:
    """Name what a handler makes of results, in the same way in each process."""
    encoders = sorted(
        f"{_named(cls)}:{_named(encode)}" for cls, encode in handler.resolve_type_encoders().items()
    )
    dto = handler.resolve_return_dto()
    parts = [
        # A controller's subclasses inherit its handlers.
        *(_named(type(layer)) for layer in handler.ownership_layers[1:-1]),
        str(getattr(handler.media_type, "value", handler.media_type)),
        str(handler.status_code),
        _named(handler.resolve_response_class()),
        "" if dto is None else _named(dto),
    ]
    return " ".join([*parts, *encoders])


def _named(thing: Any) -> str:
    name = getattr(thing, "__qualname__", None) or type(thing).__qualname__
    return f"{getattr(thing, '__module__', '')}.{name}"


def header_of(headers: Iterable[Header], wanted: bytes) -> bytes | None:
    """Return the value of a request header; several of one name are one value: RFC 9110 §5.3."""
    found = [value for name, value in headers if name == wanted]
    return b", ".join(found) if found else None

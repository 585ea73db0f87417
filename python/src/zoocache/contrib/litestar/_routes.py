"""What is to be known of a handler: what it turns results into, and what tells its users apart."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from litestar.response import File, Response, Stream, Template
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse
from litestar.routes import HTTPRoute

from zoocache.contrib._credentials import digest, found_in, says_who
from zoocache.contrib._http import StoredResponse
from zoocache.contrib.litestar._response import passing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

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
class _Read:
    """What of the address is read by dependencies whose values are in no key."""

    url: bool
    query: bool
    queries: frozenset[bytes]
    #: Parameters of the path that are in the key otherwise.
    told: frozenset[str]

    @functools.cached_property
    def nothing(self) -> bool:
        return not (self.url or self.query or self.queries)


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
    #: By the handler's parameters that dependencies are given to: what these and theirs take.
    taken: Mapping[str, frozenset[str]]
    #: Parameters of path and query that are declared, by their names in the signatures.
    in_path: Mapping[str, str]
    in_query: Mapping[str, bytes]
    #: Names of the response headers that the layers add to each response.
    adds: frozenset[bytes]
    #: What a `Vary` of theirs names.
    varies: tuple[bytes, ...]
    #: What transforms results.
    dto: type[AbstractDTO[Any]] | None
    #: What `asked` looks at, by the parameters that are hidden.
    read: dict[tuple[str, ...], _Read] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request[Any, Any, Any], own: frozenset[str]) -> Route:
        """Look at the handler of a request.

        Args:
            request: The request.
            own: Names that stand in the handler's signature for our sake only.
        """
        handler: HTTPRouteHandler = request.route_handler
        handed = handler.parsed_fn_signature.parameters.keys() - own
        model = _model(request)
        reads = _headers(model)
        reads_any = model is None or bool(handler.resolve_guards() or handler.resolve_security())
        taken = {
            name: frozenset(_taken(name, handler.resolve_dependencies()))
            for name in handed & handler.resolve_dependencies().keys()
        }
        given = set(handed).union(*taken.values())
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
            reads_url=model is None or not handed.isdisjoint(WHOLE),
            taken=taken,
            in_path={known.field_name: known.field_alias for known in _of(model, "path")},
            in_query={known.field_name: known.field_alias.encode() for known in _of(model, "query")},
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
            found += found_in(scope)
        return digest(found)

    def asked(
        self, scope: Any, handed: Collection[str], unseen: frozenset[str], hidden: Collection[str]
    ) -> tuple[Any, ...]:
        """Return what of the address is read but by parameters whose values are in the key.

        Args:
            scope: The request's.
            handed: The handler's parameters.
            unseen: Those that are never in the key.
            hidden: Those that this request's values keep out of it.
        """
        combination = tuple(hidden)
        read = self.read.get(combination)
        if read is None:
            read = self.read[combination] = self._read(handed, unseen.union(hidden))
        given = scope["path_params"]
        if read.nothing and read.told.issuperset(given):
            return ()
        query = scope.get("query_string", b"")
        if read.url:
            return scope["path"], query
        found: list[Any] = [(name, str(value)) for name, value in given.items() if name not in read.told]
        if read.query:
            found.append(query)
        elif read.queries:
            pairs = [part.partition(b"=") for part in query.split(b"&")]
            found += [(name, value) for name, _, value in pairs if _unquoted(name) in read.queries]
        return tuple(found)

    def _read(self, handed: Collection[str], unseen: Collection[str]) -> _Read:
        hidden: set[str] = set()
        seen = set(handed) - self.taken.keys()
        for name, taken in self.taken.items():
            if name in unseen:
                hidden |= taken
            else:
                seen |= taken
        hidden_only = hidden - set(handed)
        return _Read(
            url=self.reads_url or not hidden.isdisjoint(WHOLE),
            query="query" in hidden,
            queries=frozenset(alias for name, alias in self.in_query.items() if name in hidden_only),
            told=frozenset(
                alias for name, alias in self.in_path.items() if name in seen and name not in hidden_only
            ),
        )

    def vary(self, known: tuple[bytes, ...], *, reads_any: bool) -> list[bytes]:
        """Names of the request headers that responses depend on, beside those that are known."""
        if not reads_any:
            return [*self.varies, *sorted(self.reads)]
        if self.reads_all and not known:
            return [b"*"]
        return [*self.varies, *sorted(self.reads | {b"authorization", b"cookie"})]

    @functools.cached_property
    def in_key(self) -> frozenset[bytes]:
        """Names of the request headers that are part of the key where users do not share."""
        return self.reads | ({b"authorization", b"cookie"} if self.reads_any else set())

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


def _model(request: Request[Any, Any, Any]) -> Any:
    """What the application knows of the handler's parameters; `None` if it does not have the handler."""
    for route in request.app.routes:
        if isinstance(route, HTTPRoute):
            for handler, model in route.route_handler_map.values():
                if handler is request.route_handler:
                    return model
    return None


def _of(model: Any, kind: str) -> Iterable[Any]:
    """The parameters of a kind that handler, dependencies and layers declare."""
    return () if model is None else getattr(model, f"expected_{kind}_params")


def _headers(model: Any) -> set[bytes]:
    """The request headers that handler, dependencies and layers declare."""
    reads = {known.field_alias.lower().encode() for known in _of(model, "header")}
    return reads | ({b"cookie"} if _of(model, "cookie") else set())


def _unquoted(name: bytes) -> bytes:
    return unquote_to_bytes(name.replace(b"+", b" "))


def _taken(name: str, providers: dict[str, Provide]) -> set[str]:
    """The names of all parameters of a dependency, and of those that it depends on."""
    found: set[str] = set()
    seen: set[str] = set()
    wanted = [name]
    while wanted:
        name = wanted.pop()
        if name in providers and name not in seen:
            seen.add(name)
            names = providers[name].parsed_fn_signature.parameters.keys()
            wanted += names
            if not _is_trusted(providers[name]):
                found |= names
    return found


def _is_trusted(provider: Provide) -> bool:
    """Whether a dependency reads the request for other ends than to know who asks."""
    # They keep a session of the database in the scope, so that it is closed when the response was sent.
    module = getattr(inspect.unwrap(provider.dependency), "__module__", None) or ""
    return module.partition(".")[0] == "advanced_alchemy"


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

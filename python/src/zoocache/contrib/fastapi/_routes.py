"""What is to be known of a route: what it turns results into, and which headers tell its users apart."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastapi.dependencies.utils import get_dependant
from fastapi.routing import serialize_response
from fastapi.security.base import SecurityBase
from pydantic import BaseModel
from starlette.responses import Response

from zoocache.contrib._credentials import digest, found_in, says_who
from zoocache.contrib._http import StoredResponse
from zoocache.contrib._injected import classes_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from fastapi.dependencies.models import Dependant
    from starlette.requests import HTTPConnection

_JSON = "dump_json" in inspect.signature(serialize_response).parameters
_SHAPE = (
    "response_model", "response_model_include", "response_model_exclude", "response_model_by_alias",
    "response_model_exclude_unset", "response_model_exclude_defaults", "response_model_exclude_none",
    "status_code",
)  # fmt: skip
#: Statuses whose responses have no body.
_NO_BODY = frozenset({204, 205, 304})


def route_of(request: HTTPConnection) -> Any:
    """Return the route of a request, as its router sees it; `None` for one of Starlette."""
    scope = request.scope
    included = scope.get("fastapi")
    route = included.get("effective_route_context") if isinstance(included, dict) else None
    if route is None:
        route = scope.get("route")
    return route if hasattr(route, "response_model_exclude_unset") else None


@dataclass(frozen=True)
class Route:
    """A FastAPI route on which a cached endpoint is served."""

    route: Any
    #: Tells routes apart that serve the same endpoint.
    name: str
    #: Request headers that its dependencies read, in lower case; and whether they may read any.
    reads: frozenset[bytes]
    reads_any: bool
    #: Request headers that the endpoint itself declares: their values are among its arguments.
    declares: frozenset[bytes]
    #: Parameters of the path that the endpoint itself declares.
    declares_in_path: frozenset[str]
    #: Query parameters that hold credentials.
    secrets: tuple[str, ...]
    #: What each dependency reads, by the parameter that is given what it returns, if there is one.
    dependencies: tuple[tuple[str | None, _Read], ...]
    #: The dependencies that the application has put in the place of others.
    overrides: Mapping[Callable[..., Any], Callable[..., Any]]
    #: What `asked` looks at, by the parameters that are hidden.
    read: dict[tuple[str, ...], tuple[frozenset[str], bool, tuple[str, ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, route: Any) -> Route:
        """Look at a route."""
        overrides = overrides_of(route)
        read = _Read(overrides)
        read.look(route.dependant, is_endpoint=True)
        shape = ",".join(_shown(getattr(route, name, None)) for name in _SHAPE)
        shape += _shown(getattr(route.response_class, "value", route.response_class))
        declares = {_header_of(field) for field in route.dependant.header_params}
        if route.dependant.cookie_params:
            declares.add(b"cookie")
        name = f"{route.path_format} {shape}"
        return cls(
            route,
            name,
            frozenset(read.headers),
            read.any_header,
            frozenset(declares),
            frozenset(field.alias for field in route.dependant.path_params),
            tuple(sorted(read.secrets)),
            tuple(_each(route.dependant, overrides)),
            dict(overrides),
        )

    def user(self, request: HTTPConnection) -> str | None:
        """Return a digest of what the request says of who asks, as far as the endpoint may read it."""
        found: list[tuple[bytes, bytes]] = [
            (name, value)
            for name, value in request.scope["headers"]
            if name in self.reads or (self.reads_any and says_who(name))
        ]
        for name in self.secrets:
            found += ((b"?" + name.encode(), value.encode()) for value in request.query_params.getlist(name))
        if self.reads_any:
            found += found_in(request.scope)
        return digest(found) if found else None

    def asked(
        self, request: HTTPConnection, unseen: frozenset[str], hidden: Collection[str]
    ) -> tuple[Any, ...]:
        """Return what of the address is read by dependencies that return nothing which is in the key.

        Args:
            request: The request.
            unseen: The endpoint's parameters that are never in the key.
            hidden: Those that this request's values keep out of it.
        """
        combination = tuple(hidden)
        read = self.read.get(combination)
        if read is None:
            read = self.read[combination] = self._unseen(unseen.union(hidden))
        told, any_query, queries = read
        given = request.scope.get("path_params", {})
        if not any_query and not queries and told.issuperset(given):
            return ()
        found: list[Any] = [(name, str(value)) for name, value in given.items() if name not in told]
        if any_query:
            found.append(request.scope.get("query_string", b""))
        else:
            found += [(name, request.query_params.getlist(name)) for name in queries]
        return tuple(found)

    def _unseen(self, unseen: Collection[str]) -> tuple[frozenset[str], bool, tuple[str, ...]]:
        """Parameters of the path that are in the key otherwise; whether any query is read, or which."""
        told: set[str] = set()
        read = _Read(self.overrides)
        for name, inner in self.dependencies:
            if name is not None and name not in unseen:
                told |= inner.paths
            else:
                read.paths |= inner.paths
                read.queries |= inner.queries
                read.any_query |= inner.any_query
        return (
            frozenset((told - read.paths) | self.declares_in_path),
            read.any_query,
            tuple(sorted(read.queries)),
        )

    def vary(self, *, shared: bool) -> list[bytes]:
        """Names of the request headers that responses depend on."""
        if shared:
            return sorted(self.declares)
        return sorted(
            self.declares | self.reads | ({b"authorization", b"cookie"} if self.reads_any else set())
        )

    def in_key(self, *, shared: bool) -> frozenset[bytes]:
        """Names of the request headers that are part of the key."""
        return self._in_key[shared]

    @functools.cached_property
    def _in_key(self) -> tuple[frozenset[bytes], frozenset[bytes]]:
        return frozenset(self.vary(shared=False)), frozenset(self.vary(shared=True))

    def says_who(self, request: HTTPConnection) -> bool:
        """Whether a request says who asks in a header that the endpoint declares."""
        return any(name in self.declares and says_who(name) for name, _ in request.scope["headers"])

    def rendered(self, result: Any, given: Response) -> Response:
        """Make a response as FastAPI does; `given` is what dependencies and endpoint may have set up."""
        if isinstance(result, Response):
            return result
        route = self.route
        is_default = hasattr(route.response_class, "value")
        response_class = route.response_class.value if is_default else route.response_class
        as_bytes = _JSON and is_default and route.response_field is not None
        more: dict[str, Any] = {"dump_json": True} if as_bytes else {}
        coroutine = serialize_response(
            field=route.response_field,
            response_content=result,
            include=route.response_model_include,
            exclude=route.response_model_exclude,
            by_alias=route.response_model_by_alias,
            exclude_unset=route.response_model_exclude_unset,
            exclude_defaults=route.response_model_exclude_defaults,
            exclude_none=route.response_model_exclude_none,
            is_coroutine=True,
            **more,
        )
        content = _finished(coroutine)
        status = given.status_code or route.status_code
        more = {} if status is None else {"status_code": status}
        if as_bytes:
            response = Response(content, media_type="application/json", **more)
        else:
            response = response_class(content, **more)
        if response.status_code in _NO_BODY or response.status_code < 200:  # noqa: PLR2004 - informational
            response.body = b""
        return response


def _header_of(field: Any) -> bytes:
    name: str = field.alias
    return name.lower().encode("latin-1")


def _finished(coroutine: Any) -> Any:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("FastAPI's serialize_response waits for something; this version is not supported")


def overrides_of(route: Any) -> Mapping[Callable[..., Any], Callable[..., Any]]:
    """Return what the application has put in the place of dependencies."""
    return getattr(getattr(route, "dependency_overrides_provider", None), "dependency_overrides", None) or {}


def _each(
    dependant: Dependant, overrides: Mapping[Callable[..., Any], Callable[..., Any]]
) -> Iterator[tuple[str | None, _Read]]:
    """What each dependency of an endpoint reads, with all that it depends on."""
    for inner in dependant.dependencies:
        read = _Read(overrides)
        read.look_at(inner)
        yield inner.name, read


class _Read:
    """What dependencies, and the endpoint, read of a request."""

    def __init__(self, overrides: Mapping[Callable[..., Any], Callable[..., Any]]) -> None:
        self._overrides = overrides
        self.headers: set[bytes] = set()
        self.any_header = False
        self.secrets: set[str] = set()
        self.queries: set[str] = set()
        self.any_query = False
        self.paths: set[str] = set()

    def look_at(self, dependency: Dependant) -> None:
        """Collect what a dependency reads, or what the application has put in its place."""
        self.look(self._overridden(dependency), is_endpoint=False)

    def look(self, dependant: Dependant, *, is_endpoint: bool) -> None:
        """Collect what a dependency, or the endpoint, reads."""
        scheme = inspect.unwrap(dependant.call) if dependant.call is not None else None
        if isinstance(scheme, SecurityBase):
            # It is given the whole request, and reads what it declares.
            self._look_at_scheme(scheme)
            return
        takes_request = bool(
            (dependant.request_param_name and dependant.request_param_name != OWN_REQUEST)
            or dependant.websocket_param_name
            or dependant.http_connection_param_name
        )
        self.any_header |= takes_request
        if not is_endpoint:
            # What the endpoint itself declares is among its arguments.
            if dependant.cookie_params:
                self.headers.add(b"cookie")
            self.headers.update(map(_header_of, dependant.header_params))
            self.paths.update(field.alias for field in dependant.path_params)
            self.queries.update(field.alias for field in dependant.query_params)
            self.any_query |= takes_request or any(map(_is_model, dependant.query_params))
        for inner in dependant.dependencies:
            self.look_at(inner)

    def _overridden(self, dependant: Dependant) -> Dependant:
        """What FastAPI solves in the place of a dependency."""
        call = None if dependant.call is None else self._overrides.get(dependant.call)
        if call is None:
            return dependant
        return get_dependant(path=dependant.path or "", call=call, name=dependant.name)

    def _look_at_scheme(self, scheme: SecurityBase) -> None:
        place = getattr(getattr(scheme.model, "in_", None), "value", None)
        name = getattr(scheme.model, "name", None)
        if place == "query" and name is not None:
            self.secrets.add(name)
        elif place == "header" and name is not None:
            self.headers.add(name.lower().encode("latin-1"))
        elif place == "cookie":
            self.headers.add(b"cookie")
        else:
            self.headers.add(b"authorization")


def _is_model(field: Any) -> bool:
    """Whether a parameter is a model, whose fields are the parameters."""
    annotation = getattr(field.field_info, "annotation", None)
    return any(issubclass(cls, BaseModel) for cls in classes_in(annotation))


#: The names of our own parameters.
OWN_REQUEST, OWN_RESPONSE = "zoocache_request_", "zoocache_response_"


def _shown(value: Any) -> str:
    """Show a value in the same way in each process."""
    if isinstance(value, (set, frozenset)):
        return "{" + ",".join(sorted(map(_shown, value))) + "}"
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{_shown(key)}:{_shown(inner)}" for key, inner in value.items())) + "}"
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else repr(value)


def stored(
    response: Response, set_by_endpoint: tuple[tuple[bytes, bytes], ...], *, is_whole: bool
) -> StoredResponse:
    """Take a finished response apart.

    Raises:
        TypeError: It has no body of its own: a stream or a file.
    """
    body = getattr(response, "body", None)
    if body is None or hasattr(response, "body_iterator"):
        raise TypeError(
            f"a {type(response).__name__} is sent piece by piece and cannot be cached; "
            "return its content, or leave cache_endpoint out"
        )
    return StoredResponse(
        status=response.status_code,
        headers=(*response.raw_headers, *set_by_endpoint),
        body=bytes(body),
        is_whole=is_whole,
    )

"""`cache_endpoint`: caches the responses of an endpoint of FastAPI or Starlette."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar, overload

from fastapi.dependencies.utils import get_typed_signature
from fastapi.security import SecurityScopes
from starlette.background import BackgroundTasks
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from zoocache.contrib._credentials import digest, says_who
from zoocache.contrib._endpoint import CachedEndpoint, Call
from zoocache.contrib._injected import classes_in, is_session
from zoocache.contrib.fastapi._routes import (
    OWN_REQUEST,
    OWN_RESPONSE,
    Route,
    overrides_of,
    route_of,
    stored,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Unpack

    from zoocache import Cache
    from zoocache._options import Duration, TagsOfCall
    from zoocache.contrib._endpoint import EndpointOptions, Served
    from zoocache.contrib._http import StoredResponse
    from zoocache.contrib.http import HttpCaching

    _F = TypeVar("_F", bound=Callable[..., Any])

#: Of one endpoint, whose particulars are kept. More are seen where routers are made anew.
_MOST_ROUTES = 1000
#: What FastAPI passes to endpoints that is no part of what they compute.
_FRAMEWORK = (HTTPConnection, Response, BackgroundTasks, SecurityScopes)


@overload
def cache_endpoint(func: _F) -> _F: ...
@overload
def cache_endpoint(
    func: None = None,
    *,
    namespace: str | None = None,
    deps: Iterable[str] | TagsOfCall | None = None,
    ttl: Duration | Callable[[Any], Duration | None] | None = None,
    key: Callable[..., Any] | None = None,
    vary: Iterable[str] = (),
    shared: bool = False,
    http: HttpCaching | bool = False,
    cache: Cache | None = None,
    **options: Unpack[EndpointOptions],
) -> Callable[[_F], _F]: ...
def cache_endpoint(
    func: Any = None,
    *,
    namespace: str | None = None,
    deps: Any = None,
    ttl: Any = None,
    key: Any = None,
    vary: Iterable[str] = (),
    shared: bool = False,
    http: HttpCaching | bool = False,
    cache: Cache | None = None,
    **options: Unpack[EndpointOptions],
) -> Any:
    """Cache the responses of an endpoint, sync or async. It stands below the route's decorator.

    The key is made of the endpoint's arguments (what `Depends` returned among them), the route, and of who
    asks: where the endpoint or its dependencies read credentials, users do not share responses. `Request`,
    `Response`, `BackgroundTasks`, `WebSocket`, `SecurityScopes` and sessions of databases take no part in it.

    Args:
        func: The endpoint; the decorator can be used with and without parentheses.
        namespace: As for `cacheable`.
        deps: As for `cacheable`; tags that are found while the endpoint runs (`add_deps`) count, too.
        ttl: As for `cacheable`.
        key: A function of the endpoint's arguments that stands for them in the key; not for who asks.
        vary: Names of request headers that the response depends on, such as `"Accept-Language"`.
        shared: Whether users may share responses although the endpoint reads credentials.
        http: `True`, or an `HttpCaching`: what browsers and proxies are told (`ETag`, 304, `Cache-Control`).
        cache: The cache; the default one if not given.
        **options: `ignore`, `version`, `cache_if`, `jitter`, `early_refresh`, `stale_while_revalidate`,
            `stale_if_error`, `timeout` and `cluster_lock`, as for `cacheable`.

    Returns:
        The endpoint, with `tag` and `stats` of its cached function. Called by hand, without a request, it
        returns what the function returns, from the cache if it can.

    Raises:
        TypeError: This kind of function cannot be cached.
        InvalidTag: A tag of `deps` is not valid.
        ConfigError: Another argument makes no sense.
    """
    if func is None:
        return functools.partial(
            cache_endpoint, namespace=namespace, deps=deps, ttl=ttl, key=key, vary=vary, shared=shared,
            http=http, cache=cache, **options,
        )  # fmt: skip
    signature = get_typed_signature(func)
    injected = [
        name for name, parameter in signature.parameters.items() if _is_injected(parameter.annotation)
    ]
    endpoint = CachedEndpoint(
        func, signature, injected, _FRAMEWORK, cache=cache, namespace=namespace, deps=deps, ttl=ttl, key=key,
        vary=vary, shared=shared, http=http, options=options,
    )  # fmt: skip
    return _Serving(endpoint, func, signature).function()


def _is_injected(annotation: Any) -> bool:
    return any(issubclass(cls, _FRAMEWORK) or is_session(cls) for cls in classes_in(annotation))


class _Serving:
    """Serves requests with a cached endpoint."""

    def __init__(self, endpoint: CachedEndpoint, func: Any, signature: inspect.Signature) -> None:
        self._endpoint, self._func, self._signature = endpoint, func, signature
        #: By identity: routes cannot be hashed.
        self._routes: dict[int, Route] = {}
        # FastAPI passes one parameter of each kind: those of the endpoint, else ones of our own.
        self._request_name = self._name_of(Request) or OWN_REQUEST
        self._response_name = self._name_of(Response) or OWN_RESPONSE

    def _name_of(self, kind: type) -> str | None:
        found = [
            name
            for name, parameter in self._signature.parameters.items()
            if any(issubclass(cls, kind) for cls in classes_in(parameter.annotation))
        ]
        return found[-1] if found else None

    def function(self) -> Any:
        """Make the function that the framework calls instead of the endpoint."""
        serve = self._endpoint.serving(self._call, self._by_hand)
        serve.__signature__ = self._signature_with_own()
        return serve

    def _by_hand(self, *args: Any, **kwargs: Any) -> Any:
        return self._endpoint.values(*args, **kwargs)

    def _signature_with_own(self) -> inspect.Signature:
        given = list(self._signature.parameters.values())
        own = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
            for name, kind in ((OWN_REQUEST, Request), (OWN_RESPONSE, Response))
            if name in (self._request_name, self._response_name)
        ]
        return inspect.signature(self._func).replace(parameters=[*given, *own])

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Request | None:
        """Find the request of a call, and take our own parameters out of it; `None` for a call by hand."""
        request = kwargs.get(self._request_name)
        if self._request_name is OWN_REQUEST:
            kwargs.pop(OWN_REQUEST, None)
        given = kwargs.get(self._response_name)
        if self._response_name is OWN_RESPONSE:
            kwargs.pop(OWN_RESPONSE, None)
        if request is None:
            request = next((value for value in args if isinstance(value, Request)), None)
        if request is None:
            if given is not None and any(isinstance(value, WebSocket) for value in kwargs.values()):
                raise TypeError(
                    f"{self._func!r} serves a WebSocket, which cannot be cached; leave cache_endpoint out"
                )
            return None
        found = route_of(request)
        route = None if found is None else self._route(found)
        return _Request(self._endpoint, request, given, route, self._endpoint.by_name(args, kwargs))

    def _route(self, found: Any) -> Route:
        route = self._routes.get(id(found))
        # Tests, and programs while they start, may put other dependencies in the place of those seen before.
        if route is None or route.route is not found or route.overrides != overrides_of(found):
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            route = self._routes[id(found)] = Route.of(found)
        return route


class _Request:
    """One request to a cached endpoint."""

    __slots__ = (
        "_before",
        "_endpoint",
        "_given",
        "_request",
        "_route",
        "_user",
        "arguments",
        "inner",
        "place",
    )

    def __init__(
        self,
        endpoint: CachedEndpoint,
        request: Request,
        given: Response | None,
        route: Route | None,
        arguments: dict[str, Any],
    ) -> None:
        self._endpoint, self._request, self._given, self._route = endpoint, request, given, route
        #: Headers that dependencies have set: they are made anew for each request.
        self._before = () if given is None else tuple(given.raw_headers)
        self.inner = Call(self._render, endpoint.hide(arguments))
        self.arguments = arguments
        scope = request.scope
        self._user = None if endpoint.is_shared else _user(request, route)
        vary = endpoint.vary
        self.inner.vary = (
            frozenset(vary) if route is None else route.in_key(shared=endpoint.is_shared).union(vary)
        )
        self.place = (
            scope["method"],
            scope.get("root_path", ""),
            # Starlette gives an endpoint nothing but the request: what it asks for stands in its URL.
            route.name
            if route is not None
            else f"{scope['path']}?{scope.get('query_string', b'').decode('latin-1')}",
            self._user,
            *(request.headers.get(name.decode("latin-1")) for name in vary),
            *(() if route is None else route.asked(request, endpoint.unseen, self.inner.hidden)),
        )

    def _render(self, result: Any) -> StoredResponse:
        self.inner.is_personal = self._user is not None or (
            self._route is not None and self._route.says_who(self._request)
        )
        if isinstance(result, Response):
            self.inner.background = result.background
            return stored(result, (), is_whole=True)
        if self._route is None or self._given is None:
            raise TypeError(f"{self._endpoint.func!r} must return a Response, not {type(result).__name__}")
        response = self._route.rendered(result, self._given)
        before = list(self._before)
        added = []
        for header in self._given.raw_headers:
            if header in before:
                before.remove(header)
            else:
                added.append(header)
        return stored(response, tuple(added), is_whole=False)

    def respond(self, served: Served) -> Response:
        """Make the response of this request."""
        endpoint, kept = self._endpoint, served.stored
        headers = list(kept.headers)
        if not kept.is_whole:
            headers += self._before
        if endpoint.http is None:
            return _Finished(kept.status, headers, kept.body, served.background)
        route, shared = self._route, endpoint.is_shared
        is_private = self._user is not None or (
            not shared and route is not None and route.says_who(self._request)
        )
        told = endpoint.headers(
            served, is_private=is_private, vary=() if route is None else route.vary(shared=shared)
        )
        answer = endpoint.answer(
            kept,
            headers,
            told,
            method=self._request.method,
            if_none_match=self._request.headers.get("if-none-match"),
            anew=self._before,
        )
        return _Finished(*answer, served.background)


def _user(request: Request, route: Route | None) -> str | None:
    if route is not None:
        return route.user(request)
    return digest((name, value) for name, value in request.scope["headers"] if says_who(name))


class _Finished(Response):
    """A response that needs no rendering."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, background: Any) -> None:
        self.status_code = status
        self.raw_headers = headers
        self.body = body
        self.background = background

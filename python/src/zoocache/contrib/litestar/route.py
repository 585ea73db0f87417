"""`cache_endpoint`: caches the responses of a handler of Litestar."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar, overload

from litestar.connection import ASGIConnection, Request
from litestar.datastructures import ImmutableState
from litestar.dto import DTOData
from litestar.handlers.base import BaseRouteHandler
from litestar.utils.signature import get_fn_type_hints

from zoocache.contrib._endpoint import CachedEndpoint, Call
from zoocache.contrib._injected import classes_in, is_session_annotation
from zoocache.contrib.litestar._response import Finished
from zoocache.contrib.litestar._routes import NOT_CACHED, WHOLE, Route, header_of, refused
from zoocache.contrib.litestar._threads import SERVES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Unpack

    from zoocache import Cache
    from zoocache._options import Duration, TagsOfCall
    from zoocache.contrib._endpoint import EndpointOptions, Served
    from zoocache.contrib._http import StoredResponse
    from zoocache.contrib.http import HttpCaching

    _F = TypeVar("_F", bound=Callable[..., Any])

#: Handlers of one function, whose particulars are kept. More are seen where applications are made anew.
_MOST_ROUTES = 1000
_FRAMEWORK = (ASGIConnection, ImmutableState)
#: Parameters that Litestar recognises by name and that say nothing by their value.
_INJECTED = WHOLE | {"self", "cls", "state"}
#: Those that are dictionaries: of them a key is made of what the request says.
_READ_FROM_REQUEST = ("headers", "cookies", "query")
_REQUEST = "request"


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
    """Cache the responses of a handler, sync or async. It stands below the route's decorator.

    The key is made of the handler's arguments (what dependencies return, and the decoded body, among them),
    the route, and of who asks: where handler, dependencies or guards may read credentials, users do not share
    responses. `self`, `request`, `scope`, `state` and sessions of databases take no part in it.

    Args:
        func: The handler's function; the decorator can be used with and without parentheses.
        namespace: As for `cacheable`.
        deps: As for `cacheable`; tags that are found while the handler runs (`add_deps`) count, too.
        ttl: As for `cacheable`.
        key: A function of the handler's arguments that stands for them in the key; not for who asks.
        vary: Names of request headers that the response depends on, such as `"Accept-Language"`.
        shared: Whether users may share responses although the handler may read credentials.
        http: `True`, or an `HttpCaching`: what browsers and proxies are told (`ETag`, 304, `Cache-Control`).
        cache: The cache; the default one if not given.
        **options: `ignore`, `version`, `cache_if`, `jitter`, `early_refresh`, `stale_while_revalidate`,
            `stale_if_error`, `timeout` and `cluster_lock`, as for `cacheable`.

    Returns:
        The function, with `tag` and `stats` of its cached function. Called by hand, without a request, it
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
    if isinstance(func, BaseRouteHandler):
        raise TypeError(
            "cache_endpoint stands below the route's decorator: @get(...) first, then @cache_endpoint"
        )
    signature = _resolved(func)
    _check(func, signature)
    injected = [
        name
        for name, parameter in signature.parameters.items()
        if name in _INJECTED or is_session_annotation(parameter.annotation)
    ]
    endpoint = CachedEndpoint(
        func, signature, injected, _FRAMEWORK, cache=cache, namespace=namespace, deps=deps, ttl=ttl, key=key,
        vary=vary, shared=shared, http=http, options=options,
    )  # fmt: skip
    return _Serving(endpoint, func, signature).function()


def _resolved(func: Any) -> inspect.Signature:
    """A function's signature, with annotations resolved if they can be now."""
    signature = inspect.signature(func)
    try:
        hints = get_fn_type_hints(inspect.unwrap(func))
    except NameError:
        # Litestar resolves them later, with the names that the layers know.
        return signature
    parameters = [
        known.replace(annotation=hints.get(name, known.annotation))
        for name, known in signature.parameters.items()
    ]
    returned = hints.get("return", signature.return_annotation)
    return signature.replace(parameters=parameters, return_annotation=returned)


def _check(func: Any, signature: inspect.Signature) -> None:
    if "socket" in signature.parameters:
        raise TypeError(f"{func!r} serves a WebSocket, which cannot be cached; leave cache_endpoint out")
    for cls in classes_in(signature.return_annotation):
        if issubclass(cls, NOT_CACHED):
            raise refused(cls)


class _Serving:
    """Serves requests with a cached endpoint."""

    def __init__(self, endpoint: CachedEndpoint, func: Any, signature: inspect.Signature) -> None:
        self._endpoint, self._func = endpoint, func
        self._names = tuple(signature.parameters)
        #: By identity: handlers are copied into each application.
        self._routes: dict[int, Route] = {}
        self._own = frozenset() if _REQUEST in self._names else frozenset({_REQUEST})
        self._is_read = tuple(name for name in _READ_FROM_REQUEST if name in self._names)
        self._reads_whole = not WHOLE.isdisjoint(self._names)

    def function(self) -> Any:
        """Make the function that Litestar calls instead of the handler's."""
        serve = self._endpoint.serving(self._call, self._by_hand)
        if self._own:
            # Litestar passes what the signature names.
            given = inspect.signature(self._func)
            own = inspect.Parameter(_REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request)
            serve.__signature__ = given.replace(parameters=[*given.parameters.values(), own])
            serve.__annotations__ = {**inspect.unwrap(self._func).__annotations__, _REQUEST: Request}
        setattr(serve, SERVES, True)
        return serve

    def _by_hand(self, *args: Any, **kwargs: Any) -> Any:
        # What stands in for a request may say who asks, and is in no key.
        function = self._func if self._reads_whole else self._endpoint.values
        return function(*args, **kwargs)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Request | None:
        """Find the request of a call, and take what is ours out of it; `None` for a call by hand."""
        request = kwargs.get(_REQUEST)
        if self._own:
            kwargs.pop(_REQUEST, None)
        if not isinstance(request, Request):
            return None
        if args:
            kwargs.update(zip(self._names, args, strict=False))
        return _Request(self._endpoint, request, self._route(request), kwargs, self._is_read)

    def _route(self, request: Request[Any, Any, Any]) -> Route:
        handler = request.scope["route_handler"]
        route = self._routes.get(id(handler))
        if route is None or route.handler is not handler:
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            route = self._routes[id(handler)] = Route.of(request, self._own)
        return route


class _Request:
    """One request to a cached endpoint."""

    __slots__ = ("_endpoint", "_request", "_route", "_user", "arguments", "inner", "place")

    def __init__(
        self,
        endpoint: CachedEndpoint,
        request: Request[Any, Any, Any],
        route: Route,
        arguments: dict[str, Any],
        is_read: tuple[str, ...],
    ) -> None:
        self._endpoint, self._request, self._route, self.arguments = endpoint, request, route, arguments
        hidden = endpoint.hide(arguments)
        for name in is_read:
            hidden[name], arguments[name] = arguments[name], None
        body = arguments.get("data")
        if isinstance(body, DTOData):
            hidden["data"], arguments["data"] = body, body.as_builtins()
        self.inner = Call(self._render, hidden)
        scope = request.scope
        self._user = None if endpoint.is_shared else route.user(scope, endpoint.vary)
        # What the layers say that responses vary on counts, too.
        vary = (*endpoint.vary, *(name.lower() for name in route.varies))
        self.inner.vary = route.in_key if not endpoint.is_shared else frozenset()
        self.inner.vary = self.inner.vary.union(vary)
        self.place: tuple[Any, ...] = (
            scope["method"],
            scope.get("root_path", ""),
            # Old versions know no template of a path without parameters.
            scope["path_template"] if scope["path_params"] else scope["path"],
            route.name,
            self._user,
            *(header_of(scope["headers"], name) for name in vary),
        )
        self.place += route.asked(scope, arguments, endpoint.unseen, hidden)
        if "query" in hidden and not route.reads_url:
            self.place += (scope.get("query_string", b""),)

    def _render(self, result: Any) -> StoredResponse:
        self.inner.is_personal = self._user is not None
        stored, self.inner.background = self._route.rendered(result, self._request)
        return stored

    def respond(self, served: Served) -> Finished:
        """Make the response of this request."""
        endpoint, kept = self._endpoint, served.stored
        headers = list(kept.headers)
        if endpoint.http is None:
            return Finished(kept.status, headers, kept.body, served.background)
        scope, route = self._request.scope, self._route
        reads_any = not endpoint.is_shared and route.tells_users_apart(scope)
        told = endpoint.headers(
            served,
            is_private=reads_any or self._user is not None,
            vary=route.vary(endpoint.vary, reads_any=reads_any),
        )
        if route.adds:
            # What the layers say stays as it is.
            told = [header for header in told if header[0] == b"vary" or header[0] not in route.adds]
        # The tag of the layers is none that is known here.
        given = None if b"etag" in route.adds else header_of(scope["headers"], b"if-none-match")
        answer = endpoint.answer(kept, headers, told, method=scope["method"], if_none_match=given)
        return Finished(*answer, served.background)

"""`cache_view`: a view whose responses are kept until what they show has changed."""

from __future__ import annotations

import functools
import inspect
import time
import types
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from asgiref.sync import sync_to_async
from django.http import HttpResponse, HttpResponseNotModified
from django.utils.cache import patch_vary_headers

import zoocache
from zoocache import add_deps
from zoocache._identity import Identity, identify
from zoocache.context import get_current_deps
from zoocache.contrib._http import (
    KEPT_IN_304,
    StoredResponse,
    etag_of,
    is_matched,
    may_be_shared,
    merged_vary,
)
from zoocache.contrib.django import _who
from zoocache.contrib.django._place import locale
from zoocache.contrib.django._settings import store_of
from zoocache.contrib.django.tags import instance_tags
from zoocache.contrib.http import HttpCaching, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from zoocache.contrib._http import Header, Outcome

_METHODS = ("GET", "HEAD")
#: What tells proxies that users do not get each other's responses.
_WHO = (b"Cookie", b"Authorization")
#: Stands among the headers that responses vary on for what is in the session.
_SESSION = "*session*"
#: As in `_store`: the timeout is an age, whatever the cache's `read_extend_ttl` says.
_NO_EARLY_REFRESH = 1e-12


class _NotShared(Exception):
    """The response is for its own request only. It ends a computation of which nothing is stored."""

    def __str__(self) -> str:
        return "the response is for one request only: it is not stored"


class _Call:
    """One request on its way through the cache."""

    def __init__(self, view: Callable[..., Any], request: Any, args: Any, kwargs: Any) -> None:
        self.view, self.request, self.args, self.kwargs = view, request, args, kwargs
        #: Whether the computation is that of this request.
        self.has_begun = False
        #: What the view answered to this request, if it did.
        self.response: Any = None
        self.was_asked = False
        #: The same as it may be stored.
        self.stored: StoredResponse | None = None

    def answered(self, response: Any) -> Any:
        """Note what the view answered."""
        self.response, self.was_asked = response, True
        return response


def cache_view(
    timeout: Any = None,
    *,
    tags: Iterable[str] | Callable[..., Iterable[str]] | None = None,
    key: Callable[..., Any] | None = None,
    shared: bool = False,
    http: HttpCaching | bool = False,
    cluster_lock: bool = False,
    using: str | None = None,
) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a view, so that its responses to GET and HEAD are cached.

    What the view depends on is what `tags` say, and what cached functions, querysets and `add_deps` say while
    it runs. Users do not see each other's responses: who sends cookies or credentials has responses of their
    own. The language, the time zone and what the response says in `Vary` are parts of the key, too.

    Responses that set a cookie, show a CSRF token or a message, are streamed, change the session, or forbid
    it are not stored.

    For a class: `@method_decorator(cache_view(60), name="dispatch")`.

    Args:
        timeout: How long a response may be kept: seconds, a `timedelta`, or a text such as `"10m"`.
        tags: What the responses depend on, or a function of the view's arguments that returns it.
        key: A function of the view's arguments; what it returns stands for the URL in the key.
        shared: Whether users with cookies and credentials get the same responses as others. A session that
            the view uses, and `Vary`, count all the same.
        http: Whether to tell browsers and proxies: `ETag`, 304, `Age`, `Cache-Control`, `X-Cache`; or an
            `HttpCaching` that says what.
        cluster_lock: Whether only one of the processes that share a cache computes a response, as for
            `cacheable`.
        using: An alias of `settings.CACHES`; without it the application's default cache, which
            `zoocache.invalidate` reaches.

    Returns:
        The decorator, for views that are functions, sync or async, and for `method_decorator`.

    Raises:
        ConfigError: An option makes no sense.
        TypeError: `cache_view` was used without parentheses.
    """
    if callable(timeout):
        msg = "cache_view takes options: write @cache_view() above the view"
        raise TypeError(msg)
    return _CachedViews(
        timeout,
        tags,
        key,
        shared=shared,
        http=HttpCaching.of(http),
        cluster_lock=cluster_lock,
        using=using,
    )


class _CachedViews:
    """The decorator. `method_decorator` calls it for each request, so what costs something is made once."""

    def __init__(
        self,
        timeout: Any,
        tags: Any,
        key: Any,
        *,
        shared: bool,
        http: HttpCaching | None,
        cluster_lock: bool,
        using: str | None,
    ) -> None:
        if isinstance(tags, str):
            raise zoocache.ConfigError(f"tags must be an iterable of tags; write tags=[{tags!r}]")
        if key is not None and not callable(key):
            raise zoocache.ConfigError(f"key must be a function of the request, not {key!r}")
        if not isinstance(shared, bool):
            raise zoocache.ConfigError(f"shared must be a bool, not {shared!r}")
        self._tags = tags if tags is None or callable(tags) else tuple(tags)
        self._timeout, self._key, self._shared, self._http, self._using = timeout, key, shared, http, using
        self._cluster_lock = cluster_lock
        #: By view, the request headers that responses vary on, as far as this process has seen, and whether
        #: they use the session. Nothing is stored under a key that lacks one of them.
        self._vary: dict[str, frozenset[str]] = {}
        self._functions: dict[int, tuple[Any, Any, Any]] = {}
        # Says now what is wrong with the timeout, or with `cluster_lock`.
        self._made(zoocache)

    def __call__(self, view: Callable[..., Any]) -> Callable[..., Any]:
        if _is_async(view):

            @functools.wraps(view)
            async def async_view(request: Any, *args: Any, **kwargs: Any) -> Any:
                if request.method not in _METHODS:
                    return await view(request, *args, **kwargs)
                return await self._serve_async(_Call(view, request, args, kwargs))

            return async_view

        @functools.wraps(view)
        def sync_view(request: Any, *args: Any, **kwargs: Any) -> Any:
            if request.method not in _METHODS:
                return view(request, *args, **kwargs)
            return self._serve(_Call(view, request, args, kwargs))

        return sync_view

    def _serve(self, call: _Call) -> Any:
        function = self._made(store_of(self._using).cache)[0]
        identity = _identity(call) if self._key is None else _only_identity(call)
        while True:
            vary = self._vary.get(identity, frozenset())
            place = self._place(identity, vary, call)
            try:
                return self._answer(call, function(call, place))
            except _NotShared:
                if call.was_asked:
                    return self._answer(call, None)
                is_new = self._vary.get(identity, frozenset()) != vary
            except Exception:
                if call.has_begun:
                    raise
                # If this request has no key, this raises it again.
                function.key(call, place)
                is_new = False
            if not is_new:
                # Somebody else's, who asked at the same time, and for whom it may be something else.
                return call.view(call.request, *call.args, **call.kwargs)

    async def _serve_async(self, call: _Call) -> Any:
        function = self._made(store_of(self._using).cache)[1]
        identity = _identity(call) if self._key is None else _only_identity(call)
        while True:
            vary = self._vary.get(identity, frozenset())
            if _SESSION in vary:
                # From a database, it must be read in a thread of Django's.
                await sync_to_async(_who.in_session, thread_sensitive=True)(call.request)
            place = self._place(identity, vary, call)
            try:
                return self._answer(call, await function(call, place))
            except _NotShared:
                if call.was_asked:
                    return self._answer(call, None)
                is_new = self._vary.get(identity, frozenset()) != vary
            except Exception:
                if call.has_begun:
                    raise
                # If this request has no key, this raises it again.
                function.key(call, place)
                is_new = False
            if not is_new:
                # Somebody else's, who asked at the same time, and for whom it may be something else.
                return await call.view(call.request, *call.args, **call.kwargs)

    def _made(self, cache: Any) -> tuple[Any, Any, Any]:
        """The cached functions in a cache, sync and async, and the cache, so that its `id` stays its own."""
        found = self._functions.get(id(cache))
        if found is None:
            options = {
                "namespace": "zoocache.contrib.django",
                "key": lambda place: place,
                "ttl": self._timeout,
                "early_refresh": _NO_EARLY_REFRESH,
                "copy": "share",
                "cluster_lock": self._cluster_lock,
            }

            @cache.cacheable(**options)
            def respond(call: _Call, place: Any) -> StoredResponse:
                self._declare(call)
                response = call.answered(call.view(call.request, *call.args, **call.kwargs))
                _rendered(response, call.request)
                return self._finished(call, place)

            @cache.cacheable(**options)
            async def respond_async(call: _Call, place: Any) -> StoredResponse:
                self._declare(call)
                response = call.answered(await call.view(call.request, *call.args, **call.kwargs))
                # Templates may use the database.
                await sync_to_async(_rendered, thread_sensitive=True)(response, call.request)
                return self._finished(call, place)

            found = self._functions.setdefault(id(cache), (respond, respond_async, cache))
        return found

    def _declare(self, call: _Call) -> None:
        call.has_begun = True
        if self._using is not None:
            # So that the alias's `clear` reaches it.
            add_deps([store_of(self._using).tag])
        # The user was loaded before, by a middleware that looked at it.
        add_deps(instance_tags(_who.known_user(call.request)))
        tags = self._tags
        if callable(tags):
            tags = tags(call.request, *call.args, **call.kwargs)
        if tags is not None:
            add_deps(tags)

    def _place(self, identity: str, vary: frozenset[str], call: _Call) -> Any:
        """Everything that a response depends on: nobody who differs in it gets it."""
        request = call.request
        if self._key is None:
            text = request.META.get("QUERY_STRING", "")
            # Every byte is a letter of this encoding.
            query = parse_qsl(text, keep_blank_values=True, encoding="latin-1")
            # The order of one name's values may mean something, that of the names does not.
            what: Any = (request.path, urlencode(sorted(query, key=lambda pair: pair[0])))
        else:
            what = self._key(request, *call.args, **call.kwargs)
        return (
            identity,
            request.method,
            request.scheme,
            request.get_host(),
            what,
            locale(),
            None if self._shared else _who.asks(request),
            _renderer(request),
            # Credentials may be among them.
            _who.digest((name, request.META.get(_meta(name))) for name in sorted(vary - {_SESSION})),
            # Read here: of a session in a database, a computation would depend on all of them.
            _who.in_session(request) if _SESSION in vary else None,
            tuple(sorted(vary)),
        )

    def _finished(self, call: _Call, place: Any) -> StoredResponse:
        """Make what is stored of a response, still inside of the computation.

        Raises:
            _NotShared: Nothing may be.
        """
        response, request = call.response, call.request
        if getattr(response, "streaming", False) or not isinstance(response, HttpResponse):
            raise _NotShared
        if _who.is_personal(request, response):
            raise _NotShared
        uses_session = _who.uses_session(request)
        if uses_session:
            # As the session's middleware will, but of a hit it does not know.
            patch_vary_headers(response, ["Cookie"])
        headers = _headers(response)
        names = _names(merged_vary(headers, ()))
        if uses_session:
            names |= {_SESSION}
        if _negotiates(response):
            names |= {"accept"}
        if not may_be_shared(response.status_code, headers) or _is_private(headers):
            raise _NotShared
        call.stored = self._stored(response, headers)
        identity, known = place[0], place[-1]
        if not names <= set(known):
            # Its key lacks what it varies on; from now on the keys have that.
            self._vary[identity] = self._vary.get(identity, frozenset()) | names
            raise _NotShared
        return call.stored

    def _stored(self, response: Any, headers: tuple[Header, ...]) -> StoredResponse:
        body = bytes(response.content)
        etag = purge = None
        if self._http is not None:
            etag = next((value for name, value in headers if name == b"etag"), None)
            if etag is None and self._http.etag is not None:
                etag = etag_of(response.status_code, headers, body, weak=self._http.etag == "weak")
            if self._http.tag_headers:
                purge = keys_of(get_current_deps() or ())
        return StoredResponse(
            response.status_code, headers, body, etag=etag, purge_keys=purge, made_at=time.time()
        )

    def _answer(self, call: _Call, found: StoredResponse | None) -> Any:
        """Make the response to a request; what was computed for it is that which the view returned."""
        outcome: Outcome = "miss" if call.was_asked else "hit"
        stored = call.stored if call.was_asked else found
        response = call.response
        if not call.was_asked and stored is not None:
            response = _made_again(stored)
        if self._http is None or stored is None:
            return response
        is_private = not self._shared and _who.asks(call.request) is not None
        told = self._http.headers(stored, outcome, is_private=is_private, vary=() if self._shared else _WHO)
        for name, value in told:
            response.headers[name.decode("latin-1")] = value.decode("latin-1")
        if is_matched(call.request.META.get("HTTP_IF_NONE_MATCH"), stored.etag):
            unchanged = HttpResponseNotModified()
            for name, text in response.headers.items():
                if name.lower().encode("latin-1") in KEPT_IN_304:
                    unchanged.headers[name] = text
            unchanged.cookies = response.cookies
            return unchanged
        return response


def _identity(call: _Call) -> str:
    """Name a view; for a method of a class-based view, with the class that it belongs to."""
    view = call.view
    function = view.func if isinstance(view, functools.partial) else view
    owner = getattr(function, "__self__", None)
    name = f"{getattr(view, '__module__', '')}.{getattr(view, '__qualname__', type(view).__qualname__)}"
    return name if owner is None else f"{type(owner).__module__}.{type(owner).__qualname__}/{name}"


def _only_identity(call: _Call) -> str:
    """Name a view whose URL is not in the key: what is made twice, by a function or by `as_view`, is two."""
    view = call.view
    if isinstance(view, types.FunctionType):
        found = _identified(view)
        return found.shared or found.name
    route = getattr(getattr(call.request, "resolver_match", None), "route", None)
    return f"{_identity(call)} {route}"


@functools.lru_cache(maxsize=4096)
def _identified(view: Any) -> Identity:
    return identify(view, None, ())


def _is_async(view: Any) -> bool:
    function = view.func if isinstance(view, functools.partial) else view
    if inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(function):
        return True
    # `View.dispatch` is no coroutine function, but returns what an async method does.
    owner = getattr(function, "__self__", None)
    return function.__name__ == "dispatch" and bool(getattr(owner, "view_is_async", False))


def _rendered(response: Any, request: Any) -> None:
    """Render what is to be rendered later, while what it depends on is recorded."""
    render = getattr(response, "render", None)
    if not callable(render) or getattr(response, "is_rendered", True):
        return
    if hasattr(request, "accepted_renderer") and not hasattr(response, "accepted_renderer"):
        # Of REST framework, in a method of its view: what `finalize_response` would do.
        response.accepted_renderer = request.accepted_renderer
        response.accepted_media_type = request.accepted_media_type
        response.renderer_context = request.parser_context
    render()


def _renderer(request: Any) -> str | None:
    """What REST framework has negotiated before the view was called."""
    return getattr(request, "accepted_media_type", None)


def _negotiates(response: Any) -> bool:
    """Whether REST framework read in `Accept` which version is wanted; `Vary` may say nothing of it."""
    request = (getattr(response, "renderer_context", None) or {}).get("request")
    scheme = type(getattr(request, "versioning_scheme", None))
    return any(cls.__name__ == "AcceptHeaderVersioning" for cls in scheme.__mro__)


def _headers(response: Any) -> tuple[Header, ...]:
    found = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()
    ]
    found += [(b"set-cookie", morsel.OutputString().encode()) for morsel in response.cookies.values()]
    return tuple(found)


def _names(vary: bytes | None) -> frozenset[str]:
    return frozenset(name.strip().lower().decode("latin-1") for name in (vary or b"").split(b",") if name)


def _meta(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


def _is_private(headers: Iterable[Header]) -> bool:
    """Whether the view says that caches which others use must not keep it."""
    words = b",".join(value.lower() for name, value in headers if name == b"cache-control")
    return b"private" in words


def _made_again(stored: StoredResponse) -> HttpResponse:
    response = HttpResponse(stored.body, status=stored.status)
    del response.headers["Content-Type"]
    for name, value in stored.headers:
        response.headers[name.decode("latin-1").title()] = value.decode("latin-1")
    return response

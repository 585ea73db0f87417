"""Cached endpoints, as far as they are the same in every framework.

An endpoint's responses are cached, finished and as bytes, so that a hit neither validates nor serializes. The
key of one is made of the endpoint's arguments and of its *place*: the route, and who asks.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import zoocache
from zoocache import ConfigError
from zoocache._identity import IDENTIFIES
from zoocache._time import milliseconds
from zoocache.context import get_current_deps
from zoocache.contrib._http import (
    KEPT_IN_304,
    StoredResponse,
    etag_of,
    is_matched,
    may_be_shared,
    says_private,
    varies_on,
)
from zoocache.contrib._injected import is_session, is_session_annotation
from zoocache.contrib.http import HttpCaching, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from zoocache import Cache
    from zoocache.contrib._http import Header, Outcome

#: Parameters of ours beside those of the endpoint.
CALL, PLACE = "zoocache_call_", "zoocache_place_"
#: Options of `cacheable` that serve values which may come from a computation after the request has ended.
_IN_BACKGROUND = ("stale_while_revalidate", "early_refresh", "timeout")


class EndpointOptions(TypedDict, total=False):
    """The options of `cacheable` that endpoints have, too."""

    ignore: Iterable[str]
    version: int | str
    cache_if: Callable[[Any], object] | None
    jitter: float
    early_refresh: float | None
    stale_while_revalidate: Any
    stale_if_error: Any
    timeout: Any
    cluster_lock: bool


class Call:
    """One request on its way through the cache."""

    __slots__ = ("answer", "background", "failed", "hidden", "is_personal", "render", "vary")

    def __init__(self, render: Callable[[Any], StoredResponse], hidden: dict[str, Any]) -> None:
        #: Whether who asks is part of the key, and the request headers that are.
        self.is_personal = False
        self.vary: frozenset[bytes] = frozenset()
        #: Makes a response of what the endpoint returned.
        self.render = render
        #: Arguments that take no part in the key.
        self.hidden = hidden
        #: The response that the endpoint made for this request, and what is to be done after it was sent.
        self.answer: StoredResponse | None = None
        self.background: Any = None
        self.failed = False


class NotShared(Exception):
    """The response is for its own request only. It ends a computation of which nothing is stored."""

    def __str__(self) -> str:
        return "the response is for its own request only: it is not stored"


@dataclass(frozen=True)
class Served:
    """A response, and how it came about."""

    stored: StoredResponse
    outcome: Outcome
    background: Any = None


class Request(Protocol):
    """A request to an endpoint, as a framework's integration sees it."""

    #: On its way through the cache.
    inner: Call
    #: What the key has beside the arguments.
    place: tuple[Any, ...]
    #: Of the endpoint, by name.
    arguments: dict[str, Any]

    def respond(self, served: Served) -> Any:
        """Make the framework's response."""


class CachedEndpoint:
    """The cached function behind an endpoint.

    Args:
        func: The endpoint.
        signature: Its signature, with annotations resolved.
        injected: Names of its parameters that take no part in the key.
        framework: Classes of what the framework passes, which takes no part in the key either.
        cache: The cache; `None` for the default one.
        namespace, deps, ttl, key: As for `cacheable`.
        vary: Names of request headers that the response depends on.
        shared: Whether users may share responses although the endpoint reads who asks.
        http: What is told to browsers and proxies.
        options: More options of `cacheable`.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        signature: inspect.Signature,
        injected: Collection[str],
        framework: tuple[type, ...],
        *,
        cache: Cache | None,
        namespace: str | None,
        deps: Any,
        ttl: Any,
        key: Any,
        vary: Iterable[str],
        shared: bool,
        http: HttpCaching | bool,
        options: EndpointOptions,
    ) -> None:
        if isinstance(vary, str):
            raise ConfigError(f"vary must be an iterable of header names; write vary=({vary!r},)")
        if not isinstance(shared, bool):
            raise ConfigError(f"shared must be a bool, not {type(shared).__name__}: {shared!r}")
        self.func, self.is_shared = func, shared
        self.is_async = _is_async(func)
        _refuse_generator(func)
        self._framework = framework
        self.http = HttpCaching.of(http)
        #: Those that are given, and later those that responses name in `Vary`, too.
        self.vary = tuple(name.lower().encode("latin-1") for name in vary)
        self._options: dict[str, Any] = {**options, "namespace": namespace, "deps": deps}
        for name in injected:
            if is_session_annotation(signature.parameters[name].annotation):
                self._refuse_late(name)
        self._cacheable = zoocache.cacheable if cache is None else cache.cacheable
        self._ttl, self._key = ttl, key
        self._cache_if = self._options.pop("cache_if", None)
        self._ignore = [*injected, *(self._options.pop("ignore", ()) if key is None else ())]
        self._signature = signature
        #: Parameters whose values are not in the key by themselves.
        self.unseen = frozenset(self._ignore if key is None else signature.parameters)
        #: Parameters whose values may turn out to be sessions, which no annotation says.
        self._suspect = tuple(name for name in signature.parameters if name not in self._ignore)
        self.cached = self._cached_responses()
        tolerant = ("stale_while_revalidate", "stale_if_error", "timeout")
        self._may_be_stale = any(self._options.get(name) is not None for name in tolerant)

    def _refuse_late(self, name: str) -> None:
        """Refuse a session where the function may run after the request has ended, and so has the session."""
        for option in _IN_BACKGROUND:
            if self._options.get(option) is not None:
                raise ConfigError(
                    f"{option} computes after the response was sent, when {name!r} of {self.func!r} is "
                    f"closed; leave {option} out, or open a session inside of the function"
                )

    def _cached_responses(self) -> Any:
        func, finish = self.func, self._finish
        if self.is_async:

            async def compute(*args: Any, **kwargs: Any) -> StoredResponse:
                call: Call = kwargs.pop(CALL)
                del kwargs[PLACE]
                try:
                    result = await func(*args, **{**kwargs, **call.hidden})
                except BaseException:
                    call.failed = True
                    raise
                return finish(call, result)
        else:

            def compute(*args: Any, **kwargs: Any) -> StoredResponse:  # type: ignore[misc]
                call: Call = kwargs.pop(CALL)
                del kwargs[PLACE]
                try:
                    result = func(*args, **{**kwargs, **call.hidden})
                except BaseException:
                    call.failed = True
                    raise
                return finish(call, result)

        functools.update_wrapper(compute, func)
        del compute.__wrapped__  # type: ignore[attr-defined]
        # Other processes know the endpoint, not this wrapper.
        setattr(compute, IDENTIFIES, func)
        compute.__annotations__ = {"return": StoredResponse}
        compute.__signature__ = self._with_own_parameters()  # type: ignore[attr-defined]
        options = {**self._options, "ttl": self._ttl_of_stored(), "copy": "share"}
        if self._key is None:
            options["ignore"] = [*self._ignore, CALL]
        else:
            options["key"] = self._key_with_place()
        return self._cacheable(**options)(compute)

    def _with_own_parameters(self) -> inspect.Signature:
        given = list(self._signature.parameters.values())
        at = next(
            (i for i, known in enumerate(given) if known.kind is inspect.Parameter.VAR_KEYWORD), len(given)
        )
        given[at:at] = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in (CALL, PLACE)]
        return inspect.Signature(given)

    def _ttl_of_stored(self) -> Any:
        return (lambda stored: stored.ttl) if callable(self._ttl) else self._ttl

    def _key_with_place(self) -> Callable[..., Any]:
        """Make a `key` of the user's, which knows nothing of the place."""
        key = self._key
        if not callable(key):
            raise ConfigError(f"key must be a function of the arguments, not {type(key).__name__}: {key!r}")
        wanted = inspect.signature(key).parameters
        takes_all = any(known.kind is inspect.Parameter.VAR_KEYWORD for known in wanted.values())
        names = self._signature.parameters.keys()
        for name, known in wanted.items():
            if name not in names and not takes_all and known.default is inspect.Parameter.empty:
                raise TypeError(
                    f"key wants {name!r}, but {self.func!r} has no such parameter; it has {list(names)}"
                )

        def key_with_place(**bound: Any) -> tuple[Any, Any]:
            hidden = bound.pop(CALL).hidden
            place = bound.pop(PLACE)
            bound.update(hidden)
            return place, key(**(bound if takes_all else {n: bound[n] for n in wanted if n in bound}))

        return key_with_place

    def _finish(self, call: Call, result: Any) -> StoredResponse:
        """Make the response, still inside of the computation: what it depends on counts."""
        stored = call.render(result)
        is_kept = self._cache_if is None or self._cache_if(result)
        etag = purge = None
        if self.http is not None and stored.value_of(b"etag") is None and self.http.etag is not None:
            etag = etag_of(stored.status, stored.headers, stored.body, weak=self.http.etag == "weak")
        elif self.http is not None:
            etag = stored.value_of(b"etag")
        if self.http is not None and self.http.tag_headers:
            purge = keys_of(get_current_deps() or ())
        ttl = _seconds(self._ttl(result)) if callable(self._ttl) else None
        call.answer = replace(stored, etag=etag, purge_keys=purge, made_at=time.time(), ttl=ttl)
        if not is_kept or not may_be_shared(stored.status, stored.headers):
            raise NotShared
        if not self.is_shared and not call.is_personal and says_private(stored.headers):
            raise NotShared
        self._check_vary(call, stored)
        return call.answer

    def _check_vary(self, call: Call, stored: StoredResponse) -> None:
        """See that the key holds what the response says it varies on.

        Raises:
            NotShared: It does not; the keys of later requests do.
        """
        missing = varies_on(stored.headers) - call.vary
        if missing:
            self.vary = tuple(sorted({*self.vary, *missing}))
            raise NotShared

    def hide(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Take sessions and what frameworks pass, if no annotation told of them, out of the arguments."""
        hidden: dict[str, Any] = {}
        for name in self._suspect:
            if name not in arguments:
                continue
            kind = type(arguments[name])
            if is_session(kind):
                self._refuse_late(name)
            elif not issubclass(kind, self._framework):
                continue
            hidden[name], arguments[name] = arguments[name], None
        return hidden

    def by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Name all arguments of a call."""
        if not args:
            return kwargs
        bound = self._signature.bind_partial(*args).arguments
        return {**bound, **kwargs}

    def serving(
        self,
        request_of: Callable[[tuple[Any, ...], dict[str, Any]], Request | None],
        by_hand: Callable[..., Any],
    ) -> Any:
        """Make the function that the framework calls instead of the endpoint.

        Args:
            request_of: Finds the request of a call, and takes what is no argument of the endpoint out of its
                keywords; `None` for a call by hand.
            by_hand: What such a call does.
        """
        if self.is_async:

            async def serve(*args: Any, **kwargs: Any) -> Any:
                request = request_of(args, kwargs)
                if request is None:
                    return await by_hand(*args, **kwargs)
                return request.respond(await self.serve(request.inner, request.place, request.arguments))
        else:

            def serve(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
                request = request_of(args, kwargs)
                if request is None:
                    return by_hand(*args, **kwargs)
                return request.respond(self.serve_sync(request.inner, request.place, request.arguments))

        functools.update_wrapper(serve, self.func)
        serve.tag = self.cached.tag  # type: ignore[attr-defined]
        serve.stats = self.cached.stats  # type: ignore[attr-defined]
        return serve

    async def serve(self, call: Call, place: tuple[Any, ...], arguments: dict[str, Any]) -> Served:
        """Return the response to a request of an async endpoint, from the cache or made now."""
        given = {**arguments, CALL: call, PLACE: place}
        stored: StoredResponse | None = None
        try:
            stored = await self.cached(**given)
        except NotShared:
            if call.answer is None:
                # Somebody else's, who computed at the same time.
                with contextlib.suppress(NotShared):
                    stored = await self.cached.bypass(**given)
        return self._served(call, stored)

    def serve_sync(self, call: Call, place: tuple[Any, ...], arguments: dict[str, Any]) -> Served:
        """Do what `serve` does for an endpoint that is no coroutine."""
        given = {**arguments, CALL: call, PLACE: place}
        stored: StoredResponse | None = None
        try:
            stored = self.cached(**given)
        except NotShared:
            if call.answer is None:
                with contextlib.suppress(NotShared):
                    stored = self.cached.bypass(**given)
        return self._served(call, stored)

    def _served(self, call: Call, stored: StoredResponse | None) -> Served:
        if call.answer is not None:
            # Also where a stale response stands in for one that is not to be stored.
            return Served(call.answer, "miss", call.background)
        assert stored is not None  # noqa: S101 - who computes has an answer
        return Served(stored, "stale" if call.failed or self._is_late(stored) else "hit")

    def _is_late(self, stored: StoredResponse) -> bool:
        ttl = stored.ttl if callable(self._ttl) else self._plain_ttl
        return self._may_be_stale and ttl is not None and time.time() - stored.made_at > ttl

    @functools.cached_property
    def _plain_ttl(self) -> float | None:
        return _seconds(self._ttl)

    @functools.cached_property
    def values(self) -> Any:
        """The cached function for calls by hand, without a request: it returns what the endpoint returns."""
        func, tag = self.func, self.cached.tag
        if self.is_async:

            async def compute(*args: Any, **kwargs: Any) -> Any:
                zoocache.add_deps([tag])
                return await func(*args, **kwargs)
        else:

            def compute(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
                zoocache.add_deps([tag])
                return func(*args, **kwargs)

        functools.update_wrapper(compute, func)
        compute.__signature__ = self._signature  # type: ignore[attr-defined]
        setattr(compute, IDENTIFIES, func)
        options = {**self._options, "ttl": self._ttl, "cache_if": self._cache_if}
        options["namespace"] = f"{self._options['namespace'] or ''}/values"
        if self._key is None:
            options["ignore"] = self._ignore
        else:
            options["key"] = self._key
        return self._cacheable(**options)(compute)

    def headers(self, served: Served, *, is_private: bool, vary: Iterable[bytes] = ()) -> list[Header]:
        """What is told to browsers and proxies beside the response's own headers."""
        if self.http is None:
            return []
        stored = served.stored
        if served.outcome == "miss" and not may_be_shared(stored.status, stored.headers):
            own = stored.value_of(b"cache-control")
            return [(b"cache-control", b"no-store")] if own is None else []
        # Of several `Vary`s, clients read all: only the names that are missing would do, but one is clearer.
        return self.http.headers(
            served.stored, served.outcome, is_private=is_private, vary=(*self.vary, *vary)
        )

    def answer(
        self,
        stored: StoredResponse,
        headers: list[Header],
        told: list[Header],
        *,
        method: str,
        if_none_match: bytes | str | None,
        anew: Collection[Header] = (),
    ) -> tuple[int, list[Header], bytes]:
        """Return status, headers and body of a response: 304 and no body to a client that has it already.

        Args:
            stored: The response.
            headers: Its headers.
            told: What `headers` returned, of which a `Vary` stands for that of the response, too.
            method: Of the request.
            if_none_match: The request's header.
            anew: Those of the headers that were made for this request.
        """
        if any(name == b"vary" for name, _ in told):
            headers = [header for header in headers if header[0] != b"vary"]
        headers = headers + told
        if self._is_unchanged(method, if_none_match, stored):
            return 304, [header for header in headers if header[0] in KEPT_IN_304 or header in anew], b""
        return stored.status, headers, stored.body

    def _is_unchanged(self, method: str, if_none_match: bytes | str | None, stored: StoredResponse) -> bool:
        return self.http is not None and method in ("GET", "HEAD") and is_matched(if_none_match, stored.etag)


def _is_async(func: Any) -> bool:
    """Whether calls of a function are to be awaited: as frameworks ask, also through a decorator."""
    asked = (func, inspect.unwrap(func), getattr(func, "__call__", None))  # noqa: B004 - not asked whether
    return any(inspect.iscoroutinefunction(candidate) for candidate in asked)


def _refuse_generator(func: Any) -> None:
    asked = (func, inspect.unwrap(func))
    if any(inspect.isgeneratorfunction(known) or inspect.isasyncgenfunction(known) for known in asked):
        raise TypeError(f"{func!r} is a generator, whose answer is sent piece by piece and cannot be cached")


def _seconds(ttl: Any) -> float | None:
    if ttl is None:
        return None
    return milliseconds("ttl", ttl, allow_zero=True) / 1000

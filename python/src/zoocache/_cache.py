"""`Cache`: everything a cache can do. The module functions are the methods of one, the default cache.

Memory never blocks, and a folder for microseconds only, so there the async forms do their work at once. With
a server they wait for it without blocking the event loop.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar, overload

from zoocache import _bulk, _native
from zoocache._changes import (
    Changing,
    ConsistentAfter,
    InvalidationBatch,
    arrived,
    check_position,
    in_thread,
)
from zoocache._decorate import decorate
from zoocache._errors import Unsent
from zoocache._explain import Explanation, explain
from zoocache._invalidates import invalidates
from zoocache._settings import DEFAULTS, bind, check, current, given, lock, release
from zoocache._time import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from zoocache._invalidates import Invalidates
    from zoocache._methods import CachedClassMethod
    from zoocache._options import CacheableOptions, Duration, StaleIfError, TagsOfCall
    from zoocache._settings import CacheSettings, Settings

_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)
_T = TypeVar("_T")


class _Decorator(Protocol):
    """`cacheable` with its options given."""

    @overload
    def __call__(self, func: classmethod[_T, _P, _R_co], /) -> CachedClassMethod[_T, _P, _R_co]: ...
    @overload
    def __call__(self, func: staticmethod[_P, _R_co], /) -> staticmethod[_P, _R_co]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, func: Callable[_P, _R_co], /) -> _native.CachedFunction[_P, _R_co]: ...


class Cache:
    """A cache of its own, beside the default one.

    Functions decorated with its `cacheable`, and its other methods, use it and no other. A cached function
    may call cached functions of another cache: it depends on what they depend on.

    Args:
        **settings: As those of `configure`.

    Raises:
        ConfigError: A setting makes no sense; a `ValueError` that names the parameter.
    """

    __slots__ = ("__weakref__", "_native", "_settings", "_telemetry")

    def __init__(self, **settings: Unpack[CacheSettings]) -> None:
        for name in settings:
            if name not in DEFAULTS:
                msg = f"Cache() has no setting {name!r}; it has those of configure(): {', '.join(DEFAULTS)}"
                raise TypeError(msg)
        checked = check(given(settings))
        with lock:
            self._native = _native.NativeCache(checked)
        self._settings: Settings | None = checked
        self._telemetry = bind(settings.get("telemetry"), self._native, checked)

    @classmethod
    def _default(cls) -> Cache:
        """Make the default cache, which `configure` configures."""
        default = cls.__new__(cls)
        default._native = _native.NativeCache()  # noqa: SLF001 - our own
        default._settings = None  # noqa: SLF001 - those of `configure`
        default._telemetry = None  # noqa: SLF001 - that of `configure`
        return default

    def _place(self) -> Settings:
        """The settings it has now: the default cache may get others."""
        return self._settings or current()

    @overload
    def cacheable(
        self,
        func: None = None,
        **options: Unpack[CacheableOptions],
    ) -> _Decorator: ...
    @overload
    def cacheable(
        self,
        func: classmethod[_T, _P, _R_co],
        **options: Unpack[CacheableOptions],
    ) -> CachedClassMethod[_T, _P, _R_co]: ...
    @overload
    def cacheable(  # type: ignore[overload-overlap]
        self,
        func: staticmethod[_P, _R_co],
        **options: Unpack[CacheableOptions],
    ) -> staticmethod[_P, _R_co]: ...
    @overload
    def cacheable(
        self,
        func: Callable[_P, _R_co],
        **options: Unpack[CacheableOptions],
    ) -> _native.CachedFunction[_P, _R_co]: ...
    def cacheable(
        self,
        func: Any = None,
        *,
        namespace: str | None = None,
        deps: Iterable[str] | Callable[..., Iterable[str]] | None = None,
        ttl: Duration | Callable[[Any], Duration | None] | None = None,
        key: Callable[..., Any] | None = None,
        ignore: Iterable[str] = (),
        typed: bool = True,
        version: int | str = 1,
        cache_if: Callable[[Any], object] | None = None,
        jitter: float = 0.0,
        early_refresh: float | None = None,
        stale_while_revalidate: Duration | None = None,
        stale_if_error: StaleIfError | None = None,
        timeout: Duration | None = None,
        copy: Literal["auto", "share", "deep"] = "auto",
        on_unserializable: Literal["raise", "return"] = "raise",
        cluster_lock: bool = False,
    ) -> Any:
        """Cache the results of a function, sync or async.

        Durations are seconds, a `timedelta`, or a text such as `"10m"` or `"1h30m"`.

        Args:
            func: The function; the decorator can be used with and without parentheses.
            namespace: Tells functions of the same name apart, or says that they are the same.
            deps: Tags that every result depends on, or a callable that is given the call's arguments
                (those that it names) and returns the tags.
            ttl: How long until a result expires (see `configure`'s `read_extend_ttl`), or a function of the
                result that returns it: `None` for the default, 0 for a result that is not stored.
            key: A function that is given the call's arguments (those that it names) and returns what
                identifies the call, instead of all its arguments.
            ignore: Parameters that take no part in the key.
            typed: Whether equal arguments of different types (`1`, `1.0`, `True`) are different calls.
            version: Part of the key: raise it when the meaning of the results changes.
            cache_if: A function of the result; a result for which it answers falsely is not stored.
            jitter: By which share of itself `ttl` may be shortened, by chance: what was stored together
                then does not expire together.
            early_refresh: Begin to compute a value in the background before it expires, with a probability
                that grows towards the end and with the time that the computation takes: XFetch of Vattani,
                Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention" (2015). This
                is its beta; 1.0 is the usual one. Reads do not extend the `ttl` then.
            stale_while_revalidate: How long after its expiry a value is still served, while it is computed
                anew in the background. Reads do not extend the `ttl` then.
            stale_if_error: How long after its expiry a value is served instead of the exception that its
                computation raised; `"expired"` for any time. A pair `(duration, "any")`, or `"any"`, means
                invalidated values, too.
            timeout: After this time an expired value is served, while the computation goes on in the
                background. It may be as old as `stale_if_error` and `stale_while_revalidate` allow, without
                them one hour.
            copy: `"auto"` copies builtin containers for each caller, `"share"` gives everyone the same
                object, `"deep"` gives everyone a deep copy.
            on_unserializable: What to do with a result that cannot be stored: `"raise"`, or `"return"` it
                to its caller without storing it.
            cluster_lock: Whether only one of the processes that share a folder, or a server, computes a key
                at a time; the others wait for what it stores, `flight_timeout` at most. In memory it means
                nothing.

        Returns:
            The cached function: called like the original, with `invalidate`, `refresh`, `bypass`, `key`,
            `stats` and `tag`.

        Raises:
            TypeError: This kind of callable cannot be cached.
            InvalidTag: A tag of `deps` is not valid.
            ConfigError: Another argument makes no sense.
        """
        options = {name: value for name, value in locals().items() if name not in {"self", "func"}}
        if func is None:
            return functools.partial(self.cacheable, **options)
        return decorate(self._native, func, options)

    def invalidate(self, *tags: str, wait: bool = False) -> int:
        """Make everything that depends on a tag, or on anything below it, stale. O(depth of the tag).

        When it returns, no read that begins serves a value that was computed, or began to be computed,
        before. `"a:b:*"` is another way to write `"a:b"`.

        If it cannot reach the server that says so to others, it holds in this process all the same, is sent
        as soon as the server is back, and an `InvalidationQueued` is warned of: until then other processes
        may serve what they hold, and the position that is returned says nothing of this invalidation.

        Args:
            *tags: What has changed.
            wait: Raise instead of warning. The invalidation holds in this process, and is sent, all the same.

        Returns:
            The position of the invalidation in the order of all invalidations; 0 inside of an
            `invalidation_batch()`, which will invalidate the tags when it ends.

        Raises:
            InvalidTag: A tag is not valid; then nothing is invalidated.
            StorageError: With `wait`: the server was not reached. `BusError` for one that is `bus_url` only.
        """
        try:
            return self._native.invalidate(*tags)
        except Unsent as unsent:
            return unsent.settle(wait=wait, stacklevel=2)

    async def invalidate_async(self, *tags: str, wait: bool = False) -> int:
        """Do what `invalidate` does."""
        try:
            if self._native.is_far():
                return await in_thread(self._native.invalidate, *tags)
            return self._native.invalidate(*tags)
        except Unsent as unsent:
            return unsent.settle(wait=wait, stacklevel=2)

    def changing(self, *tags: str, timeout: Duration = 30, wait: bool = False) -> Changing:
        """Make a block around a change, for `with` or `async with`, that an invalidation always follows.

        Until the block ends nothing that depends on a tag, or on anything below it, is served or stored;
        computations go on uncached. Its end, with or without an exception, invalidates the tags; then
        `position` says where. A block that takes longer than `timeout` counts as ended meanwhile.

        Args:
            *tags: What changes.
            timeout: Seconds, or a `timedelta`, after which the change counts as made.
            wait: What the end of the block does if the server cannot be reached; see `invalidate`.

        Returns:
            The block, to be used once.

        Raises:
            InvalidTag: A tag is not valid; raised before the block runs.
            ConfigError: `timeout` makes no sense.
        """
        return Changing(self._native, tags, timeout, wait=wait)

    def invalidation_batch(self, *, wait: bool = False) -> InvalidationBatch:
        """Make a block, for `with` or `async with`, whose invalidations of this cache are made as one.

        `invalidate` then returns 0. At the end of the block its tags are invalidated together, without
        those that lie below another; then `position` says where. If the block raises, they are forgotten.
        A batch inside another one leaves its tags to that one. Tasks that were started in the block and
        outlive it invalidate at once.

        Args:
            wait: What the end of the block does if the server cannot be reached; see `invalidate`.

        Returns:
            The block, to be used once.
        """
        return InvalidationBatch(self._native, wait=wait)

    def invalidates(self, *tags: str | TagsOfCall, timeout: Duration | None = None) -> Invalidates:
        """Decorate a function that changes data: after it has returned, tags are invalidated.

        An exception invalidates nothing, unless there is a `timeout`.

        Args:
            *tags: Tags; templates as `"product:{pid}"` or `"customer:{order.customer_id}"`, which are filled
                in with the arguments of the call; and callables that are given the arguments, or the
                `result`, that they name, and return tags.
            timeout: Run the function inside `changing(..., timeout=timeout)`, which invalidates however the
                function ends, and covers a crash. Tags made from the result are invalidated afterwards.

        Returns:
            The decorator. What it decorates keeps its signature.

        Raises:
            TypeError: A name is not a parameter of the function, or this kind of callable changes nothing.
            InvalidTag: A tag is not valid. Tags that do not need the result are checked before the function
                runs; so is that no value fills more than its place in a template.
        """
        return invalidates(self, tags, timeout)

    def on_invalidate(self, callback: Callable[[list[str], int], object]) -> _native.Subscription:
        """Call `callback(tags, position)` after each invalidation made here, in the thread that made it.

        With a server, those of coroutines are made in other threads than their event loop's. `clear` counts
        as `["*"]`. An exception of the callback goes to `sys.unraisablehook`. A callback is not told of
        what it invalidates itself.

        Returns:
            The subscription: `cancel()` ends it, and so does the end of a `with` block. `reset` ends those of
            the default cache.
        """
        if inspect.iscoroutinefunction(callback):
            msg = (
                f"on_invalidate() needs a plain function, not {callback!r}: it is called, not awaited; "
                "from it, reach an event loop with loop.call_soon_threadsafe"
            )
            raise TypeError(msg)
        return self._native.listen(callback)

    def affected(self, tag: str) -> int:
        """Return how many entries that are fresh now `invalidate(tag)` would make stale. O(all entries).

        Raises:
            InvalidTag: The tag is not valid.
        """
        return self._native.affected(tag)

    def consistent_after(self, position: int) -> ConsistentAfter:
        """Make a block, for `with` or `async with`, whose reads of this cache know of an invalidation.

        A cache that does not know of the position yet serves nothing in the block: functions are computed.

        Args:
            position: What `invalidate` returned, here or elsewhere.

        Returns:
            The block, to be used once.

        Raises:
            TypeError: The position is no `int`.
            ConfigError: It is negative or too large.
        """
        return ConsistentAfter(self._native, position)

    def get(self, key: str, default: Any = None, consistent_after: int | None = None) -> Any:
        """Return the fresh value under `key`, or `default` if there is none.

        With `consistent_after` also if the cache does not know of the invalidation at that position yet.
        """
        if consistent_after is not None and not self._native.has_reached(check_position(consistent_after)):
            return default
        return self._native.get(key, default)

    async def get_async(self, key: str, default: Any = None, consistent_after: int | None = None) -> Any:
        """Do what `get` does."""
        demanded = None if consistent_after is None else check_position(consistent_after)
        await arrived(fetch := self._native.ask([key], demanded is not None))
        if demanded is not None and not self._native.has_reached(demanded, fetch):
            return default
        return self._native.get(key, default, fetch)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those of `keys` that are fresh."""
        checked = _bulk.checked_keys(keys)
        if (fetch := self._native.ask(checked)) is not None:
            fetch.wait()
        return _bulk.get_many(self._native, checked, fetch)

    async def get_many_async(self, keys: Iterable[str]) -> dict[str, Any]:
        """Do what `get_many` does."""
        checked = _bulk.checked_keys(keys)
        await arrived(fetch := self._native.ask(checked))
        return _bulk.get_many(self._native, checked, fetch)

    def set(self, key: str, value: Any, deps: Iterable[str] = (), ttl: Duration | None = None) -> None:
        """Store a value under `key`.

        Args:
            key: The key, any text.
            value: The value; builtin containers are copied.
            deps: The tags that the value depends on.
            ttl: How long until it expires, as for `cacheable`; `default_ttl` otherwise.

        Raises:
            InvalidTag: A tag is not valid; then nothing is stored.
            ConfigError: `ttl` makes no sense.
        """
        self._native.set(key, value, deps, None if ttl is None else milliseconds("ttl", ttl))

    async def set_async(
        self, key: str, value: Any, deps: Iterable[str] = (), ttl: Duration | None = None
    ) -> None:
        """Do what `set` does."""
        await self._done(self.set, key, value, deps, ttl)

    def set_many(
        self, mapping: Mapping[str, Any], deps: Iterable[str] = (), ttl: Duration | None = None
    ) -> None:
        """Store the values of `mapping` under its keys, all with the same `deps` and `ttl`; see `set`."""
        _bulk.set_many(self._native, mapping, deps, None if ttl is None else milliseconds("ttl", ttl))

    async def set_many_async(
        self, mapping: Mapping[str, Any], deps: Iterable[str] = (), ttl: Duration | None = None
    ) -> None:
        """Do what `set_many` does."""
        await self._done(self.set_many, mapping, deps, ttl)

    def delete(self, key: str) -> bool:
        """Remove the entry under `key`; a computation of it that is running now is not stored.

        For the entry of a call there is `f.invalidate(...)`; to say what has changed, `invalidate`.

        Returns:
            Whether a fresh entry was there.
        """
        return self._native.delete(key)

    async def delete_async(self, key: str) -> bool:
        """Do what `delete` does."""
        return await self._done(self.delete, key)

    def clear(self, *, wait: bool = False) -> None:
        """Make every entry stale and free its memory. Positions keep rising.

        Args:
            wait: What to do if the server cannot be reached; see `invalidate`.
        """
        try:
            self._native.clear()
        except Unsent as unsent:
            unsent.settle(wait=wait, stacklevel=2)

    async def clear_async(self, *, wait: bool = False) -> None:
        """Do what `clear` does."""
        try:
            await self._done(self._native.clear)
        except Unsent as unsent:
            unsent.settle(wait=wait, stacklevel=2)

    async def _done(self, operation: Callable[..., _T], *args: Any) -> _T:
        """Do what may have to wait for a server without blocking the event loop."""
        return await in_thread(operation, *args) if self._native.is_far() else operation(*args)

    def prune(self, max_age_secs: float = 3600) -> int:
        """Forget tags that nothing needs and that were not invalidated for `max_age_secs`.

        Entries are never affected, and no stale entry comes back. The cache also does this by itself.

        Returns:
            How many tags were forgotten.
        """
        return self._native.prune(milliseconds("max_age_secs", max_age_secs, allow_zero=True))

    def get_tag_version(self, tag: str) -> int:
        """Return the position of the latest invalidation that covers `tag`, 0 if there was none.

        After pruning it may be higher for a tag that nothing depends on; it never falls.
        """
        return self._native.get_tag_version(tag)

    def stats(self) -> dict[str, int]:
        """Return the counters and sizes of the cache."""
        return _native.stats(self._native)

    def explain(self, key_or_function: Any, /, *args: Any, **kwargs: Any) -> Explanation:
        """Explain an entry: `explain("key")`, or `explain(f, 1, x=2)` for the call `f(1, x=2)`.

        It counts neither as a hit nor as a use, and computes nothing.
        """
        return explain(self._native, key_or_function, args, kwargs)

    def close(self) -> None:
        """Free everything in the cache. Functions that use it raise `CacheError` from then on."""
        telemetry, self._telemetry = self._telemetry, None
        # First: it reads what there is for the last time.
        release(telemetry)
        self._native.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def add_deps(deps: Iterable[str]) -> None:
    """Add tags to what the running cached function depends on; outside of one it does nothing.

    It may be called at any time while the function runs: an invalidation that came before the call but
    after the function had started is not missed.

    Raises:
        InvalidTag: A tag is not valid.
    """
    _native.add_deps(deps)


#: The cache of the module functions.
DEFAULT = Cache._default()  # noqa: SLF001 - our own

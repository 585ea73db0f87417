"""`Cache`: everything a cache can do. The module functions are the methods of one, the default cache.

The memory storage never blocks, so the async forms do their work at once; they exist so that programs need
not change when the storage does.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar, overload

from zoocache import _native
from zoocache._decorate import decorate
from zoocache._explain import Explanation, explain
from zoocache._settings import DEFAULTS, check
from zoocache._time import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from zoocache._methods import CachedClassMethod
    from zoocache._options import CacheableOptions, Duration, StaleIfError
    from zoocache._settings import CacheSettings

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

    __slots__ = ("__weakref__", "_native")

    def __init__(self, **settings: Unpack[CacheSettings]) -> None:
        for name in settings:
            if name not in DEFAULTS:
                msg = f"Cache() has no setting {name!r}; it has those of configure(): {', '.join(DEFAULTS)}"
                raise TypeError(msg)
        given = {name: value for name, value in settings.items() if value != DEFAULTS[name]}
        self._native = _native.NativeCache(check(given))

    @classmethod
    def _default(cls) -> Cache:
        """Make the default cache, which `configure` configures."""
        default = cls.__new__(cls)
        default._native = _native.NativeCache()  # noqa: SLF001 - our own
        return default

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

    def invalidate(self, *tags: str) -> int:
        """Make everything that depends on a tag, or on anything below it, stale. O(depth of the tag).

        When it returns, no read that begins serves a value that was computed, or began to be computed,
        before. `"a:b:*"` is another way to write `"a:b"`.

        Returns:
            The position of the invalidation in the order of all invalidations.

        Raises:
            InvalidTag: A tag is not valid; then nothing is invalidated.
        """
        return self._native.invalidate(*tags)

    async def invalidate_async(self, *tags: str) -> int:
        """Do what `invalidate` does."""
        return self.invalidate(*tags)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the fresh value under `key`, or `default` if there is none."""
        return self._native.get(key, default)

    async def get_async(self, key: str, default: Any = None) -> Any:
        """Do what `get` does."""
        return self.get(key, default)

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
        self.set(key, value, deps, ttl)

    def clear(self) -> None:
        """Make every entry stale and free its memory. Positions keep rising."""
        self._native.clear()

    async def clear_async(self) -> None:
        """Do what `clear` does."""
        self.clear()

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

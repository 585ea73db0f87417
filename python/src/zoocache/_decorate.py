"""`cacheable`: everything that can be found out about a function before it is called."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar, overload

from zoocache import _context, _native
from zoocache._errors import ConfigError, InvalidTag
from zoocache._identity import function_tag, identify
from zoocache._time import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

_NAMED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)
_POSITIONAL = _NAMED[:2]
#: Native code reads it at the first miss. It is loaded here, since a child forked while another thread loads
#: a module could never load it.
_CURRENT = _context.CURRENT

_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Options:
    """What native code reads; see `native/function.rs`."""

    identity: str
    qualname: str
    parameters: tuple[inspect.Parameter, ...]
    ignore: list[str]
    tag: str
    static_deps: list[str]
    deps: Callable[..., Iterable[str]] | None
    deps_parameters: list[str] | None
    ttl_ms: int | None
    copy: str
    is_async: bool


class _Decorator(Protocol):
    """`cacheable` with its options given."""

    @overload
    def __call__(self, func: classmethod[_T, _P, _R_co], /) -> classmethod[_T, _P, _R_co]: ...
    @overload
    def __call__(self, func: staticmethod[_P, _R_co], /) -> staticmethod[_P, _R_co]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, func: Callable[_P, _R_co], /) -> _native.CachedFunction[_P, _R_co]: ...


@overload
def cacheable(
    func: None = None,
    *,
    namespace: str | None = None,
    deps: Iterable[str] | Callable[..., Iterable[str]] | None = None,
    ttl: float | timedelta | None = None,
    copy: Literal["auto", "share", "deep"] = "auto",
    ignore: Iterable[str] = (),
) -> _Decorator: ...
@overload
def cacheable(
    func: classmethod[_T, _P, _R_co],
    *,
    namespace: str | None = None,
    deps: Iterable[str] | Callable[..., Iterable[str]] | None = None,
    ttl: float | timedelta | None = None,
    copy: Literal["auto", "share", "deep"] = "auto",
    ignore: Iterable[str] = (),
) -> classmethod[_T, _P, _R_co]: ...
@overload
def cacheable(  # type: ignore[overload-overlap]
    func: staticmethod[_P, _R_co],
    *,
    namespace: str | None = None,
    deps: Iterable[str] | Callable[..., Iterable[str]] | None = None,
    ttl: float | timedelta | None = None,
    copy: Literal["auto", "share", "deep"] = "auto",
    ignore: Iterable[str] = (),
) -> staticmethod[_P, _R_co]: ...
@overload
def cacheable(
    func: Callable[_P, _R_co],
    *,
    namespace: str | None = None,
    deps: Iterable[str] | Callable[..., Iterable[str]] | None = None,
    ttl: float | timedelta | None = None,
    copy: Literal["auto", "share", "deep"] = "auto",
    ignore: Iterable[str] = (),
) -> _native.CachedFunction[_P, _R_co]: ...
def cacheable(
    func: Any = None,
    *,
    namespace: str | None = None,
    deps: Iterable[str] | Callable[..., Iterable[str]] | None = None,
    ttl: float | timedelta | None = None,
    copy: Literal["auto", "share", "deep"] = "auto",
    ignore: Iterable[str] = (),
) -> Any:
    """Cache the results of a function, sync or async.

    Args:
        func: The function; the decorator can be used with and without parentheses.
        namespace: Tells functions of the same name apart, or says that they are the same.
        deps: Tags that every result depends on, or a callable that is given the call's arguments (those
            that it names) and returns the tags.
        ttl: Seconds until a result expires (see `configure`'s `read_extend_ttl`), or a `timedelta`.
        copy: `"auto"` copies builtin containers for each caller, `"share"` gives everyone the same
            object, `"deep"` gives everyone a deep copy.
        ignore: Parameters that take no part in the key.

    Returns:
        The cached function: called like the original, with `invalidate`, `refresh`, `bypass`, `key`,
        `stats` and `tag`.

    Raises:
        TypeError: This kind of callable cannot be cached.
        InvalidTag: A tag of `deps` is not valid.
        ConfigError: Another argument makes no sense.
    """
    if func is None:
        return functools.partial(cacheable, namespace=namespace, deps=deps, ttl=ttl, copy=copy, ignore=ignore)
    if isinstance(func, (classmethod, staticmethod)):
        cached = cacheable(func.__func__, namespace=namespace, deps=deps, ttl=ttl, copy=copy, ignore=ignore)
        return type(func)(cached)
    _refuse(func)
    return _cached(func, namespace, deps, ttl, copy, ignore)


def _refuse(func: Any) -> None:
    if isinstance(func, property):
        msg = "a property cannot be cached; put cacheable below it: @property above @cacheable"
        raise TypeError(msg)
    if not callable(func):
        msg = f"cacheable needs a function, not {type(func).__name__}; its options are keyword arguments"
        raise TypeError(msg)
    if inspect.isclass(func):
        msg = f"the class {func.__qualname__} cannot be cached; cache a function that makes its objects"
        raise TypeError(msg)
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        msg = (
            f"{func.__qualname__}() is a generator: its values are gone once they were read, so there is "
            "nothing to cache; return a list"
        )
        raise TypeError(msg)
    if isinstance(func, _native.CachedFunction):
        msg = f"{func!r} is cached already"
        raise TypeError(msg)


def _cached(func: Any, namespace: Any, deps: Any, ttl: Any, copy: str, ignore: Any) -> Any:
    if namespace is not None and not isinstance(namespace, str):
        msg = f"namespace must be a str, not {type(namespace).__name__}: {namespace!r}"
        raise ConfigError(msg)
    if namespace is not None and not _is_text(namespace):
        msg = f"namespace must not hold lone surrogates: {namespace!r}"
        raise ConfigError(msg)
    if copy == "deep":
        # Native code needs it at the first result; loaded here for the reason given at `_CURRENT`.
        import zoocache._registry  # noqa: F401, PLC0415
    parameters = _parameters(func)
    ignored = _ignored(func, ignore, parameters)
    static_deps = [] if deps is None or callable(deps) else _static(deps)
    computed_deps = deps if callable(deps) else None
    adapted_deps, wanted = (
        (None, None) if computed_deps is None else _adapted(computed_deps, func, parameters)
    )
    ttl_ms = None if ttl is None else milliseconds("ttl", ttl)
    is_async = _is_async(func)
    identity = identify(
        func, namespace, (computed_deps, tuple(static_deps), ttl_ms, copy, tuple(ignored), is_async)
    )
    options = _Options(
        identity=identity,
        qualname=getattr(func, "__qualname__", identity),
        parameters=parameters,
        ignore=ignored,
        tag=function_tag(identity),
        static_deps=static_deps,
        deps=adapted_deps,
        deps_parameters=wanted,
        ttl_ms=ttl_ms,
        copy=copy,
        is_async=is_async,
    )
    cached = _native.cached_function(func, options)
    _look_like(cached, func, is_async=is_async)
    return cached


def _parameters(func: Any) -> tuple[inspect.Parameter, ...]:
    try:
        return tuple(inspect.signature(func).parameters.values())
    except ValueError as error:
        msg = f"{func!r} does not tell its parameters; wrap it in a function that names them"
        raise TypeError(msg) from error


def _static(deps: Any) -> list[str]:
    if isinstance(deps, str):
        msg = f"deps must be an iterable of tags, not the single string {deps!r}; write deps=[{deps!r}]"
        raise TypeError(msg)
    tags = list(deps)
    for tag in tags:
        if not isinstance(tag, str):
            msg = f"a tag must be a str, not {type(tag).__name__}: {tag!r}"
            raise TypeError(msg)
        if not _is_text(tag):
            msg = f"Invalid character in tag {tag!r}: lone surrogate"
            raise InvalidTag(msg)
    return tags


def _is_text(text: str) -> bool:
    """Whether there are no lone surrogates in it."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _ignored(func: Any, ignore: Any, parameters: tuple[inspect.Parameter, ...]) -> list[str]:
    if isinstance(ignore, str):
        msg = f"ignore must be an iterable of parameter names; write ignore=({ignore!r},)"
        raise TypeError(msg)
    ignored = list(ignore)
    names = [parameter.name for parameter in parameters if parameter.kind in _NAMED]
    for name in ignored:
        if name not in names:
            msg = f"ignore names {name!r}, but {func!r} has no such parameter; it has {names}"
            raise ConfigError(msg)
    return ignored


def _adapted(
    deps: Callable[..., Iterable[str]], func: Any, parameters: tuple[inspect.Parameter, ...]
) -> tuple[Callable[..., Iterable[str]], list[str] | None]:
    """Make `deps` callable by keywords, and list the parameters that it wants; `None` for all of them.

    Native code calls it with the bound arguments, `*args` as a tuple under its own name.
    """
    try:
        own = tuple(inspect.signature(deps).parameters.values())
    except ValueError:  # a builtin function that does not tell: by position then
        own = (inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),)
    kinds = {parameter.kind for parameter in own}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY}:
        return _by_position(deps, own, func, parameters), None
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return deps, None
    names = [parameter.name for parameter in parameters]
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    wanted = []
    for parameter in own:
        if parameter.name in names or takes_any:
            wanted.append(parameter.name)
        elif parameter.default is inspect.Parameter.empty:
            raise _unknown_parameter(parameter.name, func, names)
    return deps, wanted


def _by_position(
    deps: Callable[..., Iterable[str]],
    own: tuple[inspect.Parameter, ...],
    func: Any,
    parameters: tuple[inspect.Parameter, ...],
) -> Callable[..., Iterable[str]]:
    """Pass positional arguments by position to a `deps` that takes them so, and the others by name."""
    ordered = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
    rest = [p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL]
    takes_all = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in own)
    positional = [parameter for parameter in own if parameter.kind in _POSITIONAL]
    if not takes_all:
        positional = [p for p in positional if p.kind is inspect.Parameter.POSITIONAL_ONLY]
        ordered = ordered[: len(positional)]
    for parameter in positional[len(ordered) :]:
        if parameter.default is inspect.Parameter.empty and not rest:
            names = [parameter.name for parameter in parameters]
            raise _unknown_parameter(parameter.name, func, names)
    by_name = {p.name for p in own if p.kind in _NAMED and p not in positional}
    takes_keywords = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in own)

    def call(**bound: Any) -> Iterable[str]:
        args = [bound.pop(name) for name in ordered]
        for name in rest:
            args += bound.pop(name) if takes_all else ()
        kwargs = bound if takes_keywords else {name: bound[name] for name in by_name if name in bound}
        return deps(*args, **kwargs)

    return call


def _unknown_parameter(name: str, func: Any, names: list[str]) -> TypeError:
    return TypeError(f"deps wants {name!r}, but {func!r} has no such parameter; it has {names}")


def _is_async(func: Any) -> bool:
    # An object whose class defines `async def __call__` is an async function, too.
    call = getattr(type(func), "__call__", None)  # noqa: B004 - not asked whether, but what it is
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(call)


def _look_like(cached: Any, func: Any, *, is_async: bool) -> None:
    """Give the cached function what introspection looks for in a function."""
    # As `functools.update_wrapper` does, but for `__wrapped__`, which native code answers.
    vars(cached).update(getattr(func, "__dict__", {}))
    introspected = ("__code__", "__defaults__", "__kwdefaults__", "__annotations__")
    for name in (*functools.WRAPPER_ASSIGNMENTS, *introspected):
        if hasattr(func, name):
            setattr(cached, name, getattr(func, name))
    if is_async and hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction(cached)

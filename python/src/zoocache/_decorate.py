"""`Cache.cacheable`: everything that can be found out about a function before it is called."""

from __future__ import annotations

import functools
import importlib
import inspect
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoocache import _native
from zoocache._errors import ConfigError, InvalidTag
from zoocache._identity import identify
from zoocache._iterable import iterable
from zoocache._methods import CachedClassMethod
from zoocache._options import Keeping, Tolerant, early_refresh, keeping, plain_function, tolerant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_NAMED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)
_POSITIONAL = _NAMED[:2]
_LONGEST_VERSION = 100


@dataclass(frozen=True)
class _Options:
    """What native code reads; see `native/function.rs`."""

    cache: _native.NativeCache
    identity: str
    shared_identity: str | None
    qualname: str
    #: What telemetry calls the function: without its namespace, which may hold anything.
    label: str
    parameters: tuple[inspect.Parameter, ...]
    ignore: list[str]
    tag: str
    static_deps: list[str]
    deps: Callable[..., Iterable[str]] | None
    deps_parameters: list[str] | None
    key: Callable[..., Any] | None
    key_parameters: list[str] | None
    keeping: Keeping
    tolerant: Tolerant | None
    early_refresh: float | None
    is_async: bool
    typed: bool
    cluster_lock: bool


def decorate(cache: _native.NativeCache, func: Any, options: dict[str, Any]) -> Any:
    """Make the cached function of `func`; see `Cache.cacheable` for the options."""
    if isinstance(func, (classmethod, staticmethod)):
        cached = decorate(cache, func.__func__, options)
        return CachedClassMethod(cached) if type(func) is classmethod else type(func)(cached)
    _refuse(func)
    return _cached(cache, func, options)


def _refuse(func: Any) -> None:
    if isinstance(func, property):
        msg = "a property cannot be cached; put cacheable below it: @property above @cacheable"
        raise TypeError(msg)
    if isinstance(func, functools.cached_property):
        msg = (
            "a cached_property keeps its value in the object, where no invalidation reaches it; "
            "put @property above @cacheable instead"
        )
        raise TypeError(msg)
    if not callable(func):
        msg = f"cacheable needs a function, not {type(func).__name__}; its options are keyword arguments"
        raise TypeError(msg)
    if inspect.isclass(func):
        msg = f"the class {func.__qualname__} cannot be cached; cache a function that makes its objects"
        raise TypeError(msg)
    if _is_any(func, inspect.isgeneratorfunction) or _is_any(func, inspect.isasyncgenfunction):
        name = getattr(func, "__qualname__", repr(func))
        msg = (
            f"{name}() is a generator: its values are gone once they were read, so "
            "there is nothing to cache; return a list"
        )
        raise TypeError(msg)
    if isinstance(func, (_native.CachedFunction, _native.CachedMethod)):
        msg = f"{func!r} is cached already"
        raise TypeError(msg)


def _cached(cache: _native.NativeCache, func: Any, given: dict[str, Any]) -> Any:
    namespace = given["namespace"]
    _check(namespace, given["version"], typed=given["typed"], cluster_lock=given["cluster_lock"])
    parameters = _parameters(func)
    ignored = _ignored(func, given["ignore"], parameters)
    deps, key = given["deps"], given["key"]
    static_deps = [] if deps is None or callable(deps) else _static(deps)
    adapted_deps, deps_parameters = _adapted("deps", deps if callable(deps) else None, func, parameters)
    adapted_key, key_parameters = _adapted("key", _key(key, ignored), func, parameters)
    stale = tolerant(given["stale_while_revalidate"], given["stale_if_error"], given["timeout"])
    kept = keeping(given, stale)
    is_async = _is_any(func, inspect.iscoroutinefunction)
    beta = early_refresh(given["early_refresh"])
    needed = {"_async": is_async, "_background": stale or beta, "_registry": kept.copy == "deep"}
    for name in (name for name, is_needed in needed.items() if is_needed):
        # Now, not at the first call: that may be in a process forked while another thread imports it.
        importlib.import_module(f"zoocache.{name}")
    apart = {"namespace", "deps", "ignore", "version", "cluster_lock"}
    same = [value for name, value in given.items() if name not in apart]
    shown = (deps if callable(deps) else tuple(static_deps), tuple(ignored), is_async, *same)
    identity = identify(func, namespace, shown, given["version"])
    options = _Options(
        cache=cache,
        identity=identity.name,
        shared_identity=identity.shared,
        qualname=getattr(func, "__qualname__", identity.name),
        label=_label(func),
        parameters=parameters,
        ignore=ignored,
        tag=identity.tag(),
        static_deps=static_deps,
        deps=adapted_deps,
        deps_parameters=deps_parameters,
        key=adapted_key,
        key_parameters=key_parameters,
        keeping=kept,
        tolerant=stale,
        early_refresh=beta,
        is_async=is_async,
        typed=given["typed"],
        cluster_lock=given["cluster_lock"],
    )
    cached = _native.cached_function(func, options)
    _look_like(cached, func, is_async=is_async)
    return cached


def _label(func: Any) -> str:
    qualname = getattr(func, "__qualname__", None) or type(func).__qualname__
    return f"{getattr(func, '__module__', None) or '?'}.{qualname}"


def _check(namespace: Any, version: Any, **switches: Any) -> None:
    """Refuse options that make no sense."""
    if namespace is not None and not isinstance(namespace, str):
        msg = f"namespace must be a str, not {type(namespace).__name__}: {namespace!r}"
        raise ConfigError(msg)
    if namespace is not None and not _is_text(namespace):
        msg = f"namespace must not hold lone surrogates: {namespace!r}"
        raise ConfigError(msg)
    for name, value in switches.items():
        if not isinstance(value, bool):
            msg = f"{name} must be a bool, not {type(value).__name__}: {value!r}"
            raise ConfigError(msg)
    if isinstance(version, bool) or not isinstance(version, (int, str)):
        msg = f"version must be an int or a str, not {type(version).__name__}: {version!r}"
        raise ConfigError(msg)
    if isinstance(version, str) and not (1 <= len(version) <= _LONGEST_VERSION and _is_text(version)):
        msg = f"version must be a text of 1 to {_LONGEST_VERSION} characters, not {version!r}"
        raise ConfigError(msg)
    if isinstance(version, int) and not 0 <= version < 2**63:
        msg = f"version must be at least 0 and below 2**63, not {version!r}"
        raise ConfigError(msg)


def _key(key: Any, ignored: list[str]) -> Any:
    if key is None:
        return None
    plain_function("key", key, "arguments")
    if ignored:
        msg = f"ignore={ignored!r} has no meaning with a key of one's own; leave one of them out"
        raise ConfigError(msg)
    return key


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
    tags = list(iterable(deps, "deps must be an iterable of tags, or a function that returns one"))
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
    ignored = list(iterable(ignore, "ignore must be an iterable of parameter names"))
    names = [parameter.name for parameter in parameters if parameter.kind in _NAMED]
    for name in ignored:
        if name not in names:
            msg = f"ignore names {name!r}, but {func!r} has no such parameter; it has {names}"
            raise ConfigError(msg)
    return ignored


def _adapted(
    what: str, asked: Callable[..., Any] | None, func: Any, parameters: tuple[inspect.Parameter, ...]
) -> tuple[Callable[..., Any] | None, list[str] | None]:
    """Make `deps` or `key` callable by keywords, and list the parameters that it wants; `None` for all.

    Native code calls it with the bound arguments, `*args` as a tuple under its own name.
    """
    if asked is None:
        return None, None
    try:
        own = tuple(inspect.signature(asked).parameters.values())
    except ValueError:  # a builtin function that does not tell: by position then
        own = (inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),)
    kinds = {parameter.kind for parameter in own}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY}:
        return _by_position((what, asked), own, func, parameters), None
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return asked, None
    names = [parameter.name for parameter in parameters]
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    wanted = []
    for parameter in own:
        if parameter.name in names or takes_any:
            wanted.append(parameter.name)
        elif parameter.default is inspect.Parameter.empty:
            raise _unknown_parameter(what, parameter.name, func, names)
    return asked, wanted


def _by_position(
    named: tuple[str, Callable[..., Any]],
    own: tuple[inspect.Parameter, ...],
    func: Any,
    parameters: tuple[inspect.Parameter, ...],
) -> Callable[..., Any]:
    """Pass positional arguments by position to a function that takes them so, and the others by name."""
    what, asked = named
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
            raise _unknown_parameter(what, parameter.name, func, names)
    by_name = {p.name for p in own if p.kind in _NAMED and p not in positional}
    takes_keywords = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in own)

    def call(**bound: Any) -> Any:
        args = [bound.pop(name) for name in ordered]
        for name in rest:
            args += bound.pop(name) if takes_all else ()
        kwargs = bound if takes_keywords else {name: bound[name] for name in by_name if name in bound}
        return asked(*args, **kwargs)

    return call


def _unknown_parameter(what: str, name: str, func: Any, names: list[str]) -> TypeError:
    return TypeError(f"{what} wants {name!r}, but {func!r} has no such parameter; it has {names}")


def _is_any(func: Any, question: Callable[[Any], bool]) -> bool:
    """Whether `question` holds for the function that a call of `func` runs."""
    while isinstance(func, (functools.partial, types.MethodType, _native.CachedMethod)):
        func = func.func if isinstance(func, functools.partial) else func.__func__
    # An object runs what its class defines as `__call__`.
    return question(func) or question(getattr(type(func), "__call__", None))  # noqa: B004 - not asked whether


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

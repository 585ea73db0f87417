"""`invalidates`: decorates functions that change what tags stand for."""

from __future__ import annotations

import functools
import inspect
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from zoocache import _native
from zoocache._errors import ConfigError, InvalidTag
from zoocache._iterable import iterable
from zoocache._time import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from zoocache._cache import Cache
    from zoocache._changes import Changing
    from zoocache._options import Duration

_F = TypeVar("_F", bound="Callable[..., Any] | classmethod[Any, ..., Any] | staticmethod[..., Any]")
_FIELD = re.compile(r"[^\W\d]\w*(\.[^\W\d_]\w*)*")


class Invalidates(Protocol):
    """`invalidates` with its tags given: what it decorates keeps its type."""

    def __call__(self, func: _F, /) -> _F: ...


def invalidates(
    cache: Cache,
    tags: tuple[Any, ...],
    timeout: Duration | None,
) -> Invalidates:
    """Make the decorator; see `Cache.invalidates`."""
    if not tags:
        msg = "invalidates() needs at least one tag"
        raise TypeError(msg)
    for tag in tags:
        if not isinstance(tag, str) and not callable(tag):
            msg = f"a tag must be a str or a callable that returns tags, not {type(tag).__name__}: {tag!r}"
            raise TypeError(msg)
    if timeout is not None:
        milliseconds("timeout", timeout)

    def decorator(func: Any) -> Any:
        if isinstance(func, (classmethod, staticmethod)):
            return type(func)(decorator(func.__func__))
        _refuse(func)
        signature = _signature(func)
        sources = [_source(tag, func, signature) for tag in tags]
        early = [source for source in sources if not source.needs_result]
        late = [source for source in sources if source.needs_result]
        if timeout is not None and not early:
            msg = "timeout needs a tag that is known before the call; all of these tags need its result"
            raise ConfigError(msg)
        plan = _Plan(cache, signature, early, late, timeout)
        return _wrap_async(func, plan) if _is_async(func) else _wrap(func, plan)

    return decorator


def _signature(func: Any) -> inspect.Signature:
    try:
        return inspect.signature(func)
    except ValueError as error:
        msg = f"{func!r} does not tell its parameters; wrap it in a function that names them"
        raise TypeError(msg) from error


def _is_async(func: Any) -> bool:
    call = getattr(type(func), "__call__", None)  # noqa: B004 - not asked whether, but what it is
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(call)


def _refuse(func: Any) -> None:
    if not callable(func) or inspect.isclass(func):
        msg = f"invalidates() decorates functions, not {func!r}"
        raise TypeError(msg)
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        msg = (
            f"{func.__qualname__}() is a generator: it has changed nothing yet when it returns; call "
            "invalidate() in it, or decorate a function that runs it to its end"
        )
        raise TypeError(msg)
    if isinstance(func, _native.CachedFunction):
        msg = f"{func!r} is cached: most of its calls change nothing; decorate the function that changes data"
        raise TypeError(msg)


@dataclass(frozen=True)
class _Source:
    """Where tags come from, given the arguments (and the result) of a call."""

    tags: Callable[[dict[str, Any]], Iterable[str]]
    needs_result: bool


def _source(tag: str | Callable[..., Iterable[str]], func: Any, signature: inspect.Signature) -> _Source:
    if isinstance(tag, str):
        return _template(tag, func, signature)
    return _callable(tag, func, signature)


def _template(text: str, func: Any, signature: inspect.Signature) -> _Source:
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError as error:
        msg = f"the template {text!r} is not valid: {error}"
        raise InvalidTag(msg) from None
    for _, field, spec, conversion in pieces:
        if field is None:
            continue
        if spec or conversion or not _FIELD.fullmatch(field):
            msg = (
                f"the template {text!r} may hold names of parameters and their public attributes, as in "
                f"{{order.customer_id}}, and nothing else in braces; for the rest give a callable"
            )
            raise InvalidTag(msg)
        _require(field.partition(".")[0], f"the template {text!r}", func, signature)
    # With any value that a tag can hold in the places of the fields.
    example = ["".join(literal + ("" if field is None else "x") for literal, field, _, _ in pieces)]
    _native.check_tags(example)
    if all(field is None for _, field, _, _ in pieces):
        return _Source(lambda _: example, needs_result=False)
    return _Source(lambda bound: [_filled(text, pieces, bound)], needs_result=False)


def _filled(text: str, pieces: list[tuple[str, str | None, str | None, str | None]], bound: Any) -> str:
    tag = ""
    for literal, field, _, _ in pieces:
        tag += literal
        if field is None:
            continue
        name, *attributes = field.split(".")
        value = bound[name]
        for attribute in attributes:
            value = getattr(value, attribute)
        segment = format(value)
        if ":" in segment or segment == "*":
            msg = (
                f"{{{field}}} in the template {text!r} is {segment!r}: it would change which levels of tags "
                "are invalidated; if that is meant, build the tag with a callable"
            )
            raise InvalidTag(msg)
        tag += segment
    return tag


def _callable(tags: Callable[..., Iterable[str]], func: Any, signature: inspect.Signature) -> _Source:
    wanted: list[str] = []
    takes_all = False
    for parameter in _signature(tags).parameters.values():
        if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL}:
            msg = f"{tags!r} takes arguments by position; let it name the arguments that it needs"
            raise TypeError(msg)
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_all = True
        elif parameter.name in signature.parameters or parameter.name == "result":
            wanted.append(parameter.name)
        elif parameter.default is parameter.empty:
            _require(parameter.name, repr(tags), func, signature)
    needs_result = "result" in wanted and "result" not in signature.parameters

    def call(bound: dict[str, Any]) -> Iterable[str]:
        return tags(**(bound if takes_all else {name: bound[name] for name in wanted}))

    return _Source(call, needs_result)


def _require(name: str, who: str, func: Any, signature: inspect.Signature) -> None:
    if name not in signature.parameters:
        names = list(signature.parameters)
        msg = f"{who} names {name!r}, but {func!r} has no such parameter; it has {names}"
        if name == "result":
            msg += ". The result is given to callables: lambda result: [...]"
        raise TypeError(msg)


@dataclass(frozen=True)
class _Plan:
    """What to do before and after each call."""

    cache: Cache
    signature: inspect.Signature
    early: list[_Source]
    late: list[_Source]
    timeout: Duration | None

    def before(self, args: Any, kwargs: Any) -> tuple[dict[str, Any], list[str]]:
        """Return the arguments by name, and the tags that are known before the call, checked."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments, _tags_of(self.early, bound.arguments)

    def changing(self, tags: list[str]) -> Changing | None:
        """Return the block around the call, if there is to be one."""
        if self.timeout is None:
            return None
        if not tags:
            msg = "timeout needs a tag that is known before the call, and there was none; leave it out"
            raise ConfigError(msg)
        return self.cache.changing(*tags, timeout=self.timeout)

    def after(self, bound: dict[str, Any], tags: list[str], result: Any) -> None:
        """Invalidate after a call that returned `result`."""
        tags = list(tags)
        try:
            self._add_late(tags, bound, result)
        finally:
            # The change was made: what is known of it is told, whatever is wrong with the rest.
            if tags:
                self.cache.invalidate(*tags)

    async def after_async(self, bound: dict[str, Any], tags: list[str], result: Any) -> None:
        """Do what `after` does."""
        tags = list(tags)
        try:
            self._add_late(tags, bound, result)
        finally:
            if tags:
                await self.cache.invalidate_async(*tags)

    def _add_late(self, tags: list[str], bound: dict[str, Any], result: Any) -> None:
        if self.late:
            tags += _tags_of(self.late, {**bound, "result": result})


def _tags_of(sources: list[_Source], values: dict[str, Any]) -> list[str]:
    tags: list[str] = []
    for source in sources:
        found = source.tags(values)
        if isinstance(found, str):
            msg = f"a callable must return an iterable of tags, not the single string {found!r}: [{found!r}]"
            raise TypeError(msg)
        tags += iterable(found, "a callable must return an iterable of tags")
    _native.check_tags(tags)
    return tags


def _wrap(func: Any, plan: _Plan) -> Any:
    @functools.wraps(func)
    def changes(*args: Any, **kwargs: Any) -> Any:
        bound, tags = plan.before(args, kwargs)
        block = plan.changing(tags)
        if block is None:
            result = func(*args, **kwargs)
            plan.after(bound, tags, result)
        else:
            with block:
                result = func(*args, **kwargs)
            plan.after(bound, [], result)
        return result

    return changes


def _wrap_async(func: Any, plan: _Plan) -> Any:
    @functools.wraps(func)
    async def changes(*args: Any, **kwargs: Any) -> Any:
        bound, tags = plan.before(args, kwargs)
        block = plan.changing(tags)
        if block is None:
            result = await func(*args, **kwargs)
            await plan.after_async(bound, tags, result)
        else:
            async with block:
                result = await func(*args, **kwargs)
            await plan.after_async(bound, [], result)
        return result

    return changes

"""Many calls, or many keys, at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoocache._errors import ConfigError
from zoocache._iterable import iterable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zoocache import _native

#: One call: its positional and its keyword arguments.
Call = tuple[tuple[Any, ...], "dict[str, Any] | None"]
_ABSENT = object()


def many(
    function: _native.CachedFunction[..., Any],
    calls: Iterable[tuple[Any, ...] | Mapping[str, Any]],
    limit: int | None,
    bound: tuple[Any, ...] = (),
) -> Any:
    """Return the results of `calls` in their order; for async functions an awaitable of them.

    Args:
        function: The cached function.
        calls: A tuple of positional or a mapping of keyword arguments for each call.
        limit: The most computations of an async function that run at once.
        bound: Arguments before those of each call: the instance of a method.
    """
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        msg = f"limit must be an int of at least 1, or None for no limit, not {limit!r}"
        raise ConfigError(msg)
    calls = iterable(calls, "many() needs an iterable of calls, such as [(1,), (2,)]")
    checked = [_call(index, call, bound) for index, call in enumerate(calls)]
    if function._is_async:  # noqa: SLF001 - our own
        # asyncio takes its time to import, which is not for programs that never use it.
        from zoocache._bulk_async import many_async  # noqa: PLC0415

        return many_async(function, checked, limit)
    results, absent = near(function, checked)
    if absent and (fetch := asked(function, checked, absent)) is not None:
        fetch.wait()
        absent = fetched(function, checked, (results, absent), fetch)
    missing = together(function, checked, absent)
    for places in missing:
        args, kwargs = checked[places[0]]
        results[places[0]] = function(*args, **(kwargs or {}))
    return completed(function, checked, results, missing)


def _call(index: int, call: object, bound: tuple[Any, ...]) -> Call:
    if isinstance(call, tuple):
        return (*bound, *call), None
    if isinstance(call, Mapping):
        for name in call:
            if not isinstance(name, str):
                msg = f"many(): call {index} has a keyword that is no str: {name!r}"
                raise TypeError(msg)
        return bound, dict(call)
    msg = (
        f"many(): call {index} must be a tuple of positional arguments, or a dict of keyword arguments, not "
        f"{type(call).__name__}: {call!r}"
    )
    raise TypeError(msg)


def near(function: _native.CachedFunction[..., Any], calls: list[Call]) -> tuple[list[Any], list[int]]:
    """Return what is cached, as far as no server has to be asked, and the places in it that are missing."""
    hit = function._hit  # noqa: SLF001 - our own
    results = [hit(_ABSENT, args, kwargs) for args, kwargs in calls]
    return results, [place for place, result in enumerate(results) if result is _ABSENT]


def asked(
    function: _native.CachedFunction[..., Any], calls: list[Call], absent: list[int]
) -> _native.Fetch | None:
    """Ask the server, if there is one, for all that is missing, in one go."""
    if function._cache.is_bypassed():  # noqa: SLF001 - our own
        return None
    return function._fetch([calls[place] for place in absent])  # noqa: SLF001 - our own


def fetched(
    function: _native.CachedFunction[..., Any],
    calls: list[Call],
    found: tuple[list[Any], list[int]],
    fetch: _native.Fetch,
) -> list[int]:
    """Put what was fetched into the results; returns the places that are still missing."""
    results, absent = found
    for place in absent:
        results[place] = function._hit(_ABSENT, *calls[place], fetch)  # noqa: SLF001 - our own
    return [place for place in absent if results[place] is _ABSENT]


def together(
    function: _native.CachedFunction[..., Any], calls: list[Call], absent: list[int]
) -> list[list[int]]:
    """Return the places that are missing, those of equal calls together."""
    if function._cache.is_bypassed():  # noqa: SLF001 - our own
        return [[place] for place in absent]
    places: dict[str, list[int]] = {}
    for place in absent:
        args, kwargs = calls[place]
        places.setdefault(function.key(*args, **(kwargs or {})), []).append(place)
    return list(places.values())


def completed(
    function: _native.CachedFunction[..., Any],
    calls: list[Call],
    results: list[Any],
    missing: list[list[int]],
) -> list[Any]:
    """Put into `results` what was computed for the first of equal calls also for the others."""
    for first, *others in missing:
        for place in others:
            # Each caller gets its own copy, as ever; what was not stored is shared.
            copy = function._hit(_ABSENT, *calls[place])  # noqa: SLF001 - our own
            results[place] = results[first] if copy is _ABSENT else copy
    return results


def checked_keys(keys: Iterable[str]) -> list[str]:
    """Check what `get_many` is given."""
    if isinstance(keys, str):
        msg = f"get_many() needs an iterable of keys, not the single string {keys!r}; write [{keys!r}]"
        raise TypeError(msg)
    return list(iterable(keys, "get_many() needs an iterable of keys"))


def get_many(native: _native.NativeCache, keys: list[str], fetch: _native.Fetch | None) -> dict[str, Any]:
    """Return the fresh values under `keys`; `fetch` is what was asked for."""
    found = {key: native.get(key, _ABSENT, fetch) for key in keys}
    return {key: value for key, value in found.items() if value is not _ABSENT}


def set_many(native: _native.NativeCache, mapping: Any, deps: Iterable[str], ttl_ms: int | None) -> None:
    """Store the values of `mapping` under its keys."""
    if not isinstance(mapping, Mapping):
        msg = f"set_many() needs a mapping of keys to values, not {type(mapping).__name__}"
        raise TypeError(msg)
    for key in mapping:
        if not isinstance(key, str):
            msg = f"a key must be a str, not {type(key).__name__}: {key!r}"
            raise TypeError(msg)
    tags = deps if isinstance(deps, str) else list(iterable(deps, "deps must be an iterable of tags"))
    for key, value in mapping.items():
        native.set(key, value, tags, ttl_ms)

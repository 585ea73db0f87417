"""`CacheBackend`: Django's cache framework on zoocache."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from zoocache import SerializationError, add_deps
from zoocache.contrib.django import _settings
from zoocache.contrib.django._store import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from zoocache.contrib.django._settings import Place
    from zoocache.contrib.django._store import Make, Store

_logger = logging.getLogger("zoocache")
#: Whose objects nobody can change: they are stored as they are.
_IMMUTABLE = frozenset({type(None), bool, int, float, str})


class CacheBackend(BaseCache):
    """A backend of Django's cache framework, whose entries may have tags.

    CACHES = {
        "default": {
            "BACKEND": "zoocache.contrib.django.CacheBackend",
            "LOCATION": "lmdb:///var/cache/shop",
        }
    }

    All aliases of a process that have the same LOCATION and OPTIONS share their entries.

    Args:
        location: `"default"` for the application's default cache, which `zoocache.invalidate` reaches; empty
            or `memory://NAME` for memory of this process; `lmdb://PATH`; a server: `redis://`, `rediss://`,
            `unix://`, `redis+sentinel://`.
        params: TIMEOUT, KEY_PREFIX, VERSION, KEY_FUNCTION and OPTIONS. These are MAX_ENTRIES, CULL_FREQUENCY
            (accepted: one entry goes for each that comes), SERIALIZER (`"codec"`, `"pickle"`, a class), and
            the parameters of `zoocache.configure`.

    The first use raises `ImproperlyConfigured` if LOCATION or OPTIONS make no sense; `manage.py check` says
    so, too.
    """

    def __init__(self, location: object, params: dict[str, Any]) -> None:
        options = params.get("OPTIONS")
        super().__init__({**params, "OPTIONS": options if isinstance(options, dict) else {}})
        self._location, self._params = location, params

    @functools.cached_property
    def _place(self) -> Place:
        return _settings.read(self._location, self._params)

    @functools.cached_property
    def store(self) -> Store:
        """The entries. Opened here, since Django's own checks make an object of each cache."""
        return _settings.store(self._place)

    @property
    def zoocache(self) -> Any:
        """The `zoocache.Cache` of the entries, or the module `zoocache` if it is the default one."""
        return self.store.cache

    def entry_key(self, key: str, version: int | None = None) -> str:
        """Return the key by which `explain` of the `zoocache.Cache` knows an entry."""
        return self.store.name(self.make_and_validate_key(key, version=version))

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """Return the value, or `default` if there is none."""
        return self._value(self.store.get(self.make_and_validate_key(key, version=version)), default)

    async def aget(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """Do what `get` does."""
        return self._value(await self.store.aget(self.make_and_validate_key(key, version=version)), default)

    def has_key(self, key: str, version: int | None = None) -> bool:
        """Return whether there is a value."""
        return self.store.get(self.make_and_validate_key(key, version=version)) is not MISSING

    async def ahas_key(self, key: str, version: int | None = None) -> bool:
        """Do what `has_key` does."""
        return await self.store.aget(self.make_and_validate_key(key, version=version)) is not MISSING

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        """Return the values that are there; a server is asked once for all."""
        names = {self.make_and_validate_key(key, version=version): key for key in keys}
        return self._values(names, self.store.get_many(names))

    async def aget_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        """Do what `get_many` does."""
        names = {self.make_and_validate_key(key, version=version): key for key in keys}
        return self._values(names, await self.store.aget_many(names))

    def set(
        self,
        key: str,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        tags: str | Iterable[str] = (),
    ) -> None:
        """Store a value.

        It counts as computed now. If it was read earlier, an invalidation of its tags in between cannot be
        noticed; `get_or_set` with a callable has no such gap.

        Args:
            key: The key.
            value: The value.
            timeout: Seconds until it expires; `None` for never, 0 or less: nothing is kept.
            version: The version of the key.
            tags: What the value depends on; `invalidate` of one of them drops it.

        Raises:
            InvalidTag: A tag is not valid; then nothing is stored.
            SerializationError: The value cannot be stored.
        """
        made = self.make_and_validate_key(key, version=version)
        self.store.put({made: self._stored(value)}, self._seconds(timeout), _checked(tags))

    async def aset(self, key: str, value: Any, *args: Any, **kwargs: Any) -> None:
        """Do what `set` does."""
        await _in_thread(self.set, key, value, *args, **kwargs)

    def set_many(
        self,
        data: Mapping[str, Any],
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        tags: str | Iterable[str] = (),
    ) -> list[str]:
        """Store values, all with the same timeout and tags; see `set`. Returns an empty list."""
        items = {
            self.make_and_validate_key(key, version=version): self._stored(value)
            for key, value in data.items()
        }
        self.store.put(items, self._seconds(timeout), _checked(tags))
        return []

    async def aset_many(self, data: Mapping[str, Any], *args: Any, **kwargs: Any) -> list[str]:
        """Do what `set_many` does."""
        return await _in_thread(self.set_many, data, *args, **kwargs)

    def add(
        self,
        key: str,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        tags: str | Iterable[str] = (),
    ) -> bool:
        """Store a value if there is none; of several who try at once, in any process, one succeeds.

        Returns:
            Whether it was stored.
        """
        made = self.make_and_validate_key(key, version=version)
        return self.store.add(made, self._stored(value), self._seconds(timeout), _checked(tags))

    async def aadd(self, key: str, value: Any, *args: Any, **kwargs: Any) -> bool:
        """Do what `add` does."""
        return await _in_thread(self.add, key, value, *args, **kwargs)

    def get_or_set(
        self,
        key: str,
        default: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        tags: str | Iterable[str] = (),
    ) -> Any:
        """Return the value, or compute and store it.

        Whoever asks while it is computed waits for it; of processes that share a storage one computes. What
        is invalidated meanwhile is not stored, and tags that the computation finds (by cached functions, or
        `zoocache.add_deps`) count, too.

        Args:
            key: The key.
            default: The value, or a function that computes it.
            timeout: As for `set`.
            version: The version of the key.
            tags: As for `set`.

        Raises:
            RecursionError: The function asks for its own key.
        """
        made = self.make_and_validate_key(key, version=version)
        make = self._make(default, self._seconds(timeout), _checked(tags))
        value = self._value(self.store.get_or_make(made, make), MISSING)
        if value is MISSING:
            value = self._serializer_value(self.store.make(made, make))
        return value

    async def aget_or_set(self, key: str, default: Any, *args: Any, **kwargs: Any) -> Any:
        """Do what `get_or_set` does."""
        return await _in_thread(self.get_or_set, key, default, *args, **kwargs)

    def touch(self, key: str, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Give a value another timeout; its tags stay. Returns whether it was there."""
        made, seconds = self.make_and_validate_key(key, version=version), self._seconds(timeout)
        if seconds is not None and seconds <= 0:
            return self.store.delete(made)
        return self.store.rewrite(made, lambda stored: stored, seconds) is not MISSING

    async def atouch(self, key: str, *args: Any, **kwargs: Any) -> bool:
        """Do what `touch` does."""
        return await _in_thread(self.touch, key, *args, **kwargs)

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> Any:
        """Add to a value, at one time in one thread and process; its timeout and tags stay.

        Raises:
            ValueError: There is no value.
        """
        made = self.make_and_validate_key(key, version=version)
        stored = self.store.rewrite(
            made, lambda stored: self._stored(self._serializer_value(stored) + delta), MISSING
        )
        if stored is MISSING:
            raise _not_found(key)
        return self._serializer_value(stored)

    async def aincr(self, key: str, delta: int = 1, version: int | None = None) -> Any:
        """Do what `incr` does."""
        return await _in_thread(self.incr, key, delta, version)

    def incr_version(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Move a value to another version, with its tags and the default timeout; returns the version.

        Raises:
            ValueError: There is no value.
        """
        before: int = self.version if version is None else version
        made = self.make_and_validate_key(key, version=before)
        to = self.make_and_validate_key(key, version=before + delta)
        if not self.store.move(made, to, self._seconds(DEFAULT_TIMEOUT)):
            raise _not_found(key)
        return before + delta

    async def aincr_version(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Do what `incr_version` does."""
        return await _in_thread(self.incr_version, key, delta, version)

    def delete(self, key: str, version: int | None = None) -> bool:
        """Remove a value; returns whether there was one."""
        return self.store.delete(self.make_and_validate_key(key, version=version))

    def clear(self) -> None:
        """Remove everything, also what other KEY_PREFIXes and versions hold in this place.

        With LOCATION "default" that is what Django's aliases have stored there.
        """
        self.store.clear()

    def invalidate(self, *tags: str) -> int:
        """Make everything that depends on a tag, or on anything below it, stale; see `zoocache.invalidate`.

        Inside of a database transaction this is too early: use `transaction.on_commit`.

        Returns:
            The position of the invalidation.

        Raises:
            InvalidTag: A tag is not valid; then nothing is invalidated.
        """
        return int(self.store.cache.invalidate(*tags))

    async def ainvalidate(self, *tags: str) -> int:
        """Do what `invalidate` does."""
        return int(await self.store.cache.invalidate_async(*tags))

    def _stored(self, value: Any) -> Any:
        """What is stored of a value: bytes, unless nobody can change it anyway."""
        return value if type(value) in _IMMUTABLE else self._place.serializer.dumps(value)

    def _value(self, stored: Any, default: Any) -> Any:
        if stored is MISSING:
            return default
        if type(stored) is not bytes:
            return stored
        try:
            return self._serializer_value(stored)
        except SerializationError as error:
            # Damaged, forged, or of another version of the program: as if it were not there.
            _logger.warning("a value in the cache cannot be read: %s", error)
            return default

    def _serializer_value(self, stored: Any) -> Any:
        return self._place.serializer.loads(stored) if type(stored) is bytes else stored

    def _values(self, names: Mapping[str, str], found: Mapping[str, Any]) -> dict[str, Any]:
        values = {names[name]: self._value(stored, MISSING) for name, stored in found.items()}
        return {key: value for key, value in values.items() if value is not MISSING}

    def _seconds(self, timeout: Any) -> float | None:
        seconds: float | None = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return seconds

    def _make(self, default: Any, seconds: float | None, tags: list[str]) -> Make:
        def make() -> tuple[Any, float | None]:
            add_deps(tags)
            return self._stored(default() if callable(default) else default), seconds

        return make


async def _in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    # That of Django, where a callable may use the database.
    return await sync_to_async(function, thread_sensitive=True)(*args, **kwargs)


def _checked(tags: str | Iterable[str]) -> list[str]:
    return [tags] if isinstance(tags, str) else list(tags)


def _not_found(key: str) -> ValueError:
    return ValueError(f"Key {key!r} not found")

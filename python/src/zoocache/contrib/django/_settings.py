"""What an alias of `settings.CACHES` says about its cache, and the caches that were made of that."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.cache import InvalidCacheBackendError, caches
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

import zoocache
from zoocache._settings import DEFAULTS
from zoocache.contrib.django import _serializers
from zoocache.contrib.django._store import Store
from zoocache.contrib.django.conf import configure_from_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zoocache.contrib.django._serializers import Serializer

#: The LOCATION of the application's default cache.
DEFAULT = "default"
_MEMORY = "memory://"
#: How many entries the memory of a process holds unless MAX_ENTRIES says otherwise.
_MOST_IN_MEMORY = 10_000
#: Django's own OPTIONS, and ours.
_UPPER = ("MAX_ENTRIES", "CULL_FREQUENCY", "SERIALIZER")
#: What follows from LOCATION and TIMEOUT, or means nothing here.
_GIVEN_OTHERWISE = {"storage_url", "default_ttl", "read_extend_ttl", "max_entries"}
_OPTIONS = tuple(name for name in DEFAULTS if name not in _GIVEN_OTHERWISE)

_lock = threading.Lock()
#: By the memory's name, and the settings.
_stores: dict[tuple[str, str], Store] = {}


class Place(NamedTuple):
    """Where entries rest.

    Attributes:
        url: The `storage_url`; `None` for the application's default cache.
        name: Tells memories apart.
        options: Settings of the `zoocache.Cache`.
        serializer: Makes bytes of objects.
    """

    url: str | None
    name: str
    options: dict[str, Any]
    serializer: Serializer


def read(location: object, params: Mapping[str, Any]) -> Place:
    """Read LOCATION and the other parameters of an alias; nothing is opened.

    Raises:
        ImproperlyConfigured: They make no sense; the message names the parameter and never shows LOCATION,
            which may hold a password.
    """
    url = _location(location)
    given = params.get("OPTIONS") or {}
    if not isinstance(given, dict):
        raise ImproperlyConfigured(f"OPTIONS must be a dict, not {type(given).__name__}: {given!r}")
    for name in given:
        if name not in _UPPER and name not in _OPTIONS:
            raise ImproperlyConfigured(
                f"OPTIONS has an unknown key {name!r}; known are {', '.join((*_UPPER, *_OPTIONS))}"
            )
    options = {name: value for name, value in given.items() if name in _OPTIONS}
    if url == DEFAULT:
        if options:
            raise ImproperlyConfigured(
                f'OPTIONS must not set {", ".join(options)} with LOCATION "default", the cache of the '
                "application: set it in settings.ZOOCACHE, or give a LOCATION of its own"
            )
        return Place(None, "", {}, _serializers.of(given.get("SERIALIZER"), leaves_process=True))
    is_memory = url.startswith(_MEMORY)
    most = _max_entries(params, given, is_memory=is_memory)
    if most is not None:
        options["max_entries"] = most
    serializer = _serializers.of(given.get("SERIALIZER"), leaves_process=not is_memory)
    if is_memory:
        return Place(_MEMORY, url.removeprefix(_MEMORY), options, serializer)
    return Place(url, "", options, serializer)


def store(place: Place) -> Store:
    """Return the store of a place, which a process opens once."""
    if place.url is None:
        return default_store()
    settings = {"storage_url": place.url, **place.options}
    identity = place.name, repr(sorted(settings.items()))
    with _lock:
        found = _stores.get(identity)
        if found is None:
            try:
                cache = zoocache.Cache(**settings, read_extend_ttl=False)
            except zoocache.ConfigError as error:
                raise ImproperlyConfigured(f"this cache of settings.CACHES: {error}") from error
            found = _stores[identity] = Store(cache, is_shared=place.url != _MEMORY)
        return found


def default_store() -> Store:
    """Return the store in the application's default cache."""
    configure_from_settings()
    return _default_store()


@functools.cache
def _default_store() -> Store:
    return Store(zoocache, is_shared=True)


def store_of(alias: str | None) -> Store:
    """Return the store of an alias of `settings.CACHES`, or the default cache's for `None`.

    Raises:
        InvalidCacheBackendError: There is no such alias, or its cache is another's.
    """
    if alias is None:
        return default_store()
    found = getattr(caches[alias], "store", None)
    if not isinstance(found, Store):
        raise InvalidCacheBackendError(
            f"the cache {alias!r} has no tags; its BACKEND must be zoocache.contrib.django.CacheBackend"
        )
    return found


def _forget(*, setting: str, **_signal: object) -> None:
    # In tests that override it. Django keeps what it has made, so folders have to be closed.
    if setting == "CACHES":
        with _lock:
            forgotten = list(_stores.values())
            _stores.clear()
        for store in forgotten:
            store.close()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - a thread that is not there may hold the old one
    _lock = threading.Lock()


setting_changed.connect(_forget)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _location(location: object) -> str:
    if isinstance(location, (list, tuple)):
        if len(location) != 1:
            raise ImproperlyConfigured(
                f"LOCATION must name one place, not {len(location)}; replicas are the business of "
                "redis+sentinel://"
            )
        location = location[0]
    if location is None or location == "":
        return _MEMORY
    if not isinstance(location, str):
        raise ImproperlyConfigured(f"LOCATION must be a str, not {type(location).__name__}")
    if location != DEFAULT and "://" not in location:
        raise ImproperlyConfigured(
            'LOCATION must be "default" for the cache of the application, "" or "memory://NAME" for memory '
            'of the process, or a URL: "lmdb:///var/cache/shop", "redis://HOST:PORT"'
        )
    return location


def _max_entries(params: Mapping[str, Any], given: Mapping[str, Any], *, is_memory: bool) -> int | None:
    most = params.get("max_entries", given.get("MAX_ENTRIES"))
    if most is None:
        return _MOST_IN_MEMORY if is_memory else None
    try:
        number = int(most)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise ImproperlyConfigured(
            f"MAX_ENTRIES must be an integer of at least 1, not {most!r}; leave it out for the default"
        )
    return number

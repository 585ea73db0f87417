"""What `manage.py check` says about the settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from zoocache._settings import DEFAULTS
from zoocache.contrib.django import _settings

_BACKENDS = ("zoocache.contrib.django.CacheBackend", "zoocache.contrib.django.backend.CacheBackend")


def check_settings(**_options: Any) -> list[CheckMessage]:
    """Check `settings.ZOOCACHE`, and those of `settings.CACHES` that are ours. Nothing is opened."""
    return [*_check_zoocache(), *_check_caches()]


def _check_zoocache() -> list[CheckMessage]:
    given = getattr(settings, "ZOOCACHE", None)
    if given is None:
        return []
    hint = "give a dict of the parameters of zoocache.configure()"
    if not isinstance(given, dict):
        return [Error(f"ZOOCACHE must be a dict, not {type(given).__name__}", hint=hint, id="zoocache.E001")]
    return [
        Error(
            f"ZOOCACHE has an unknown key {name!r}", hint=f"{hint}: {', '.join(DEFAULTS)}", id="zoocache.E002"
        )
        for name in given
        if name not in DEFAULTS
    ]


def _check_caches() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for alias, params in settings.CACHES.items():
        if params.get("BACKEND") not in _BACKENDS:
            continue
        try:
            _settings.read(params.get("LOCATION", ""), params)
        except ImproperlyConfigured as error:
            found.append(Error(f"CACHES[{alias!r}]: {error}", id="zoocache.E003"))
    return found

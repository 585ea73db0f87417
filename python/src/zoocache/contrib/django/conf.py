"""`settings.ZOOCACHE`: the settings of the application's default cache."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

import zoocache
from zoocache._settings import is_configured

#: What the cache was configured with last. Each query asks.
_used: object = None


def configure_from_settings() -> None:
    """Configure the default cache as `settings.ZOOCACHE` says, unless somebody has configured it.

    Raises:
        ImproperlyConfigured: A setting makes no sense; the message names it.
    """
    global _used  # noqa: PLW0603 - so that asking again costs a comparison
    given = getattr(settings, "ZOOCACHE", None)
    if not given or (given is _used and is_configured()):
        return
    if not isinstance(given, Mapping):
        msg = f"settings.ZOOCACHE must be a dict of parameters of zoocache.configure(), not {given!r:.80}"
        raise ImproperlyConfigured(msg)
    try:
        # What the program has configured in code counts.
        with contextlib.suppress(RuntimeError):
            zoocache.configure(**given)
    except (zoocache.ConfigError, TypeError) as error:
        raise ImproperlyConfigured(f"settings.ZOOCACHE: {error}") from error
    _used = given

"""`settings.ZOOCACHE`: the settings of the application's default cache."""

from __future__ import annotations

import contextlib

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

import zoocache


def configure_from_settings() -> None:
    """Configure the default cache as `settings.ZOOCACHE` says, unless somebody has configured it.

    Raises:
        ImproperlyConfigured: A setting makes no sense; the message names it.
    """
    given = getattr(settings, "ZOOCACHE", None)
    if not given:
        return
    try:
        # What the program has configured in code counts.
        with contextlib.suppress(RuntimeError):
            zoocache.configure(**given)
    except (zoocache.ConfigError, TypeError) as error:
        raise ImproperlyConfigured(f"settings.ZOOCACHE: {error}") from error

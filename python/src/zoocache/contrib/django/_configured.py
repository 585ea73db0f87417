"""`settings.ZOOCACHE`: what the default cache is configured with, if nothing else did."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

import zoocache

#: The settings that were used last.
_used: object = None


def configure() -> None:
    """Configure the default cache from `settings.ZOOCACHE`, once for each value of it.

    Raises:
        ImproperlyConfigured: The setting is no dict of parameters of `zoocache.configure`.
        ConfigError: A parameter makes no sense.
    """
    global _used  # noqa: PLW0603 - so that a hit costs no more than this comparison
    wanted = getattr(settings, "ZOOCACHE", None)
    if wanted is _used:
        return
    if wanted is not None:
        _configure(wanted)
    _used = wanted


def _configure(wanted: object) -> None:
    if not isinstance(wanted, Mapping):
        msg = f"settings.ZOOCACHE must be a dict of parameters of zoocache.configure(), not {wanted!r:.80}"
        raise ImproperlyConfigured(msg)
    try:
        # A program that has called `configure` itself knows better.
        with contextlib.suppress(RuntimeError):
            zoocache.configure(**wanted)
    except TypeError as error:
        msg = f"settings.ZOOCACHE must be a dict of parameters of zoocache.configure(): {error}"
        raise ImproperlyConfigured(msg) from error

"""The application `zoocache.contrib.django`, for INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

from zoocache.contrib.django.checks import check_settings
from zoocache.contrib.django.conf import configure_from_settings


class ZooCacheConfig(AppConfig):
    """Its template tag, its command, and checks of the settings."""

    name = "zoocache.contrib.django"
    label = "zoocache"
    verbose_name = "zoocache"

    def ready(self) -> None:
        """Configure the default cache as `settings.ZOOCACHE` says, and have the settings checked."""
        # Whatever this process writes is invalidated, also if it caches no queries itself.
        from zoocache.contrib.django import _hooks  # noqa: F401, PLC0415 - needs the applications

        checks.register(check_settings, checks.Tags.caches)
        configure_from_settings()

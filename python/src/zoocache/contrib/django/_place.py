"""What else than a key a page depends on: the language and the time zone that are in force."""

from __future__ import annotations

from django.conf import settings
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language


def locale() -> tuple[str | None, str | None]:
    """Return the language and the time zone, as far as this site uses them."""
    language = get_language() if settings.USE_I18N else None
    zone = get_current_timezone_name() if settings.USE_TZ else None
    return language, zone

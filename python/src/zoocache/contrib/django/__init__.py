"""Django: a cache backend, a template tag, a decorator of views and a management command."""

from __future__ import annotations

import importlib
from typing import Any

from zoocache.contrib._extra import extra

with extra("django", "Django 4.2 or later"):
    importlib.import_module("django")

#: What is imported when it is first asked for, as it needs Django's settings.
_LAZY = {"CacheBackend": "backend", "cache_view": "views"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)

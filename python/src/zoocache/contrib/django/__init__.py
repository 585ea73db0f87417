"""Django: cached querysets and serializers that know by themselves what changed, and a cache backend.

Nothing here needs Django's applications to be loaded, so that a project's models can import it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from zoocache.contrib._extra import extra

with extra("django", "Django"):
    import django as _django  # noqa: F401 - is it there?

if TYPE_CHECKING:
    from zoocache.contrib.django.backend import CacheBackend
    from zoocache.contrib.django.managers import ZooCacheManager, ZooCacheQuerySet
    from zoocache.contrib.django.serializers import (
        BaseCacheableSerializerMixin,
        CacheableListSerializerMixin,
        CacheableSerializerMixin,
        cacheable_serializer,
    )
    from zoocache.contrib.django.tags import instance_tag, model_tag
    from zoocache.contrib.django.views import cache_view

#: Where each name is. A part is imported when it is used: who caches views needs no REST framework.
_MODULES = {
    "BaseCacheableSerializerMixin": "serializers",
    "CacheBackend": "backend",
    "CacheableListSerializerMixin": "serializers",
    "CacheableSerializerMixin": "serializers",
    "ZooCacheManager": "managers",
    "ZooCacheQuerySet": "managers",
    "cache_view": "views",
    "cacheable_serializer": "serializers",
    "instance_tag": "tags",
    "model_tag": "tags",
}

__all__ = [
    "BaseCacheableSerializerMixin",
    "CacheBackend",
    "CacheableListSerializerMixin",
    "CacheableSerializerMixin",
    "ZooCacheManager",
    "ZooCacheQuerySet",
    "cache_view",
    "cacheable_serializer",
    "instance_tag",
    "model_tag",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

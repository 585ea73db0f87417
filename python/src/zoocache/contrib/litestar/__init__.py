"""Caching of Litestar's endpoints: `cache_endpoint`. Needs the extra `zoocache[litestar]`."""

from zoocache.contrib._extra import extra

with extra("litestar", "Litestar"):
    import litestar as _litestar  # noqa: F401

from zoocache.contrib.http import HttpCaching, purge_keys
from zoocache.contrib.litestar.plugin import ZooCachePlugin
from zoocache.contrib.litestar.route import cache_endpoint

__all__ = ["HttpCaching", "ZooCachePlugin", "cache_endpoint", "purge_keys"]

"""Caching of FastAPI and Starlette endpoints: `cache_endpoint`. Needs the extra `zoocache[fastapi]`."""

from zoocache.contrib._extra import extra

with extra("fastapi", "FastAPI"):
    import fastapi as _fastapi  # noqa: F401

from zoocache.contrib.fastapi.lifespan import cache_lifespan
from zoocache.contrib.fastapi.route import cache_endpoint
from zoocache.contrib.http import HttpCaching, purge_keys

__all__ = ["HttpCaching", "cache_endpoint", "cache_lifespan", "purge_keys"]

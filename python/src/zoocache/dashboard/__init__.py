"""The web page that shows a cache live: rates, tags, entries, and why they are stale.

`dashboard()` makes an ASGI application that any other one can mount. Needs the extra `zoocache[dashboard]`.
"""

from zoocache.contrib._extra import extra

with extra("dashboard", "Starlette", "zoocache.dashboard"):
    import starlette as _starlette  # noqa: F401

from zoocache.dashboard._app import Dashboard, dashboard

__all__ = ["Dashboard", "dashboard"]

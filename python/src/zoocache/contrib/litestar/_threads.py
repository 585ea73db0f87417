"""Handlers that run in threads, and share their path with others.

Litestar registers a handler again whenever another one comes to its path, and each time wraps a function that
is to run in a thread once more. What comes of two wrappers is a coroutine in place of the result. Litestar
awaits that where it renders plain results, but not where it looks whether the result is a response.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from litestar.handlers import HTTPRouteHandler
from litestar.utils.sync import AsyncCallable

if TYPE_CHECKING:
    from litestar import Litestar

#: An attribute of the functions that Litestar calls instead of cached handlers.
SERVES = "zoocache_serves"

_register: Any = HTTPRouteHandler.on_registration


@functools.wraps(_register)
def _register_once(self: HTTPRouteHandler, app: Litestar) -> None:
    before = self.fn
    _register(self, app)
    if isinstance(before, AsyncCallable) and hasattr(before.func, SERVES):
        self._fn = before


HTTPRouteHandler.on_registration = _register_once  # type: ignore[method-assign]

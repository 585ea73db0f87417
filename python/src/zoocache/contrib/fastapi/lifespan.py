"""A lifespan that configures the cache when the application starts and closes it when it ends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import zoocache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from typing_extensions import Unpack

    from zoocache._settings import CacheSettings


def cache_lifespan(
    lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
    **settings: Unpack[CacheSettings],
) -> Callable[[Any], AbstractAsyncContextManager[Any]]:
    """Make a lifespan: `FastAPI(lifespan=cache_lifespan(storage_url="lmdb://./cache"))`.

    The default cache is configured before the application serves, so that a wrong setting stops it there, and
    freed after it has ended.

    Args:
        lifespan: The application's own lifespan, which runs inside of this one.
        **settings: As for `configure`.

    Raises:
        ConfigError: When the application starts: a setting makes no sense.
    """

    @contextlib.asynccontextmanager
    async def with_cache(app: Any) -> AsyncIterator[Any]:
        zoocache.configure(**settings)
        try:
            async with contextlib.AsyncExitStack() as stack:
                yield None if lifespan is None else await stack.enter_async_context(lifespan(app))
        finally:
            zoocache.reset()

    return with_cache

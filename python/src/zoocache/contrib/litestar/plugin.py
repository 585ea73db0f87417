"""A plugin that configures the cache when the application starts and frees it when it ends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from litestar.plugins import InitPluginProtocol

import zoocache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar import Litestar
    from litestar.config.app import AppConfig
    from typing_extensions import Unpack

    from zoocache._settings import CacheSettings


class ZooCachePlugin(InitPluginProtocol):
    """Configures the default cache: `Litestar(plugins=[ZooCachePlugin(storage_url="lmdb://./cache")])`.

    It does so before the application serves, so that a wrong setting stops it there, and frees the cache
    after the application has ended. Endpoints are cached without it, too.

    Args:
        **settings: As for `configure`.

    Raises:
        ConfigError: When the application starts: a setting makes no sense.
    """

    def __init__(self, **settings: Unpack[CacheSettings]) -> None:
        self._settings = settings

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Let the application's own lifespans run inside of the cache's."""
        app_config.lifespan = [self._lifespan, *app_config.lifespan]
        return app_config

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Litestar) -> AsyncIterator[None]:
        zoocache.configure(**self._settings)
        try:
            yield
        finally:
            zoocache.reset()

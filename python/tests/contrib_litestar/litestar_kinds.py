"""Each kind of handler that Litestar knows, from a plain function."""

import asyncio
import functools


def decorated(kind, route, path, **options):
    def decorate(func, cache=lambda func: func):
        if kind == "async":

            @functools.wraps(func)
            async def endpoint(*args, **kwargs):
                await asyncio.sleep(0)
                return func(*args, **kwargs)

            return route(path, **options)(cache(endpoint))
        return route(path, sync_to_thread=kind == "thread", **options)(cache(func))

    return decorate

"""Requests to an ASGI application in this process, from plain tests."""

import asyncio

import httpx


class Client:
    """A client of an application; `get` and the others return responses of httpx."""

    def __init__(self, app, **options):
        self._loop = asyncio.new_event_loop()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=options.pop("raise_errors", True))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://shop.test", **options)

    def request(self, method, path, **options):
        return self._loop.run_until_complete(self._client.request(method, path, **options))

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def together(self, paths, *, after=None):
        """Make requests at once; `after` is awaited when all have been sent."""

        async def all_of_them():
            tasks = [asyncio.ensure_future(self._client.get(path)) for path in paths]
            if after is not None:
                await after()
            return await asyncio.gather(*tasks)

        return self._loop.run_until_complete(all_of_them())

    def close(self):
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

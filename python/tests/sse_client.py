"""Listening to the events of an ASGI application in this process: httpx would read to their end first."""

import asyncio
import json


class Listener:
    """One stream of events, within an event loop; `async with` opens and ends it."""

    def __init__(self, app, path="/events", *, root_path="", headers=()):
        raw = [(b"host", b"shop.test"), *((name.encode(), value.encode()) for name, value in headers)]
        self._scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "root_path": root_path,
            "query_string": b"", "headers": raw, "http_version": "1.1", "scheme": "http",
            "client": ("127.0.0.1", 1), "server": ("shop.test", 80), "asgi": {"version": "3.0"},
        }  # fmt: skip
        self._app = app
        self._gone, self._began = asyncio.Event(), asyncio.Event()
        self._received, self._text = asyncio.Queue(), ""
        #: When set, whoever sends must wait: the client reads nothing.
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.status, self.headers = None, {}

    async def __aenter__(self):
        self._task = asyncio.ensure_future(self._app(self._scope, self._receive, self._send))
        await asyncio.wait_for(self._began.wait(), 30)
        return self

    async def __aexit__(self, *_error):
        self._gone.set()
        self.may_send.set()
        await asyncio.wait_for(self._task, 30)

    async def _receive(self):
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        await self.may_send.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            self._began.set()
        else:
            await self._received.put((message.get("body", b"").decode(), message.get("more_body", False)))

    async def event(self):
        """Return the next event as its kind, id and content; `None` after the last one."""
        while True:
            while "\n\n" in self._text:
                told, _, self._text = self._text.partition("\n\n")
                lines = dict(line.split(": ", 1) for line in told.splitlines())
                if "data" in lines:
                    return lines["event"], lines["id"], json.loads(lines["data"])
            more, is_more = await asyncio.wait_for(self._received.get(), 30)
            self._text += more
            if not is_more and not more:
                return None

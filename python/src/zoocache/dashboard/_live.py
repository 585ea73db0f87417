"""What happens now, as server-sent events: looked at once a second for all who listen together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import threading
import time
from collections import deque
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from zoocache._errors import CacheError
from zoocache._log import logger
from zoocache.dashboard._answers import Json, as_json, now
from zoocache.inspect.watching import Sample, Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message, Receive, Scope, Send

    from zoocache.dashboard._source import Source
    from zoocache.inspect import Inspector

#: Seconds between two looks.
_PAUSE = 1.0
#: Seconds for which looking goes on when nobody listens: whoever listened may be back in a moment.
_LINGER = 3.0
#: Seconds that a stream lasts; browsers then ask for the next one. A server that ends waits for open streams.
_LONGEST = 10.0
#: Seconds after which a client that reads nothing is given up.
_STALLED = 10.0
#: Streams at once.
_MOST_STREAMS = 256
#: Looks that whoever was away for a moment, or is slow, still gets.
_KEPT = 30
#: Of the functions, processes and invalidations that are told.
_MOST = 100
_FIELDS = tuple(field.name for field in fields(Sample))


class Live:
    """Looks at a cache while somebody listens, and tells all of them what it sees."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._listeners: set[_Listener] = set()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        #: Tells the looks of this process from those of another one behind the same address.
        self._secret = secrets.token_hex(4)
        self._number = 0
        self._told: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self._watch: Watch | None = None
        self._watched: Inspector | None = None
        self._position = 0
        self._has_failed = self._is_odd = False

    def events(self, last: str | None) -> _Stream:
        """A response that tells what happens.

        Args:
            last: The id of the last event that the client has.
        """
        return _Stream(self, last)

    def close(self) -> None:
        """End all streams."""
        self._closed.set()
        with self._lock:
            thread = self._thread
            self._wake()
        if thread is not None and thread is not threading.current_thread():
            # One that waits for a server is left behind.
            thread.join(_PAUSE)

    @property
    def _name(self) -> str:
        # Workers that were forked from one process share the rest.
        return f"{self._secret}{os.getpid():x}"

    @property
    def is_closed(self) -> bool:
        """Whether it tells no more."""
        return self._closed.is_set()

    def join(self, listener: _Listener) -> bool:
        """Begin to wake a listener after each look; tells whether there is room for it."""
        with self._lock:
            if len(self._listeners) >= _MOST_STREAMS:
                return False
            self._listeners.add(listener)
            if self._closed.is_set() or (self._thread is not None and self._thread.is_alive()):
                return True
            self._thread = threading.Thread(target=self._run, name="zoocache-dashboard-live", daemon=True)
            self._thread.start()
            return True

    def leave(self, listener: _Listener) -> None:
        """Wake a listener no more."""
        with self._lock:
            self._listeners.discard(listener)

    def since(self, last: str | None) -> tuple[int, list[bytes]]:
        """The events after one that a client has; if that is not known any more, all there is to know.

        Returns:
            The number of the last one, and the events.
        """
        name, _, number = (last or "").partition("-")
        with self._lock:
            known = range(self._number - len(self._told), self._number + 1)
            is_number = number.isascii() and number.isdigit() and len(number) <= len(str(self._number))
            if name == self._name and is_number and int(number) in known:
                return self._number, [event for told, event in self._told if told > int(number)]
            return self._number, [self._history()] if self._number else []

    def after(self, number: int) -> tuple[int, list[bytes]]:
        """The events after a number, as far as they are kept."""
        with self._lock:
            if number == 0 and self._number:
                return self._number, [self._history()]
            return self._number, [event for told, event in self._told if told > number]

    def _run(self) -> None:
        heard = time.monotonic()
        while True:
            began = time.monotonic()
            self._look()
            with self._lock:
                self._wake()
                ended = time.monotonic()
                if self._listeners:
                    heard = ended
                elif ended - heard > _LINGER:
                    self._thread = None
                    return
            if self._closed.wait(max(_PAUSE / 10, began + _PAUSE - ended)):
                return

    def _wake(self) -> None:
        for listener in tuple(self._listeners):
            if not listener.wake():
                self._listeners.discard(listener)

    def _look(self) -> None:
        trouble = None
        try:
            inspector = self._source.inspector()
            if inspector is not self._watched:
                self._watch, self._watched, self._position = Watch(inspector), inspector, 0
            assert self._watch is not None  # noqa: S101 - made with the inspector
            self._watch.look()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end what others listen to
            is_known = isinstance(error, (CacheError, OSError))
            trouble = str(error) if is_known else "this failed; the log of the server says why"
            if not self._has_failed:
                logger.warning("the dashboard cannot look at the cache: %s: %s", type(error).__name__, error)
        self._has_failed = trouble is not None
        with self._lock:
            watch, self._number = self._watch, self._number + 1
            told = self._state(trouble)
            if watch is not None:
                # The very first sample knows no rates yet.
                told["samples"] = [] if trouble is not None else _rows(watch.samples[1:][-1:])
                news = [one for one in watch.invalidations if one.position > self._position][:_MOST]
                told["invalidations"] = news
                self._position = max([self._position, *(one.position for one in news)])
            self._told.append((self._number, self._event("look", told)))

    def _state(self, trouble: str | None = None) -> dict[str, Any]:
        watch = self._watch
        told: dict[str, Any] = {"now": now(), "trouble": trouble, "samples": [], "invalidations": []}
        if watch is not None:
            told.update(
                trouble=trouble or watch.trouble,
                functions=watch.functions[:_MOST],
                nodes=watch.nodes[:_MOST],
                stats=watch.stats,
            )
        return told

    def _history(self) -> bytes:
        told = self._state()
        if self._watch is not None:
            told["samples"] = _rows(self._watch.samples[1:])
            told["invalidations"] = self._watch.invalidations[:_MOST]
        return self._event("history", told)

    def _event(self, kind: str, told: dict[str, Any]) -> bytes:
        told["fields"] = _FIELDS
        try:
            content = as_json(told)
        except (ValueError, TypeError) as error:
            # Whatever another process has told, it must not end what others listen to.
            if not self._is_odd:
                logger.warning("the dashboard cannot tell what it sees: %s", error)
            self._is_odd = True
            trouble = "another process tells what is no number; the log of the server says more"
            empty = {"samples": [], "invalidations": [], "fields": _FIELDS}
            content = as_json({"now": now(), "trouble": trouble, **empty})
        return b"event: %b\nid: %b-%d\ndata: %b\n\n" % (
            kind.encode(),
            self._name.encode(),
            self._number,
            content,
        )


class _Listener:
    """One open stream, woken from the thread that looks."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def wake(self) -> bool:
        """Wake it; tells whether it is still there."""
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:
            return False
        return True

    async def wait(self, seconds: float) -> None:
        """Wait until it is woken."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)
        self._news.clear()


class _Stream:
    """The response to whoever listens. A slow client makes nobody wait but itself."""

    def __init__(self, live: Live, last: str | None) -> None:
        self._live, self._last = live, last
        self._is_gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patiently(message: Message) -> None:
            # Whoever reads nothing would be waited for without end, by a server that is to end, too.
            await asyncio.wait_for(send(message), _STALLED)

        listener = _Listener()
        if not self._live.join(listener):
            busy = {"error": "too many listen at once; try again in some seconds"}
            await Json(busy, 503, {"retry-after": "5"})(scope, receive, send)
            return
        leaving = asyncio.ensure_future(self._watch_for_end(receive, listener))
        try:
            headers = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
            await patiently({"type": "http.response.start", "status": 200, "headers": headers})
            if scope["method"] != "HEAD":
                await self._tell(listener, patiently)
            if not self._is_gone:
                await patiently({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.TimeoutError:
            logger.info("a client of the dashboard reads nothing; it is given up")
        finally:
            self._live.leave(listener)
            leaving.cancel()

    async def _tell(self, listener: _Listener, send: Send) -> None:
        async def tell(event: bytes) -> None:
            await send({"type": "http.response.body", "body": event, "more_body": True})

        end = time.monotonic() + _LONGEST
        await tell(b"retry: 500\n\n")
        number, events = self._live.since(self._last)
        while True:
            for event in events:
                await tell(event)
            left = end - time.monotonic()
            if self._is_gone or self._live.is_closed or left <= 0:
                return
            await listener.wait(left)
            number, events = self._live.after(number)

    async def _watch_for_end(self, receive: Receive, listener: _Listener) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        listener.wake()


def _rows(samples: Sequence[Sample]) -> list[list[Any]]:
    """Samples in short: the history has hundreds."""
    listed = ([getattr(sample, name) for name in _FIELDS] for sample in samples)
    return [[round(value, 4) if isinstance(value, float) else value for value in row] for row in listed]

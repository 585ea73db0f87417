"""What a cached endpoint costs: microseconds of a request, as its application sees it, without a network.

Usage: python endpoints.py [rounds]

Of each framework, endpoints that answer with a constant, as they are and cached. The rounds of all kinds take
turns, so that what else the machine does falls on all of them; the median of the rounds is told.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from litestar import Litestar, get

import zoocache

if TYPE_CHECKING:
    from collections.abc import Callable

    App = Callable[[Any, Any, Any], Any]

#: Requests in a round.
REQUESTS = 500
KINDS = ("bare", "cached", "cached http=True")


def litestar(*, is_async: bool) -> dict[str, App]:
    """The applications of each kind."""
    from zoocache.contrib.litestar import cache_endpoint  # noqa: PLC0415 - only what is measured is needed

    def made(decorate: Callable[[Any], Any]) -> App:
        async def later() -> dict[str, int]:
            return {"answer": 42}

        def now() -> dict[str, int]:
            return {"answer": 42}

        handler = get("/")(decorate(later)) if is_async else get("/", sync_to_thread=False)(decorate(now))
        return Litestar([handler], logging_config=None, openapi_config=None)

    decorators = (lambda func: func, cache_endpoint, cache_endpoint(http=True))
    return dict(zip(KINDS, map(made, decorators), strict=True))


def fastapi(*, is_async: bool) -> dict[str, App]:
    """The applications of each kind."""
    from zoocache.contrib.fastapi import cache_endpoint  # noqa: PLC0415 - only what is measured is needed

    def made(decorate: Callable[[Any], Any]) -> App:
        async def later() -> dict[str, int]:
            return {"answer": 42}

        def now() -> dict[str, int]:
            return {"answer": 42}

        app = FastAPI()
        app.get("/")(decorate(later if is_async else now))
        return app

    decorators = (lambda func: func, cache_endpoint, cache_endpoint(http=True))
    return dict(zip(KINDS, map(made, decorators), strict=True))


#: One for each framework.
FRAMEWORKS: dict[str, Callable[..., dict[str, App]]] = {"fastapi": fastapi, "litestar": litestar}

HEADERS = [
    (b"host", b"shop.test"),
    (b"user-agent", b"Mozilla/5.0"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip"),
    (b"accept-language", b"en"),
]


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _request(app: App) -> bytes:
    """Make one request and return the body of the answer."""
    body = b""

    async def send(message: dict[str, Any]) -> None:
        nonlocal body
        body += message.get("body", b"")

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "", "headers": HEADERS,
        "client": ("127.0.0.1", 1), "server": ("shop.test", 80), "state": {},
    }  # fmt: skip
    await app(scope, _receive, send)
    return body


async def _round(app: App) -> float:
    """Return the microseconds of a request that this process computes, whatever else the machine does."""
    began = time.process_time()
    for _ in range(REQUESTS):
        await _request(app)
    return (time.process_time() - began) / REQUESTS * 1e6


async def measure(rounds: int) -> None:
    """Print a table: one line for each framework and kind."""
    zoocache.configure()
    apps = {
        (name, "async" if is_async else "sync", kind): app
        for name, make in FRAMEWORKS.items()
        for is_async in (True, False)
        for kind, app in make(is_async=is_async).items()
    }
    for app in apps.values():
        # Computed once, and warm.
        assert await _request(app) == await _request(app) == b'{"answer":42}'  # noqa: S101 - of this program
        await _round(app)
    found: dict[tuple[str, str, str], list[float]] = {place: [] for place in apps}
    for _ in range(rounds):
        for place, app in apps.items():
            found[place].append(await _round(app))
    print(f"{'framework':<12}{'endpoint':<10}{'kind':<18}{'µs':>8}{'more than bare':>16}")
    for (name, how, kind), times in found.items():
        more = statistics.median(a - b for a, b in zip(times, found[name, how, "bare"], strict=True))
        print(f"{name:<12}{how:<10}{kind:<18}{statistics.median(times):>8.1f}{more:>16.1f}")


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 15))

"""Running the command `zoocache`, and caches of other processes to look at."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile

from other_process import Other
from redis_server import Server

#: What the other process does: entries of which one was invalidated, and reads and invalidations that go on.
SHOP = """
import threading, time
from decimal import Decimal

@cacheable(namespace="product", deps=lambda number: [f"shop:1:product:{number}"])
def product(number):
    return {"number": number, "price": Decimal("9.99"), "sizes": (1, 2)}

for number in range(20):
    product(number)
position = invalidate("shop:1:product:3")

def go_on():
    turn = 0
    while True:
        turn += 1
        product(5)
        set(f"busy {turn % 50}", turn, deps=["busy:all"])
        if turn % 10 == 0:
            invalidate(f"busy:{turn % 7}")
        time.sleep(0.001)

threading.Thread(target=go_on, daemon=True).start()
"""


def shop(place, *settings):
    """Start another process that uses a cache at this moment."""
    other = Other(place, *settings)
    try:
        other.run(SHOP)
    except BaseException:
        other.kill()
        raise
    return other


def zoocache(*arguments, **environment):
    """Run the command and return what became of it."""
    kept = {name: value for name, value in os.environ.items() if name not in {"REDIS_URL", "ZOOCACHE_URL"}}
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "zoocache", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**kept, "COLUMNS": "80", **environment},
    )


def shown(*arguments, **environment):
    """Run the command, which must succeed, and return what it prints; it fits 80 columns."""
    done = zoocache(*arguments, **environment)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert max(map(len, done.stdout.splitlines()), default=0) <= 80, done.stdout
    return done.stdout


def told(*arguments, **environment):
    """Run the command with `--json`, which must succeed, and return what it prints."""
    done = zoocache(*arguments, "--json", **environment)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return json.loads(done.stdout)


class Sockets:
    """A folder of control sockets of a test's own, for processes that are started meanwhile."""

    def __enter__(self):
        # Not the test's own folder: the path of a socket may have 107 bytes only.
        self._folder = tempfile.TemporaryDirectory(prefix="zoocache-run-")
        self._before = os.environ.get("XDG_RUNTIME_DIR")
        os.environ["XDG_RUNTIME_DIR"] = self._folder.name
        return self

    def __exit__(self, *_error):
        if self._before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = self._before
        self._folder.cleanup()


@contextlib.contextmanager
def live_cache(kind, tmp_path_factory, *settings):
    """Another process that uses a cache at this moment, and the options that name that."""
    with Sockets():
        server = None
        if kind == "lmdb":
            folder = tmp_path_factory.mktemp("cache")
            place, options = f"lmdb://{folder}", ("--lmdb", folder)
        elif kind == "redis":
            server = Server()
            place, options = server.url, ("--redis", server.url)
        else:
            place, options, settings = "memory://", None, ("control=True",)
        other = shop(place, *settings)
        try:
            yield other, options or ("--pid", other.pid)
        finally:
            other.kill()
            if server is not None:
                server.end()

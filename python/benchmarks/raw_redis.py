"""A Redis server of the benchmark's own, and the client that it is used by without a cache."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peers import imported

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The package that a server is used by without a cache.
REDIS = imported("redis")
#: What stands where it would be measured.
MISSING = "redis-py is not installed"
PATIENCE = 20


@dataclass(frozen=True)
class Server:
    """Where a server is, and which."""

    url: str
    version: str


@contextlib.contextmanager
def private_server() -> Iterator[Server]:
    """Start a server that keeps nothing, on a free port."""
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("redis-server is not installed: apt-get install redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    version = version.split("v=")[1].split()[0]
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL) as process:  # noqa: S603 - our own
            try:
                _wait_for(port)
                yield Server(f"redis://127.0.0.1:{port}/0", version)
            finally:
                process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)) != 0:
            if time.monotonic() > deadline:
                sys.exit("redis-server does not start")
            time.sleep(0.01)

"""A Redis server of the example's own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Seconds in which a server has to be there.
PATIENCE = 20


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Start a server on a socket in `folder`, which is made; yields its URL."""
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("redis-server is not installed: apt-get install redis-server, or name a server: --redis URL")
    folder.mkdir()
    socket = folder / "socket"
    arguments = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL) as server:  # noqa: S603 - our own
        try:
            deadline = time.monotonic() + PATIENCE
            while not socket.exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{program} does not start")
                time.sleep(0.01)
            yield f"unix://{socket}"
        finally:
            server.terminate()

"""What both ends of a control socket know: where it is, and how long what goes through it may be."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

#: Longest request, in bytes; and answer.
MOST_REQUEST, MOST_ANSWER = 64 * 1024, 64 * 1024 * 1024


def folder() -> Path:
    """The folder of this user's control sockets."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "zoocache"
    return Path(tempfile.gettempdir()) / f"zoocache-{os.geteuid()}"


def read_line(connection: socket.socket, most: int) -> bytes:
    """Read up to the end of a line.

    Raises:
        ValueError: It is longer than `most` bytes, or does not end.
    """
    parts, length = [], 0
    while True:
        part = connection.recv(65_536)
        parts.append(part)
        length += len(part)
        if length > most:
            raise ValueError(f"a line of more than {most} bytes")
        if part.endswith(b"\n"):
            return b"".join(parts)
        if not part:
            raise ValueError("the line does not end")

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

    One that is too long is read up to its end as well, unless it is many times too long: whoever closes a
    connection with something unread takes its own answer away from the other end.

    Raises:
        ValueError: It is longer than `most` bytes, or does not end.
    """
    parts, length = [], 0
    while length <= 64 * most:
        part = connection.recv(65_536)
        length += len(part)
        if length <= most:
            parts.append(part)
        if part.endswith(b"\n"):
            break
        if not part:
            raise ValueError("the line does not end")
    if length > most:
        raise ValueError(f"a line of more than {most} bytes")
    return b"".join(parts)

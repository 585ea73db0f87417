"""The control socket: how other processes look at a cache in this process's memory.

`configure(control=True)` opens one, named by the process's id, in a folder of the user's own. Each connection
sends one line, a JSON object with `do` and `with`, and gets one line back: `{"done": ...}` or `{"failed":
..., "text": ...}`. Only processes of the same user, and root, are answered, one after another; what is done
is what an `Inspector` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import struct
import threading
from typing import TYPE_CHECKING

from zoocache._errors import CacheError, ConfigError
from zoocache._log import logger
from zoocache.inspect._local import LocalInspector
from zoocache.inspect._processes import is_alive
from zoocache.inspect._socket import MOST_ANSWER, MOST_REQUEST, folder, read_line
from zoocache.inspect.records import to_json

if TYPE_CHECKING:
    from pathlib import Path

    from zoocache._cache import Cache

#: Seconds that whoever asks may take for its request, and for taking the answer.
PATIENCE = 5.0
#: What may be asked for; the names of a `LocalInspector`'s methods.
OPERATIONS = frozenset(
    {
        "stats", "entries", "value", "explain", "tree", "affected", "invalidations", "nodes", "own_activity",
        "invalidate", "clear", "prune",
    }
)  # fmt: skip
#: The longest path of a socket, in bytes.
_LONGEST_PATH = 107
_CREDENTIALS = struct.Struct("3i")


def private_folder() -> Path:
    """Make the folder of this user's control sockets, if need be.

    Raises:
        ConfigError: It cannot be made, or others could enter it.
    """
    path = folder()
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise ConfigError(
            f"control: the folder of the control sockets, {path}, cannot be used: {error.strerror}; give the "
            f"path of a "
            "socket instead: control='/path/to/socket'"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"control: {path} must be a folder of this user that nobody else may enter (mode 700); remove "
            f"it, or give "
            "the path of a socket instead: control='/path/to/socket'"
        )
    return path


class Control:
    """Answers on a control socket until it is closed. A forked child opens one of its own."""

    def __init__(self, cache: Cache, path: Path | None) -> None:
        self._cache, self._wanted = cache, path
        self._open()

    def _open(self) -> None:
        if self._wanted is None:
            _tidy(private_folder())
        # A path that was given belongs to the process that was given it; its children have none then.
        self._pid = os.getpid()
        self.path = self._wanted or private_folder() / f"{self._pid}.sock"
        self._inspector = LocalInspector(self._cache)
        self._socket = _listen(self.path)
        self._ends = False
        self._publisher = self._inspector.publisher()
        if self._publisher is not None:
            self._publisher.start()
        threading.Thread(target=self._serve, name="zoocache-control", daemon=True).start()

    def after_fork(self) -> None:
        """To be called in a forked child: the parent's socket is the parent's."""
        self._socket.close()
        self._inspector.close()
        # Its thread is not here, and what it waits by may be locked for ever.
        self._publisher = None
        if self._wanted is None:
            try:
                self._open()
            except (CacheError, OSError) as error:
                logger.warning("no control socket in the forked process %d: %s", os.getpid(), error)

    def close(self) -> None:
        """Answer no more, and remove the socket."""
        self._ends = True
        if self._publisher is not None:
            self._publisher.end()
        self._inspector.close()
        # Wakes the thread that waits there.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._pid == os.getpid():
            self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        listening = self._socket
        while not self._ends:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                # Whatever one of them does, the next one is answered.
                try:
                    connection.settimeout(PATIENCE)
                    self._answer(connection)
                except OSError:
                    pass
                except Exception:  # noqa: BLE001 - the next one is answered all the same
                    logger.exception("a request on the control socket failed")

    def _answer(self, connection: socket.socket) -> None:
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        user = _CREDENTIALS.unpack(peer)[1]
        try:
            # Also of those who are refused: closed with something unread, the connection would lose the
            # answer.
            line = read_line(connection, MOST_REQUEST)
        except ValueError as error:
            _send(connection, _failed("ValueError", str(error)))
            return
        if user not in {0, os.geteuid()}:
            _send(connection, _failed("PermissionError", "this is another user's process"))
            return
        _send(connection, self._done(line))

    def _done(self, line: bytes) -> bytes:
        try:
            request = json.loads(line)
            operation, given = request["do"], request.get("with", {})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return _failed("ValueError", "a request is one JSON object with `do` and `with`")
        if not isinstance(operation, str) or operation not in OPERATIONS or not isinstance(given, dict):
            return _failed("ValueError", "no such operation")
        tags = given.pop("tags", [])
        if not isinstance(tags, list):
            return _failed("ValueError", "tags are a list")
        try:
            result = getattr(self._inspector, operation)(*tags, **given)
        except Exception as error:  # noqa: BLE001 - for whoever asks
            text = error.args[0] if isinstance(error, KeyError) and error.args else str(error)
            return _failed(type(error).__name__, str(text))
        answer = json.dumps({"done": to_json(result)}).encode() + b"\n"
        if len(answer) > MOST_ANSWER:
            return _failed("ValueError", f"the answer takes {len(answer)} bytes of at most {MOST_ANSWER}")
        return answer


def _send(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer)


def _failed(name: str, text: str) -> bytes:
    return json.dumps({"failed": name, "text": text}).encode() + b"\n"


def _tidy(folder: Path) -> None:
    """Remove the sockets of processes that were killed."""
    for path in folder.glob("*.sock"):
        if path.stem.isdigit() and not is_alive(int(path.stem)):
            path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ConfigError(f"control: the path of a socket has at most {_LONGEST_PATH} bytes: {path}")
    listening = socket.socket(socket.AF_UNIX)
    try:
        if _is_left_over(path):
            path.unlink(missing_ok=True)
        # Nobody can connect before it listens, which is when it has its mode.
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(16)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"control: the socket {path} cannot be opened: {error.strerror or error}"
        ) from error
    return listening


def _is_left_over(path: Path) -> bool:
    """Whether the socket of a process that has ended is there."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(path))
        except OSError:
            return True
    return False

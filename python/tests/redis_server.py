"""Redis servers of tests' own: each in a folder of its own, ended with the test."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from helpers import free_port, wait_until

_MISSING = "redis-server is missing; install it: apt-get install redis-server"


class Server:
    """A `redis-server` on a socket; a test may kill it, stop it for a while and start it again."""

    def __init__(self, *options, port=False):
        self.program = shutil.which("redis-server")
        assert self.program, _MISSING
        # Not the test's own folder: the path of a socket may have 107 bytes only.
        self.folder = Path(tempfile.mkdtemp(prefix="zoocache-redis-"))
        self.socket = self.folder / "socket"
        self.port = free_port() if port else 0
        self._options = options
        self._connection = None
        self.start()

    @property
    def url(self):
        return f"unix://{self.socket}"

    @property
    def tcp_url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        self.socket.unlink(missing_ok=True)
        command = [self.program, "--port", str(self.port), "--unixsocket", str(self.socket)]
        command += ["--save", "", "--appendonly", "no", "--enable-debug-command", "yes", *self._options]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)  # noqa: S603 - ours
        wait_until(self._answers)

    def _answers(self):
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            return self.ask("PING")
        except (OSError, Refused) as error:
            # One that wants a password answers, too.
            return isinstance(error, Refused)

    def kill(self):
        """Kill it with SIGKILL: what it held is gone."""
        self._drop()
        self._process.kill()
        self._process.wait(30)

    def pause(self):
        """Let it answer nobody."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self._process.pid, signal.SIGCONT)

    def end(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *command):
        """Send a command, of texts and bytes, and return the answer as bytes, numbers, lists or `None`."""
        if self._connection is None:
            self._connection = Connection(self.socket)
        try:
            return self._connection.ask(*command)
        except OSError:
            self._drop()
            raise

    def _drop(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def calls(self, name):
        """Return how often a command was called since the server began, or `CONFIG RESETSTAT`."""
        for line in self.ask("INFO", "commandstats").decode().splitlines():
            if line.startswith(f"cmdstat_{name}:"):
                return int(line.partition("calls=")[2].partition(",")[0])
        return 0

    def clients(self):
        """Return the ids of the connections of others."""
        own = self.ask("CLIENT", "ID")
        lines = self.ask("CLIENT", "LIST").decode().splitlines()
        ids = [int(line.partition("id=")[2].partition(" ")[0]) for line in lines]
        return [number for number in ids if number != own]


class Refused(Exception):
    """An error that the server answered with."""


class Connection:
    """Just enough of the protocol for tests."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def close(self):
        self._file.close()
        self._socket.close()

    def ask(self, *command):
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
        sent = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        self._socket.sendall(b"*%d\r\n%b" % (len(parts), sent))
        return self._read()

    def _read(self):
        line = self._file.readline()
        if not line:
            msg = "the server has closed the connection"
            raise ConnectionResetError(msg)
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Refused(rest.decode())
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        return None if rest == b"-1" else [self._read() for _ in range(int(rest))]

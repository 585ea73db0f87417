"""A PostgreSQL server of tests' own, in a folder of its own."""

import getpass
import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from helpers import free_port, wait_until


def programs():
    """Return the folder of the newest server that is installed, or `None`."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")  # noqa: PTH207 - sorted below
    newest = max(found, key=lambda path: int(path.split("/")[4]), default=None)
    return None if newest is None else Path(newest).parent


class Server:
    """A server that listens on a port of 127.0.0.1 and on a socket, with an empty database `postgres`.

    It cannot run as root: then it belongs to the user `postgres`. Options are those of `postgresql.conf`,
    such as `max_prepared_transactions=5`.
    """

    host = "127.0.0.1"

    def __init__(self, *options):
        self._programs = programs()
        assert self._programs, "PostgreSQL is not installed: apt-get install postgresql"
        is_root = os.geteuid() == 0
        self.user = "postgres" if is_root else getpass.getuser()
        self._as_user = ["runuser", "-u", self.user, "--"] if is_root else []
        self.folder = Path(tempfile.mkdtemp(prefix="zoocache-postgres-"))
        if is_root:
            shutil.chown(self.folder, self.user)
        self._data = self.folder / "data"
        self._run(
            "initdb",
            "--pgdata",
            self._data,
            "--auth",
            "trust",
            "--no-sync",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
        )
        self.port = free_port()
        fast = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB")
        settings = [*fast, f"port={self.port}", f"unix_socket_directories={self.folder}", *options]
        command = [*self._as_user, str(self._programs / "postgres"), "-D", str(self._data)]
        for setting in [f"listen_addresses={self.host}", *settings]:
            command += ["-c", setting]
        self._log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(command, cwd=self.folder, stdout=self._log, stderr=self._log)  # noqa: S603 - ours
        try:
            wait_until(self._answers)
        except BaseException:
            self.end()
            raise

    @property
    def url(self):
        """Where it is, as libpq and the URLs of others have it."""
        return f"postgresql://{self.user}@{self.host}:{self.port}/postgres"

    def _answers(self):
        assert self._process.poll() is None, (self.folder / "log").read_text()
        ready = [str(self._programs / "pg_isready"), "-q", "-h", self.host, "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0  # noqa: S603 - ours

    def _run(self, program, *arguments):
        command = [*self._as_user, str(self._programs / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        assert done.returncode == 0, done.stdout + done.stderr

    def end(self):
        """End it, whoever is connected, and remove its folder."""
        if self._process.poll() is None:
            self._run("pg_ctl", "stop", "--pgdata", self._data, "--mode", "immediate")
        self._process.wait(30)
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

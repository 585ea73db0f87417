"""A PostgreSQL server of the tests' own, where its programs are installed."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from django.db.backends.postgresql.psycopg_any import IsolationLevel

_FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
PROGRAMS = _FOUND[-1].parent if _FOUND else None


class Server:
    """It starts when it is asked for its settings, and listens on a socket in its folder only."""

    def __init__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="zoocache-pg-"))
        # It refuses to run as root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self._folder, "postgres")
        data = self._folder / "data"
        self._run("initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off -c max_connections=50"
        self._run("pg_ctl", "-D", data, "-o", options, "-l", self._folder / "log", "-w", "start")

    def settings(self, level=None):
        """Return an entry of `DATABASES`."""
        options = {} if level is None else {"isolation_level": IsolationLevel(level)}
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "postgres",
            "HOST": str(self._folder),
            "OPTIONS": options,
        }

    def end(self):
        self._run("pg_ctl", "-D", self._folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program, *args):
        command = [*self._as, str(PROGRAMS / program), *map(str, args)]
        # The server would keep a pipe open.
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603

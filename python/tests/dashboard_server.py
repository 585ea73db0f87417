"""`zoocache serve` as a process, as users start it."""

import os
import queue
import signal
import subprocess
import sys
import threading

from helpers import DEADLINE

TOKEN = "a-token-of-tests-only"  # noqa: S105 - no secret


class Serving:
    """A process that serves the dashboard at a port of its own."""

    def __init__(self, *options, **environment):
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in {"REDIS_URL", "ZOOCACHE_URL", "ZOOCACHE_TOKEN"}
        }
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "zoocache", "serve", "--port", "0", *map(str, options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**kept, **environment},
            # Who runs the tests in the background may have them ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing else
        )
        self.pid = self._process.pid
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.said = []
        while not self.said or " is at " not in self.said[-1]:
            line = self.line()
            assert line, self.said
            self.said.append(line)
        self.url = self.said[-1].partition(" is at ")[2].partition(";")[0]

    def line(self):
        """Return the next line that it prints; nothing if it has ended."""
        return self._lines.get(timeout=DEADLINE)

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def interrupt(self):
        """Press Ctrl-C, and return the exit code and what it printed since."""
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code, "".join(self._lines.queue)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._process.kill()
        self._process.wait()
        self._reader.join(DEADLINE)
        self._process.stdout.close()

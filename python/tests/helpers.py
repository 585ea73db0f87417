"""Waiting with a deadline, threads whose failures are not lost, free ports, and counting computations."""

import itertools
import secrets
import socket
import subprocess
import sys
import textwrap
import threading
import time

from zoocache import cacheable

#: Long enough for a busy machine; a test that works never waits for it.
DEADLINE = 30


def free_port():
    """Return a port on which nobody listens, and which the system gives to no connection meanwhile."""
    while True:
        # Below those that it gives by itself, and among so many that tests which run at once do not meet.
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(condition):
    """Wait until `condition()` is true and return what it returned."""
    end = time.monotonic() + DEADLINE
    while not (result := condition()):
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.001)
    return result


_numbers = itertools.count()


def unique():
    """Return a value that is equal to no other, and that every storage holds."""
    return f"unique {next(_numbers)}"


def wait_for(event):
    """Wait until a `threading.Event` is set."""
    assert event.wait(DEADLINE), "the event was not set in time"


class Running(threading.Thread):
    """A thread whose result or exception `result()` hands over."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self._function, self._args = function, args
        self._value = self._error = None
        self.start()

    def run(self):
        try:
            self._value = self._function(*self._args)
        except BaseException as error:  # noqa: BLE001 - for whoever asks
            self._error = error

    def result(self):
        self.join(DEADLINE)
        assert not self.is_alive(), "the thread did not end in time"
        if self._error is not None:
            raise self._error
        return self._value

    def error(self):
        self.join(DEADLINE)
        assert not self.is_alive(), "the thread did not end in time"
        return self._error


def program(source, *options):
    """Run a Python program in a process of its own and return what it printed."""
    done = run_program(source, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_program(source, *options):
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, *options, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=DEADLINE * 2,
        check=False,
    )


class Counted:
    """A cached `f(*args, **kwargs)` that says whether a call was computed."""

    def __init__(self, signature="*args, **kwargs", **options):
        self.calls = 0
        scope = {"note": self.note}
        exec(f"def f({signature}): return note()", scope)  # noqa: S102 - any signature
        self.f = cacheable(**options)(scope["f"])

    def note(self):
        self.calls += 1
        return self.calls

    def entries(self, *calls):
        """Make each call twice and return how many computations that took."""
        before = self.calls
        for _ in range(2):
            for call in calls:
                call(self.f)
        return self.calls - before

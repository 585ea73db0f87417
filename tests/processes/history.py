"""The source of truth, and the lines of history: as `host-native/tests/processes/history.rs` has them."""

import enum
import fcntl
import os
import random
import signal
import struct
import threading
import time

TAGS = 8
#: Leaves of one tag, sums of two leaves, and one list of all tags. Beyond are those that one worker puts.
KEYS = 2 * TAGS + 1
WORKERS = 8
#: Seconds after which a change counts as made.
CHANGE = 0.3
#: From here on are the keys of plain functions, and from twice this on those of async ones.
PLAIN, ASYNC = 100, 200
ABSENT = 2**32 - 1
NO_VALUE = (0, 0, (ABSENT,) * TAGS)

# Kind, beginning, end, key or tag, version, nothing; then the value: beginning, end, versions.
_RECORD = struct.Struct(f"<8Q{TAGS}I")
_VERSION = struct.Struct("<I")


class Kind(enum.IntEnum):
    HIT = 1
    COMPUTED = 2
    PROMISED = 3
    REFUSED = 4
    OVERLAPPED = 5
    ERROR = 6
    PUT = 7
    DELETED = 8
    CHANGING = 9
    CHANGED = 10
    DYING = 11


class At(enum.IntEnum):
    """Where a worker kills itself."""

    CHANGE = 0
    COMPUTATION = 1
    INVALIDATION = 2


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class History:
    """One call for each line, not buffered: what was recorded survives a kill."""

    def __init__(self, path):
        self.path = path
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def record(self, kind, from_ns, about, version=0, value=NO_VALUE):
        began_ns, ended_ns, versions = value
        line = _RECORD.pack(kind, from_ns, now_ns(), about, version, 0, began_ns, ended_ns, *versions)
        assert os.write(self._file, line) == len(line)

    def die_sometimes(self, at, one_in):
        """One time in so many, as a crash would."""
        if random.randrange(one_in) == 0:
            self.record(Kind.DYING, now_ns(), at)
            os.kill(os.getpid(), signal.SIGKILL)


class Truth:
    """A version per tag, in a file."""

    def __init__(self, path):
        self._path = path
        self._file = os.open(path, os.O_RDONLY)
        #: Held while the file is locked: a child forked meanwhile would hold the file's lock, too.
        self.writing = threading.Lock()

    def read(self, tag):
        return _VERSION.unpack(os.pread(self._file, 4, tag * 4))[0]

    def increase(self, tag):
        with self.writing:
            file = os.open(self._path, os.O_RDWR)
            try:
                # A killed process lets go of it.
                fcntl.flock(file, fcntl.LOCK_EX)
                version = self.read(tag) + 1
                os.pwrite(file, _VERSION.pack(version), tag * 4)
            finally:
                os.close(file)
            return version

"""The same tests elsewhere: `pytest --storage lmdb`, or `redis`, gives each test a place of its own.

Tests know nothing of it. `configure` and the blocks of `zoocache.testing` then mean that place unless a test
names a storage.
"""

import itertools
import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

from redis_server import Server

import zoocache
from zoocache import _settings, testing

#: What says where a cache's place is.
_PLACE = ("storage_url", "prefix")


class Storage(ABC):
    """Puts the caches of tests into places that processes could share."""

    def __init__(self):
        # Whether nobody has configured the cache but this class.
        self._is_ours = False
        self._configure, self._begin = _settings.configure, testing.isolated._begin

    def take_over(self):
        """Let tests that are imported from now on use it."""
        _settings.configure = zoocache.configure = self.configure
        begin = self._begin

        def begin_there(block):
            self._is_ours = False
            before = block._settings
            if before:
                block._settings = {**self._new(), **before}
            try:
                entered = begin(block)
            finally:
                block._settings = before
            if not before:
                self.start()
            return entered

        testing.isolated._begin = begin_there

    def start(self):
        """Configure the cache, so that a test may do it anew."""
        self._configure(**self._new())
        self._is_ours = True

    def configure(self, *args, **settings):
        if not args and "storage_url" not in settings:
            if self._is_ours:
                zoocache.reset()
                self._is_ours = False
            given = _settings._given
            there = {name: given[name] for name in _PLACE if name in given} or self._new()
            settings = {**there, **settings}
        return self._configure(*args, **settings)

    @abstractmethod
    def _new(self):
        """Return the settings of a new place."""

    @abstractmethod
    def remove(self):
        """Remove what a test has left."""

    @abstractmethod
    def end(self):
        """Remove everything."""


class Folders(Storage):
    """A folder for each test."""

    def __init__(self):
        super().__init__()
        self._folders = []

    def _new(self):
        shm = Path("/dev/shm")  # noqa: S108 - folders of our own in it, which are removed
        folder = tempfile.mkdtemp(prefix="zoocache-", dir=shm if shm.is_dir() else None)
        self._folders.append(folder)
        return {"storage_url": f"lmdb://{folder}"}

    def remove(self):
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()

    def end(self):
        self.remove()


class Prefixes(Storage):
    """A server for all tests, and a prefix for each."""

    def __init__(self):
        super().__init__()
        self._server = Server()
        self._numbers = itertools.count()

    def _new(self):
        return {"storage_url": self._server.url, "prefix": f"test-{next(self._numbers)}"}

    def remove(self):
        self._server.ask("FLUSHALL")

    def end(self):
        self._server.end()

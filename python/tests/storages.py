"""The same tests in another storage: `pytest --storage lmdb` gives each test a cache in a folder of its own.

Tests know nothing of it. `configure` and the blocks of `zoocache.testing` then mean the folder unless a test
names a storage.
"""

import shutil
import tempfile
from pathlib import Path

import zoocache
from zoocache import _settings, testing


class Folders:
    """Makes folders, and puts the caches of tests into them."""

    def __init__(self):
        self._folders = []
        # Whether nobody has configured the cache but this class.
        self._is_ours = False
        self._configure, self._begin = _settings.configure, testing.isolated._begin

    def take_over(self):
        """Let tests that are imported from now on use folders."""
        _settings.configure = zoocache.configure = self.configure
        begin = self._begin

        def begin_in_folder(block):
            self._is_ours = False
            before = block._settings
            if before:
                block._settings = {"storage_url": self._url(), **before}
            try:
                entered = begin(block)
            finally:
                block._settings = before
            if not before:
                self.start()
            return entered

        testing.isolated._begin = begin_in_folder

    def start(self):
        """Configure the cache, so that a test may do it anew."""
        self._configure(storage_url=self._url())
        self._is_ours = True

    def configure(self, *args, **settings):
        if not args and "storage_url" not in settings:
            if self._is_ours:
                zoocache.reset()
                self._is_ours = False
            settings["storage_url"] = _settings._given.get("storage_url") or self._url()
        return self._configure(*args, **settings)

    def remove(self):
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()

    def _url(self):
        shm = Path("/dev/shm")  # noqa: S108 - folders of our own in it, which are removed
        folder = tempfile.mkdtemp(prefix="zoocache-", dir=shm if shm.is_dir() else None)
        self._folders.append(folder)
        return f"lmdb://{folder}"

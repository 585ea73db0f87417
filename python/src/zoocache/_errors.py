"""The exceptions of the package; each says what is wrong and what to do about it."""

from __future__ import annotations

import warnings


class CacheError(Exception):
    """Everything that zoocache itself raises, except for what Python has a better name for."""


class ConfigError(CacheError, ValueError):
    """A setting makes no sense; the message names it."""


class InvalidTag(CacheError, ValueError):
    """A tag is not a valid path; the message says what is wrong with it."""


class SerializationError(CacheError, TypeError):
    """A value cannot be stored; the message names the path inside the value."""


class StorageError(CacheError):
    """The storage failed."""


class StorageIsFull(StorageError):
    """The storage cannot hold even one more entry."""


class BusError(CacheError):
    """The bus failed."""


class InvalidationQueued(RuntimeWarning):
    """An invalidation holds in this process, and reaches the others as soon as the server can be reached."""


class FlightTimeout(CacheError, TimeoutError):
    """Somebody else's computation took longer than `flight_timeout`."""


class Refused(Exception):
    """A value that the codec does not take, or bytes of which it does not make one."""


class Unsent(Exception):
    """What native code raises for an invalidation that could not be sent yet; no user sees it.

    Attributes:
        position: What reads of this process know of: the invalidation has no position of its own yet.
    """

    def __init__(self, text: str, position: int, is_bus: bool) -> None:
        super().__init__(text)
        self.position = position
        self._error: type[CacheError] = BusError if is_bus else StorageError

    def settle(self, *, wait: bool, stacklevel: int) -> int:
        """Warn of it, or with `wait` raise; returns the position.

        Args:
            wait: Whether the caller wants to know that the others were told.
            stacklevel: Of the warning, as if the caller of this method gave it.
        """
        if wait:
            raise self._error(str(self)) from None
        warnings.warn(str(self), InvalidationQueued, stacklevel=stacklevel + 1)
        return self.position

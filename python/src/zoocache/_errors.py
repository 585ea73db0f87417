"""The exceptions of the package; each says what is wrong and what to do about it."""

from __future__ import annotations


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


class FlightTimeout(CacheError, TimeoutError):
    """Somebody else's computation took longer than `flight_timeout`."""


class Refused(Exception):
    """A value that the codec does not take, or bytes of which it does not make one."""

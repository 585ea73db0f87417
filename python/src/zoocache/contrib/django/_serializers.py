"""What becomes of the objects in a cache: bytes, of which everybody gets an object of their own."""

from __future__ import annotations

import pickle
from typing import Any, Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

from zoocache import SerializationError, codec
from zoocache.contrib.django import _types

_SALT = "zoocache.contrib.django.pickle"


class Serializer(Protocol):
    """Makes bytes of objects and objects of bytes."""

    def dumps(self, value: Any) -> bytes: ...
    def loads(self, data: bytes) -> Any: ...


class CodecSerializer:
    """zoocache's own: bytes of it can make nothing of classes that the program does not know."""

    def dumps(self, value: Any) -> bytes:
        """Make bytes of a value.

        Raises:
            SerializationError: The value holds something that cannot be stored; the message says where.
        """
        _types.learn(value)
        try:
            return codec.dumps(value)
        except SerializationError as error:
            instead = "; a queryset's results are list(queryset)" if isinstance(value, QuerySet) else ""
            raise SerializationError(
                f"{error}{instead}; or let this cache store whatever can be pickled: "
                'OPTIONS={"SERIALIZER": "pickle"}'
            ) from None

    def loads(self, data: bytes) -> Any:
        """Make a value of bytes.

        Raises:
            SerializationError: The bytes are damaged or hold a class that is not known.
        """
        _types.learn_models()
        return codec.loads(data)


class PickleSerializer:
    """Whatever can be pickled. What leaves the process is authenticated before it is unpickled.

    Args:
        leaves_process: Whether others could write what is read.
    """

    def __init__(self, *, leaves_process: bool) -> None:
        self._leaves_process = leaves_process

    def dumps(self, value: Any) -> bytes:
        """Make bytes of a value; raises what `pickle` does."""
        pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        return codec.dumps(pickled, secret=_secret()) if self._leaves_process else pickled

    def loads(self, data: bytes) -> Any:
        """Make a value of bytes.

        Raises:
            SerializationError: They are forged, or of classes that are not there any more.
        """
        pickled = codec.loads(data, secret=_secret()) if self._leaves_process else data
        try:
            return pickle.loads(pickled)  # noqa: S301 - made by this program, as the secret says
        except Exception as error:
            # Unpickling raises whatever the classes of another version of the program do.
            raise SerializationError(f"cannot unpickle: {type(error).__name__}: {error}") from error


def of(given: Any, *, leaves_process: bool) -> Serializer:
    """Return the serializer that OPTIONS["SERIALIZER"] names.

    Args:
        given: `"codec"`, `"pickle"`, the dotted path of a class, a class, an object with `dumps` and
            `loads`, or `None`: `"pickle"` for what stays in the process, `"codec"` for what does not.
        leaves_process: Whether others could read and write it.

    Raises:
        ImproperlyConfigured: It is none of these.
    """
    if given is None:
        given = "codec" if leaves_process else "pickle"
    if given == "codec":
        return CodecSerializer()
    if given == "pickle":
        return PickleSerializer(leaves_process=leaves_process)
    if isinstance(given, str):
        try:
            given = import_string(given)
        except ImportError as error:
            raise ImproperlyConfigured(
                f'SERIALIZER must be "codec", "pickle" or the dotted path of a class, not {given!r}: {error}'
            ) from error
    serializer: Serializer = given() if isinstance(given, type) else given
    if not callable(getattr(serializer, "dumps", None)) or not callable(getattr(serializer, "loads", None)):
        raise ImproperlyConfigured(f"SERIALIZER must have the methods dumps and loads; {given!r} has not")
    return serializer


def _secret() -> bytes:
    return salted_hmac(_SALT, "", secret=settings.SECRET_KEY, algorithm="sha256").digest()

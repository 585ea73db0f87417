"""Responses as they rest in the cache, and what HTTP says about serving them again.

Terms and rules are those of RFC 9110 (validators, conditional requests) and RFC 9111 (caching).
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from zoocache import register_type

if TYPE_CHECKING:
    from collections.abc import Iterable

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class StoredResponse:
    """A response without what belongs to one request only. Header names are in lower case."""

    status: int
    headers: tuple[Header, ...]
    body: bytes
    #: The entity tag with its quotes; `None` if it has none.
    etag: bytes | None = None
    #: What a proxy may be told to purge it by, as far as that fits into a header.
    purge_keys: tuple[str, ...] | None = ()
    #: When it was made, in seconds since 1970.
    made_at: float = 0.0
    #: Seconds it may be kept; `None` for as long as the cache likes.
    ttl: float | None = None
    #: Whether the program answered with a response of its own, to which nothing is added.
    is_whole: bool = False

    def value_of(self, name: bytes) -> bytes | None:
        """Return the value of a header."""
        return next((value for known, value in self.headers if known == name), None)


register_type(StoredResponse)


#: Statuses that RFC 9110 §15.1 lets caches keep, but for 206, which is a part of something.
_KEPT = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
#: Those that the program may keep, since it says so. Errors of the server and of credentials are not kept.
_KEPT_TOO = frozenset({201, 202, 205, 226, 302, 303, 307, 400, 406, 409, 422})


def may_be_shared(status: int, headers: Iterable[Header]) -> bool:
    """Whether others may get a response that was made for one request.

    Not if it sets a cookie, forbids it with `no-store`, or reports an error that passes.
    """
    if status not in _KEPT and status not in _KEPT_TOO:
        return False
    return not any(
        name == b"set-cookie"
        or (name == b"cache-control" and b"no-store" in value.lower())
        or (name == b"vary" and value.strip() == b"*")
        for name, value in headers
    )


def says_private(headers: Iterable[Header]) -> bool:
    """Whether a response says that it is for one user: `Cache-Control: private`."""
    return any(name == b"cache-control" and b"private" in value.lower() for name, value in headers)


def varies_on(headers: Iterable[Header]) -> frozenset[bytes]:
    """Return the names of the request headers that a response says it depends on, in lower case."""
    fields = [
        field.strip().lower() for name, value in headers if name == b"vary" for field in value.split(b",")
    ]
    return frozenset(field for field in fields if field)


def etag_of(status: int, headers: Iterable[Header], body: bytes, *, weak: bool = False) -> bytes | None:
    """Make an entity tag that differs for bodies that differ; `None` unless the status is 200."""
    if status != 200:  # noqa: PLR2004 - what conditional requests are about
        return None
    digest = hashlib.blake2b(body, digest_size=16)
    for name, value in headers:
        if name in (b"content-type", b"content-encoding", b"content-language"):
            digest.update(b"\0" + name + b"\0" + value)
    return (b'W/"' if weak else b'"') + digest.hexdigest().encode() + b'"'


def is_matched(if_none_match: bytes | str | None, etag: bytes | None) -> bool:
    """Whether a client that sends `If-None-Match` has what the entity tag names: RFC 9110 §13.1.2."""
    if not if_none_match or etag is None:
        return False
    given = if_none_match.encode("latin-1", "replace") if isinstance(if_none_match, str) else if_none_match
    if given.strip() == b"*":
        return True
    # Our tags hold no comma; a foreign one that does is cut to pieces that are not equal to ours.
    return any(tag.strip().removeprefix(b"W/") == etag.removeprefix(b"W/") for tag in given.split(b","))


Outcome = Literal["hit", "miss", "stale"]


def age(stored: StoredResponse) -> int:
    """How long ago a response was made, in whole seconds: RFC 9111 §5.1."""
    return max(0, int(time.time() - stored.made_at))


def merged_vary(headers: Iterable[Header], more: Iterable[bytes]) -> bytes | None:
    """Return a `Vary` that names what the one in the headers does, and more; `None` for none."""
    named: dict[bytes, bytes] = {}
    for name, value in headers:
        if name == b"vary":
            named.update(
                (field.strip().lower(), field.strip()) for field in value.split(b",") if field.strip()
            )
    for field in more:
        named.setdefault(field.lower(), field)
    return b", ".join(named.values()) or None


#: What a 304 repeats of the response that it stands for: RFC 9110 §15.4.5, and what proxies purge by.
KEPT_IN_304 = frozenset(
    {b"cache-control", b"content-location", b"date", b"etag", b"expires", b"vary", b"age", b"x-cache"}
    | {b"surrogate-key", b"cache-tag", b"set-cookie", b"access-control-allow-origin"}
)

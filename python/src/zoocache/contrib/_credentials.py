"""Whose response it is: what a request says of who asks, as a digest that tells nobody who that is."""

from __future__ import annotations

import functools
import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Names of headers, and of parameters in a query, that say who asks, where a program may read any of them.
#: `X-Request-Id` does not.
_SAYS_WHO = re.compile(
    r"auth|cookie|token|user|session|api[-_]?key|secret|ident|account|tenant|customer|member|client[-_]?id|principal|jwt"
    r"|credential|signature|oidc|mail|passw|group|role|scope|permission|organi[sz]ation|workspace|company|^x-org$"
    r"|client[-_]?(?:cert|dn|s-dn|subject)|mtls|^key$|^host$|^x-forwarded-host$"
)


@functools.lru_cache(maxsize=1024)
def says_who(name: bytes) -> bool:
    """Whether a request header or a parameter of a query, named in lower case, may say who asks."""
    return name != b"user-agent" and _SAYS_WHO.search(name.decode("latin-1")) is not None


def digest(parts: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return a digest of names and values, the same in any order; `None` if there are none.

    BLAKE2b with 128 bits: nobody can make two that are equal, or read a token from it.
    """
    state = None
    for name, value in sorted(parts):
        if state is None:
            state = hashlib.blake2b(digest_size=16)
        state.update(b"%d:%b%d:%b" % (len(name), name, len(value), value))
    return None if state is None else state.hexdigest()


def found_in(scope: Any) -> list[tuple[bytes, bytes]]:
    """Return what else than headers of an ASGI scope says who asks: its query, and what middlewares found."""
    found: list[tuple[bytes, bytes]] = []
    for part in scope.get("query_string", b"").split(b"&"):
        written, _, value = part.partition(b"=")
        name = unquote_to_bytes(written).lower()
        if says_who(name):
            found.append((b"?" + name, value))
    if (known := _identity(scope.get("user"))) is not None:
        found.append((b"user", known))
    # Of one session, another user may have logged in.
    if isinstance(session := scope.get("session"), Mapping) and session:
        found.append((b"session", repr(sorted(session.items())).encode("utf-8", "surrogatepass")))
    return found


def _identity(user: Any) -> bytes | None:
    """What names the user whom a middleware has found, if it can be told."""
    if isinstance(user, Mapping):
        user = user.get("id", user.get("sub"))
    name = getattr(user, "id", user)
    if not isinstance(name, (str, int, uuid.UUID)):
        return None
    return f"{type(name).__name__}:{name}".encode("utf-8", "surrogatepass")

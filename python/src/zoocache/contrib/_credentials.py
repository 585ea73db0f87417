"""Whose response it is: what a request says of who asks, as a digest that tells nobody who that is."""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Names of headers, and of parameters in a query, that say who asks, where a program may read any of them.
#: `X-Request-Id` does not.
_SAYS_WHO = re.compile(
    r"auth|cookie|token|user|session|api[-_]?key|secret|ident|account|tenant|customer|member|client[-_]?id|principal|jwt"
    r"|credential|signature|oidc|mail|passw|forwarded-groups|^key$|^host$|^x-forwarded-host$"
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

"""Whose response it is: what requests say of who asks, and what responses show of one user only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.functional import empty

from zoocache.contrib._credentials import digest as digest_of
from zoocache.contrib._credentials import says_who

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Headers that are in the key otherwise, or say nothing in spite of their names.
_ELSEWHERE = {b"host", b"x-forwarded-host", b"cookie", b"sec-fetch-user"}


def asks(request: Any) -> str | None:
    """Return a digest of what says who asks; `None` for a request that says nothing of it.

    These are cookies, but for that of the CSRF token, whose use keeps a response from being stored;
    credentials; users that middlewares have found; and a server's REMOTE_USER.
    """
    parts: list[tuple[str, Any]] = [
        (f"cookie {name}", value)
        for name, value in request.COOKIES.items()
        if name != settings.CSRF_COOKIE_NAME
    ]
    for name, value in request.META.items():
        header = name.removeprefix("HTTP_").replace("_", "-").lower().encode("latin-1", "replace")
        if name.startswith("HTTP_") and header not in _ELSEWHERE and says_who(header):
            parts.append((name, value))
    parts.append(("REMOTE_USER", request.META.get("REMOTE_USER")))
    parts.append(("user", _user(request)))
    return digest(part for part in parts if part[1] is not None)


def digest(parts: Iterable[tuple[str, Any]]) -> str | None:
    """Return a digest of names and values, from which neither can be read; `None` if there are none."""
    return digest_of(
        (name.encode("utf-8", "surrogatepass"), repr(value).encode("utf-8", "surrogatepass"))
        for name, value in parts
    )


def known_user(request: Any) -> Any:
    """Return the user whom somebody has looked at already; `None` if nobody has, or it is nobody."""
    # That of REST framework has a request in it, and tells it of its user.
    user = vars(getattr(request, "_request", request)).get("user")
    # To look at one that nobody has looked at would use the session.
    if user is None or getattr(user, "_wrapped", None) is empty:
        return None
    return user if getattr(user, "is_authenticated", False) else None


def _user(request: Any) -> str | None:
    user = known_user(request)
    return None if user is None else f"{type(user).__qualname__} {user.pk!r}"


def uses_session(request: Any) -> bool:
    """Whether the session was looked at."""
    return bool(getattr(getattr(request, "session", None), "accessed", False))


def in_session(request: Any) -> str | None:
    """Return a digest of what is in the session; `None` for a request that has none."""
    session = getattr(request, "session", None)
    if session is None:
        return None
    return digest((str(name), value) for name, value in session.items())


def is_personal(request: Any, response: Any) -> bool:
    """Whether a response belongs to its request: it changes the session, shows a CSRF token or messages."""
    messages = getattr(request, "_messages", None)
    return bool(
        getattr(getattr(request, "session", None), "modified", False)
        or request.META.get("CSRF_COOKIE_NEEDS_UPDATE")
        or getattr(messages, "used", False)
        or getattr(messages, "added_new", False)
        or response.cookies
    )

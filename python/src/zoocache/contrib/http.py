"""HTTP caching of cached endpoints: what browsers and proxies are told. The same for every framework."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from zoocache import ConfigError
from zoocache.contrib._http import age, merged_vary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zoocache.contrib._http import Header, Outcome, StoredResponse

__all__ = ["HttpCaching", "purge_keys"]

#: What Fastly documents for `Surrogate-Key`, and Cloudflare for `Cache-Tag`: bytes of one key, bytes of all.
_LONGEST_KEY, _LONGEST_HEADER = 1024, 16_384
_SEPARATORS = {"surrogate-key": " ", "cache-tag": ","}


@dataclass(frozen=True)
class HttpCaching:
    """What a cached endpoint tells browsers and proxies.

    Args:
        max_age: Seconds (or a `timedelta`) for which a client may use the response without asking; with the
            default 0 it asks each time, and gets a 304 if nothing has changed. No invalidation reaches a
            browser, so this is how stale it may be.
        shared_max_age: The same for proxies (`s-maxage`), which can be told to purge; see `purge_keys`.
        etag: `"strong"`: equal tags mean equal bytes. `"weak"`, where a middleware compresses responses.
            `None` for no tag, and no 304.
        tag_headers: Names what the response depends on, for proxies that purge by it: `"surrogate-key"`
            (Fastly, Varnish), `"cache-tag"` (Cloudflare, Akamai), or both.
        x_cache: Whether `X-Cache: hit`, `miss` or `stale` says where the response came from.

    Raises:
        ConfigError: An argument makes no sense; a `ValueError` that names it.
    """

    max_age: float | timedelta = 0
    shared_max_age: float | timedelta | None = None
    etag: Literal["strong", "weak"] | None = "strong"
    tag_headers: Sequence[Literal["surrogate-key", "cache-tag"]] = ()
    x_cache: bool = True

    def __post_init__(self) -> None:
        _seconds("max_age", self.max_age)
        if self.shared_max_age is not None:
            _seconds("shared_max_age", self.shared_max_age)
        if self.etag not in ("strong", "weak", None):
            raise ConfigError(f'etag must be "strong", "weak" or None, not {self.etag!r}')
        if isinstance(self.tag_headers, str) or not set(self.tag_headers) <= _SEPARATORS.keys():
            known = ", ".join(map(repr, _SEPARATORS))
            raise ConfigError(f"tag_headers must be a list of some of {known}, not {self.tag_headers!r}")

    @classmethod
    def of(cls, given: HttpCaching | bool) -> HttpCaching | None:
        """Read the option `http` of an endpoint.

        Raises:
            ConfigError: It is neither `HttpCaching` nor a `bool`.
        """
        if isinstance(given, HttpCaching):
            return given
        if not isinstance(given, bool):
            raise ConfigError(f"http must be True, False or an HttpCaching(...), not {given!r}")
        return cls() if given else None

    def headers(
        self, stored: StoredResponse, outcome: Outcome, *, is_private: bool, vary: Iterable[bytes] = ()
    ) -> list[Header]:
        """Return the headers that are sent with a response beside its own; what it sets itself stays.

        Args:
            stored: The response.
            outcome: Where it came from.
            is_private: Whether it is for one user only.
            vary: Names of the request headers that it depends on.
        """
        told = {name for name, _ in stored.headers}
        tags = self._tag_headers(stored)
        found: list[Header] = []
        if b"cache-control" not in told:
            found.append((b"cache-control", self._private if is_private or tags is None else self._public))
        if stored.etag is not None and b"etag" not in told:
            found.append((b"etag", stored.etag))
        if (both := merged_vary(stored.headers, vary)) is not None:
            found.append((b"vary", both))
        if outcome != "miss":
            found.append((b"age", b"%d" % age(stored)))
        if self.x_cache:
            found.append((b"x-cache", outcome.encode()))
        return found + (tags or [])

    @functools.cached_property
    def _private(self) -> bytes:
        return self._cache_control(is_private=True)

    @functools.cached_property
    def _public(self) -> bytes:
        return self._cache_control(is_private=False)

    def _cache_control(self, *, is_private: bool) -> bytes:
        max_age = _seconds("max_age", self.max_age)
        words = ["private" if is_private else "public"]
        words.append(f"max-age={max_age}" if max_age else "no-cache")
        if self.shared_max_age is not None and not is_private:
            # `no-cache` would bind proxies, too.
            words[1] = f"max-age={max_age}"
            words.append(f"s-maxage={_seconds('shared_max_age', self.shared_max_age)}")
        return ", ".join(words).encode()

    def _tag_headers(self, stored: StoredResponse) -> list[Header] | None:
        """The headers that name what to purge by; `None` if they would be too long to say all of it."""
        found: list[Header] = []
        for name in self.tag_headers:
            keys = stored.purge_keys
            value = None if keys is None else _SEPARATORS[name].join(keys)
            if value is None or len(value) > _LONGEST_HEADER:
                return None
            if value:
                found.append((name.encode(), value.encode("ascii")))
        return found


def _seconds(name: str, given: float | timedelta) -> int:
    value = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**31:
        raise ConfigError(f"{name} must be seconds from 0 to below 2**31, or a timedelta, not {given!r}")
    return int(value)


def purge_keys(*tags: str) -> list[str]:
    """Return what a proxy must purge when these tags are invalidated.

    A response that depends on `shop:7:stock` is purged by `shop`, by `shop:7` and by `shop:7:stock`; one that
    depends on the subtree `shop:*` also by what lies in it. To purge whatever this process invalidates, give
    `on_invalidate` a function that passes `purge_keys(*tags)` to the proxy's interface.
    """
    found: dict[str, None] = {}
    for tag in tags:
        levels = tag.removesuffix(":*").split(":")
        found[_key(":".join(levels))] = None
        for depth in range(1, len(levels) + 1):
            found[_key(":".join([*levels[:depth], "*"]))] = None
    return list(found)


def keys_of(dependencies: Iterable[str]) -> tuple[str, ...] | None:
    """Return the keys by which a response with these dependencies is found; `None` if that is too much.

    For a tag: itself and all above it, since invalidating any of them makes it stale. For a subtree also its
    own key, which `purge_keys` names for everything in it.
    """
    found: dict[str, None] = {}
    for tag in sorted(dependencies):
        levels = tag.removesuffix(":*").split(":")
        for depth in range(1, len(levels) + 1):
            found[_key(":".join(levels[:depth]))] = None
        if tag.endswith(":*"):
            found[_key(tag)] = None
    too_long = any(len(key) > _LONGEST_KEY for key in found)
    return None if too_long or sum(map(len, found)) > _LONGEST_HEADER else tuple(found)


def _key(tag: str) -> str:
    """A tag in the letters that such headers may hold; a percent sign of its own is written as one, too."""
    return quote(tag, safe=":*_-./@+=~")

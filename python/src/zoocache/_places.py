"""Where entries rest, and the bus, as `configure` is told of them: URLs and prefixes.

No message shows more of a URL than its scheme: the rest may hold credentials.
"""

from __future__ import annotations

import os

from zoocache._errors import ConfigError

LMDB = "lmdb://"
_SERVERS = (
    "redis://",
    "rediss://",
    "unix://",
    "redis+unix://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+cluster://",
    "rediss+cluster://",
)
#: The longest name of a folder, in bytes, on every file system of Linux.
_LONGEST_NAME = 255


def storage(url: object) -> str | None:
    """Check a `storage_url` and write it as it is compared: `None` for memory, and an absolute path.

    Raises:
        ConfigError: It is none.
    """
    if url is None or url == "memory://":
        return None
    if not isinstance(url, str):
        msg = f"storage_url must be a str, not {type(url).__name__}"
        raise ConfigError(msg)
    scheme, separator, rest = url.partition("://")
    if scheme == "lmdb" and separator:
        if not rest or "\0" in rest:
            msg = 'storage_url lmdb:// needs the path of a folder; write storage_url="lmdb://./cache"'
            raise ConfigError(msg)
        return LMDB + os.path.abspath(rest)  # noqa: PTH100 - links stay: they may be moved on purpose
    if scheme == "memory" and separator:
        msg = 'storage_url memory:// takes nothing after it; write storage_url="memory://"'
        raise ConfigError(msg)
    if _is_server(url):
        return url
    msg = (
        f"storage_url has an unknown scheme ({_scheme(url)}); known are memory://, lmdb://PATH and "
        f"redis://HOST:PORT ({', '.join(_SERVERS[1:])} too)"
    )
    raise ConfigError(msg)


def bus_of(url: object, storage_url: str | None) -> str | None:
    """Check a `bus_url`; `None` where there is nothing for it to do."""
    if url is None:
        return None
    if not isinstance(url, str):
        msg = f"bus_url must be a str, not {type(url).__name__}"
        raise ConfigError(msg)
    if not _is_server(url):
        msg = f"bus_url has an unknown scheme ({_scheme(url)}); known are {', '.join(_SERVERS)}"
        raise ConfigError(msg)
    if storage_url is None:
        return url
    if storage_url.startswith(LMDB):
        msg = (
            "bus_url has no meaning with storage_url lmdb://: the folder tells its processes of "
            "invalidations, and other machines do not see it; leave bus_url out, or use the server as "
            "storage_url"
        )
        raise ConfigError(msg)
    if url != storage_url:
        msg = (
            "bus_url and storage_url are two servers: the one that holds the entries also tells of "
            "invalidations; leave bus_url out"
        )
        raise ConfigError(msg)
    return None


def _is_server(url: str) -> bool:
    return url.startswith(_SERVERS)


def _scheme(url: str) -> str:
    """Show nothing of a URL but its scheme: the rest, and what is none, may hold credentials."""
    scheme, separator, _ = url.partition("://")
    is_scheme = separator and scheme.replace("+", "").isalnum()
    return f"{scheme}://" if is_scheme else "a text without a scheme"


def application(prefix: str) -> str:
    """Name the folder of an application."""
    # It takes its time to import, which is not for programs without a prefix.
    import urllib.parse  # noqa: PLC0415

    # Only letters, digits, "_" and "-" stay as they are: it is no path, and none of the folders' own names.
    quoted = urllib.parse.quote(_encodable(prefix), safe="", errors="strict")
    name = "app-" + quoted.replace(".", "%2E").replace("~", "%7E")
    if len(name) > _LONGEST_NAME:
        msg = (
            f"prefix is too long to name a folder: {prefix[:50]!r}... makes {len(name)} bytes of at most "
            f"{_LONGEST_NAME}"
        )
        raise ConfigError(msg)
    return name


def _encodable(prefix: str) -> str:
    try:
        prefix.encode()
    except UnicodeEncodeError:
        msg = f"prefix must not hold lone surrogates: {prefix!r}"
        raise ConfigError(msg) from None
    return prefix


def on_server(prefix: str | None) -> str:
    if prefix is None:
        return "zoocache"
    _encodable(prefix)
    return prefix

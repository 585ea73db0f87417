"""The execution option `cached`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta


@dataclass(frozen=True)
class Cached:
    """How a statement is cached: `select(User).execution_options(cached=Cached(ttl="10m"))`.

    `cached=True` is `cached=Cached()`, and `cached={"ttl": 60}` is `cached=Cached(ttl=60)`.

    Attributes:
        ttl: How long until the rows expire: seconds, a `timedelta`, a text such as `"10m"`; `None` for the
            `default_ttl` of the cache.
        tags: What the rows depend on beside the tables in the statement: those of views, functions of the
            database and text. A statement with text in it needs them; `()` says that it reads nothing else.
        key: What else the rows depend on, such as a tenant that is a setting of the connection.
    """

    ttl: float | timedelta | str | None = None
    tags: Iterable[str] | None = None
    key: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.tags, str):
            raise exc.ArgumentError(f"tags must be a list of tags, not the text {self.tags!r}")


_DEFAULT = Cached()


def option(value: Any) -> Cached | None:
    """Return what the value of the option means.

    Raises:
        ArgumentError: It means nothing.
    """
    if value is None or value is False:
        return None
    if value is True:
        return _DEFAULT
    if isinstance(value, Cached):
        return value
    if isinstance(value, Mapping):
        try:
            return Cached(**value)
        except TypeError:
            unknown = ", ".join(repr(name) for name in value if name not in {"ttl", "tags", "key"})
            raise exc.ArgumentError(f"the option cached= knows ttl, tags and key, not {unknown}") from None
    raise exc.ArgumentError(f"the option cached= needs True, False, a dict or Cached(...), not {value!r:.80}")

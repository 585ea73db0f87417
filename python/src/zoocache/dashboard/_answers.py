"""Answers as JSON."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from zoocache.inspect import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping


class Json(Response):
    """Records as JSON, in ASCII: no text of a user appears as it is."""

    media_type = "application/json"

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(as_json(content), status, headers)


class Refusal(Exception):
    """A request that is not answered; the message says what would be."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, headers


def as_json(content: Any) -> bytes:
    """The bytes of some records."""
    return json.dumps(to_json(content), allow_nan=False, separators=(",", ":")).encode("ascii")


def now() -> str:
    """The time here: the clock of a browser may differ."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")

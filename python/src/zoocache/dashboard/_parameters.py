"""What requests may ask for, and how much of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from zoocache.dashboard._answers import Refusal
from zoocache.inspect.records import STATES

if TYPE_CHECKING:
    from starlette.requests import Request

#: Bytes of a text in an address, and of the body of an action.
MOST_TEXT, MOST_BODY = 16 * 1024, 64 * 1024


def text(request: Request, name: str) -> str | None:
    """A text; `None` if it was not given."""
    given = request.query_params.get(name)
    if given is not None and len(given) > MOST_TEXT:
        raise Refusal(400, f"{name} may have {MOST_TEXT} characters, not {len(given)}")
    return given


def needed(request: Request, name: str) -> str:
    """A text that must be given."""
    given = text(request, name)
    if given is None:
        raise Refusal(400, f"{name} is missing: {request.url.path}?{name}=...")
    return given


def number(request: Request, name: str, otherwise: int, most: int) -> int:
    """A number from 1 to `most`."""
    given = text(request, name)
    if given is None:
        return otherwise
    if not (given.isascii() and given.isdigit() and len(given) <= len(str(most)) and 1 <= int(given) <= most):
        raise Refusal(400, f"{name} must be a number from 1 to {most}, not {given[:80]!r}")
    return int(given)


def state(request: Request) -> Any:
    """A state of entries; `None` for any."""
    given = text(request, "state")
    if given is not None and given not in STATES:
        raise Refusal(400, f"state must be one of {', '.join(STATES)}, not {given[:80]!r}")
    return given


async def body(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings."""
    told = request.headers.get("content-length", "0")
    # Whoever tells no length may still send too much.
    received = b""
    # Servers check it, but not all of them; `int` takes no more than 4300 digits.
    if not (told.isascii() and told.isdigit()) or (len(told) < 20 and int(told) <= MOST_BODY):  # noqa: PLR2004
        async for part in request.stream():
            received += part
            if len(received) > MOST_BODY:
                break
        else:
            return _object(received)
    raise Refusal(413, f"a request may bring {MOST_BODY} bytes at most")


def _object(received: bytes) -> dict[str, Any]:
    try:
        found = json.loads(received or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise Refusal(400, f"the body must be a JSON object, not {type(found).__name__}")
    return found

"""Durations as users write them, in the milliseconds that native code takes."""

from __future__ import annotations

import math
from datetime import timedelta

from zoocache._errors import ConfigError

#: Longer than any process lives; larger durations mean this one instead of overflowing.
_LONGEST_MS = 2**62


def milliseconds(name: str, duration: float | timedelta, *, allow_zero: bool = False) -> int:
    """Check a duration in seconds and convert it to whole milliseconds, rounded up.

    Args:
        name: The parameter, for the message.
        duration: Seconds, or a `timedelta`.
        allow_zero: Whether 0 makes sense here.

    Returns:
        Milliseconds; a huge duration is cut to one that never overflows.

    Raises:
        ConfigError: The duration is negative, zero where that makes no sense, or not a number.
    """
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif isinstance(duration, (int, float)) and not isinstance(duration, bool):
        seconds = duration
    else:
        msg = (
            f"{name} must be a number of seconds or a timedelta, not {type(duration).__name__}: {duration!r}"
        )
        raise ConfigError(msg)
    if not seconds >= 0 or (seconds == 0 and not allow_zero):
        least = "at least 0" if allow_zero else "greater than 0"
        msg = f"{name} must be {least}, not {duration!r}"
        raise ConfigError(msg)
    if seconds >= _LONGEST_MS / 1000:
        return _LONGEST_MS
    return math.ceil(seconds * 1000)

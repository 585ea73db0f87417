"""Durations as users write them, in the milliseconds that native code takes."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from zoocache._errors import ConfigError

#: Longer than any process lives; larger durations mean this one instead of overflowing.
_LONGEST_MS = 2**62


#: The longest text of a duration, in characters.
_LONGEST_TEXT = 64
#: The units of durations written as text, in seconds.
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PART = r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)"
_TEXT = re.compile(rf"\s*(?:{_PART}\s*)+", re.ASCII)


def milliseconds(name: str, duration: float | timedelta | str, *, allow_zero: bool = False) -> int:
    """Check a duration and convert it to whole milliseconds, rounded up.

    Args:
        name: The parameter, for the message.
        duration: Seconds, a `timedelta`, or a text such as `"90s"`, `"10m"` or `"1h30m"`.
        allow_zero: Whether 0 makes sense here.

    Returns:
        Milliseconds; a huge duration is cut to one that never overflows.

    Raises:
        ConfigError: The duration is negative, zero where that makes no sense, or not a number.
    """
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif isinstance(duration, str):
        seconds = _seconds(name, duration)
    elif isinstance(duration, (int, float)) and not isinstance(duration, bool):
        seconds = duration
    else:
        msg = (
            f'{name} must be a number of seconds, a timedelta or a text such as "10m", '
            f"not {type(duration).__name__}: {duration!r}"
        )
        raise ConfigError(msg)
    if not seconds >= 0 or (seconds == 0 and not allow_zero):
        least = "at least 0" if allow_zero else "greater than 0"
        msg = f"{name} must be {least}, not {duration!r}"
        raise ConfigError(msg)
    if seconds >= _LONGEST_MS / 1000:
        return _LONGEST_MS
    return math.ceil(seconds * 1000)


def _seconds(name: str, text: str) -> float:
    if len(text) > _LONGEST_TEXT or _TEXT.fullmatch(text) is None:
        msg = (
            f'{name} must be written as "90s", "10m" or "1h30m", with the units {", ".join(_UNITS)}, '
            f"not {text[:_LONGEST_TEXT]!r}"
        )
        raise ConfigError(msg)
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))

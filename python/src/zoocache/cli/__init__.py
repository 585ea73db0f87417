"""The command `zoocache`: looks at the caches of running programs, from outside."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command of `sys.argv`, and end the process with its exit code."""
    try:
        import click  # noqa: F401, PLC0415 - only to see whether it is there
    except ImportError as error:
        sys.stderr.write(f"zoocache needs click here: {error}; to install it: pip install 'zoocache[cli]'\n")
        raise SystemExit(1) from None
    from zoocache.cli._commands import commands  # noqa: PLC0415

    commands(prog_name="zoocache")

"""`zoocache cli`: a live monitor in the terminal. It needs textual, of the extra `cli`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoocache.cli.monitor._app import Monitor

if TYPE_CHECKING:
    from zoocache.inspect import Inspector


def run(inspector: Inspector) -> None:
    """Show a cache until the user quits; the inspector stays open.

    Raises:
        SystemExit: It failed; what happened is printed.
    """
    monitor = Monitor(inspector)
    monitor.run()
    if monitor.return_code:
        raise SystemExit(monitor.return_code)


__all__ = ["Monitor", "run"]

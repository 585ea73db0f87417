"""What an integration says when its framework is not installed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def extra(name: str, needed: str, module: str | None = None) -> Iterator[None]:
    """Make a block of the imports from a framework, whose failure names the extra that installs it.

    Args:
        name: The extra.
        needed: What it installs, as its users call it.
        module: Who needs it; `zoocache.contrib.{name}` if not given.

    Raises:
        ImportError: The framework is not installed, or too old.
    """
    try:
        yield
    except ImportError as error:
        module = module or f"zoocache.contrib.{name}"
        msg = f"{module} needs {needed}: {error}; to install it: pip install 'zoocache[{name}]'"
        raise ImportError(msg, name=error.name, path=error.path) from error

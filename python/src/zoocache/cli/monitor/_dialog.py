"""`Dialog`: what the screens over the tabs have in common.

The keys that close one come before others (`priority`), so that it is gone before the next key is given to
anything: keys that wait for a screen that is being removed are lost with it.
"""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

_Result = TypeVar("_Result")


class Dialog(ModalScreen[_Result]):
    """A screen over the tabs, until it is closed."""

    def dismiss(self, result: _Result | None = None) -> AwaitComplete:
        """Close it; a second time, as by a click right before a key, does nothing."""
        return super().dismiss(result) if self.is_current else AwaitComplete()

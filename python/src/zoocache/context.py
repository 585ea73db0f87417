"""What the code that is running depends on so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoocache import _native
from zoocache._context import CURRENT

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

__all__ = ["DepsTracker", "get_current_deps", "keep_private"]


def get_current_deps() -> frozenset[str] | None:
    """Return the tags that the innermost running computation has used so far; `None` outside of one.

    The implicit tags of cached functions (`f.tag`) are among them.
    """
    tags = _native.current_deps()
    return None if tags is None else frozenset(tags)


def keep_private() -> None:
    """Keep the result of the running computation for its caller alone; outside of one it does nothing.

    It is not stored, and whoever waits for it computes by himself. So are the results of the computations
    around it. That is for what others must not see, such as what a transaction has written and not committed.
    """
    _native.keep_private()


class DepsTracker:
    """Collects the tags that cached calls and `add_deps` use inside its block.

    with DepsTracker() as tracker:
        product(42)
    tracker.deps  # {"product:42", product.tag}

    What is used inside counts for a computation around the block, too. A tracker serves one block.
    """

    def __init__(self) -> None:
        self._tracking: _native.Tracking | None = None
        self._outer: Token[object] | None = None
        self._deps: frozenset[str] = frozenset()

    @property
    def deps(self) -> frozenset[str]:
        """The tags used so far; after the block, all of them."""
        return self._deps if self._tracking is None else frozenset(self._tracking.tags())

    def __enter__(self) -> DepsTracker:  # noqa: PYI034 - `Self` is not in Python 3.10
        """Begin to collect.

        Raises:
            RuntimeError: It is collecting already.
        """
        if self._outer is not None:
            msg = "this DepsTracker is in use; make one for each block"
            raise RuntimeError(msg)
        self._tracking = _native.Tracking()
        self._outer = CURRENT.set(self._tracking.frame())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End collecting."""
        tracking, outer = self._tracking, self._outer
        if tracking is None or outer is None:
            return
        self._deps, self._tracking, self._outer = frozenset(tracking.tags()), None, None
        tracking.end()
        CURRENT.reset(outer)

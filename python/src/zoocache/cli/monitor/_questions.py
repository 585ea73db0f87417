"""Asking the inspector without keeping the user waiting: in threads, whose answers reach the app later.

The threads are daemons: a storage that does not answer keeps nobody from quitting.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from zoocache.inspect.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

    from zoocache.inspect import Inspector

_T = TypeVar("_T")

#: Seconds that a question may still take when the user quits.
_PATIENCE = 3.0


class Questions:
    """Asks what views want to know, one after another."""

    def __init__(self, inspector: Inspector) -> None:
        """Begin with none.

        Args:
            inspector: Whom to ask.
        """
        #: What could not be found out lately, and why.
        self.trouble: str | None = None
        self.inspector = inspector
        self._app: App[None] | None = None
        self._asked: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._latest: dict[str, object] = {}
        self._thread = threading.Thread(target=self._answer, name="zoocache-questions", daemon=True)

    def start(self, app: App[None]) -> None:
        """Answer from now on, in the loop of an app."""
        self._app = app
        self._thread.start()

    def end(self) -> None:
        """Answer nothing more."""
        self._latest.clear()
        self._asked.put(None)
        self._thread.join(_PATIENCE)

    def ask(
        self,
        name: str,
        question: Callable[[Inspector], _T],
        then: Callable[[_T], None],
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Ask something.

        Args:
            name: A question replaces one of the same name that has not been answered yet.
            question: What asks the inspector; it runs in the thread.
            then: What gets the answer.
            failed: What gets the reason if there is none.
        """
        mark = object()
        self._latest[name] = mark

        def answer() -> None:
            if self._latest.get(name) is not mark:
                return
            try:
                found = question(self.inspector)
            except Exception as error:  # noqa: BLE001 - whatever it is, the user is told and goes on
                text = str(error) or type(error).__name__
                self._tell(name, mark, text, failed, text)
            else:
                self._tell(name, mark, None, then, found)

        self._asked.put(answer)

    def _answer(self) -> None:
        while (asked := self._asked.get()) is not None:
            asked()

    def _tell(
        self, name: str, mark: object, trouble: str | None, then: Callable[[Any], None], what: Any
    ) -> None:
        def told() -> None:
            if self._latest.get(name) is mark:
                self.trouble = trouble
                then(what)

        tell(self._app, told)


class Watcher:
    """Looks at the cache again and again."""

    def __init__(self, inspector: Inspector, pause: float) -> None:
        """Begin.

        Args:
            inspector: Whom to ask.
            pause: Seconds between two looks.
        """
        self.watch = Watch(inspector)
        #: When the last look ended, on the monotonic clock.
        self.looked = time.monotonic()
        self._trouble: str | None = None
        self._pause = pause
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, app: App[None], then: Callable[[], None]) -> None:
        """Look from now on, and let an app know."""
        self._thread = threading.Thread(
            target=self._look, args=(app, then), name="zoocache-watcher", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    @property
    def trouble(self) -> str | None:
        """What could not be found out at the last look, and why."""
        return self._trouble or self.watch.trouble

    def _look(self, app: App[None], then: Callable[[], None]) -> None:
        while True:
            try:
                self.watch.look()
                self._trouble = None
            except Exception as error:  # noqa: BLE001 - whatever it is, the user is told and goes on
                self._trouble = str(error) or type(error).__name__
            self.looked = time.monotonic()
            tell(app, then)
            if self._ended.wait(self._pause):
                return


def tell(app: App[None] | None, what: Callable[[], None]) -> None:
    """Let something run in the loop of an app, from another thread."""
    if app is None:
        return

    def told() -> None:
        # One that is closing has no widgets any more.
        if app.is_running:
            what()

    try:
        app.call_later(told)
    except RuntimeError:
        # Its loop has ended meanwhile.
        return

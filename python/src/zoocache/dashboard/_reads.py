"""What can be asked for; none of it changes anything."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.routing import Route

import zoocache
from zoocache._errors import CacheError
from zoocache.dashboard import _parameters as parameters
from zoocache.dashboard._answers import Json, Refusal, now
from zoocache.dashboard._threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from zoocache.dashboard._source import Source
    from zoocache.inspect.records import Value

_R = TypeVar("_R")

#: Entries of a page at most, and if nothing is said.
_MOST_ENTRIES, _ENTRIES = 500, 50
#: Tags of a level, those with the most entries.
_MOST_BRANCHES = 500
#: Characters of a value that are shown.
_MOST_VALUE = 256 * 1024
#: What looks at every entry is asked again only after so many times as long as it took, and so many seconds.
_REST, _LEAST_REST = 10, 2.0
#: Answers that are kept for others who ask the same.
_MOST_KEPT = 200
#: A value that takes no more seconds to read is read whenever it is asked for.
_CHEAP = 0.1


class Reads:
    """Answers questions about a cache."""

    def __init__(self, source: Source, *, has_actions: bool) -> None:
        self._source, self._has_actions = source, has_actions
        # What looks at every entry waits for others that do; nothing else waits for it.
        self._threads, self._scans, self._costly = Threads(), Threads(), _Costly(_LEAST_REST)
        self._values = _Costly(0, cheap=_CHEAP)

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/api/about", self._about),
            Route("/api/tree", self._tree),
            Route("/api/entries", self._entries),
            Route("/api/entry", self._entry),
            Route("/api/affected", self._affected),
        ]

    async def _about(self, _request: Request) -> Json:
        return Json({"version": zoocache.__version__, "actions": self._has_actions, "now": now()})

    async def _tree(self, request: Request) -> Json:
        tag = parameters.text(request, "tag") or None

        def look() -> Any:
            branches = self._source.inspector().tree(tag)
            largest = sorted(branches, key=lambda branch: (-branch.entries, branch.tag))[:_MOST_BRANCHES]
            return {"tag": tag, "branches": largest, "left_out": len(branches) - len(largest)}

        found, took = await self._scans.run(self._costly.ask, ("tree", tag), look)
        return Json({**found, "took": took, "now": now()})

    async def _affected(self, request: Request) -> Json:
        tag = parameters.needed(request, "tag")
        # Never what was counted before: somebody decides by it.
        look = lambda: self._source.inspector().affected(tag)  # noqa: E731
        count = await self._scans.run(self._costly.alone, look)
        return Json({"tag": tag, "affected": count})

    async def _entries(self, request: Request) -> Json:
        given = {
            "prefix": parameters.text(request, "prefix") or "",
            "tag": parameters.text(request, "tag") or None,
            "state": parameters.state(request),
            "cursor": parameters.text(request, "cursor") or None,
            "limit": parameters.number(request, "limit", _ENTRIES, _MOST_ENTRIES),
        }

        def look() -> Any:
            try:
                return self._source.inspector().entries(**given)
            except ValueError as error:
                raise Refusal(400, str(error)) from error

        if given["tag"] is None and given["state"] is None:
            page = await self._threads.run(look)
        else:
            page = await self._scans.run(self._costly.alone, look)
        return Json({"entries": page.entries, "cursor": page.cursor, "now": now()})

    async def _entry(self, request: Request) -> Json:
        found = await self._threads.run(self._look_at, parameters.needed(request, "key"))
        return Json({**found, "now": now()})

    def _look_at(self, key: str) -> dict[str, Any]:
        inspector = self._source.inspector()
        explanation = inspector.explain(key)
        told: dict[str, Any] = {"explanation": explanation, "value": None, "bytes": None, "cut": False}
        if explanation.state == "absent":
            return {**told, "value_trouble": "there is no such entry"}
        try:
            shown, _ = self._values.ask(key, lambda: _shown(inspector.value(key)))
        except KeyError:
            return {**told, "value_trouble": "it was removed meanwhile"}
        except CacheError as error:
            return {**told, "value_trouble": str(error)}
        return {**told, **shown, "value_trouble": None}


def _shown(value: Value) -> dict[str, Any]:
    """What is shown of a value."""
    # As a text: numbers of any size stay what they are. No more of it is made than is shown.
    length, parts = 0, []
    for part in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value.value):
        parts.append(part)
        length += len(part)
        if length > _MOST_VALUE:
            break
    return {"value": "".join(parts)[:_MOST_VALUE], "bytes": value.bytes, "cut": length > _MOST_VALUE}


class _Costly:
    """Asks for what costs much one at a time, and keeps each answer for a while."""

    def __init__(self, least: float, cheap: float = 0.0) -> None:
        """Begin.

        Args:
            least: Seconds for which an answer is kept at least.
            cheap: Seconds that an answer may take that is not kept at all.
        """
        self._least, self._cheap = least, cheap
        self._lock = threading.Lock()
        self._kept: dict[Any, tuple[float, Any, float]] = {}

    def alone(self, look: Callable[[], _R]) -> _R:
        """Tell the answer as it is now, when it is its turn."""
        with self._lock:
            return look()

    def ask(self, question: Any, look: Callable[[], Any]) -> tuple[Any, float]:
        """Tell the answer, which may be some seconds old, and how many seconds it took."""
        with self._lock:
            began = time.monotonic()
            self._kept = {asked: kept for asked, kept in self._kept.items() if kept[0] > began}
            if question not in self._kept:
                answer = look()
                ended = time.monotonic()
                took = ended - began
                if took < self._cheap:
                    return answer, took
                if len(self._kept) >= _MOST_KEPT:
                    self._kept.clear()
                self._kept[question] = (ended + max(self._least, _REST * took), answer, took)
            _, answer, took = self._kept[question]
            return answer, took

"""What can be asked for; none of it changes anything."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

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


class Reads:
    """Answers questions about a cache."""

    def __init__(self, source: Source, *, has_actions: bool) -> None:
        self._source, self._has_actions = source, has_actions
        self._threads, self._costly = Threads(), _Costly()

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

        found, took = await self._threads.run(self._costly.ask, ("tree", tag), look)
        return Json({**found, "took": took, "now": now()})

    async def _affected(self, request: Request) -> Json:
        tag = parameters.needed(request, "tag")
        # Never what was counted before: somebody decides by it.
        count = await self._threads.run(lambda: self._source.inspector().affected(tag))
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

        page = await self._threads.run(look)
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
            value = inspector.value(key)
        except KeyError:
            return {**told, "value_trouble": "it was removed meanwhile"}
        except CacheError as error:
            return {**told, "value_trouble": str(error)}
        # As a text: numbers of any size stay what they are.
        shown = json.dumps(value.value, indent=2, ensure_ascii=False)
        told.update(value=shown[:_MOST_VALUE], bytes=value.bytes, cut=len(shown) > _MOST_VALUE)
        return {**told, "value_trouble": None}


class _Costly:
    """Asks for what looks at every entry one at a time, and keeps each answer for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Any, tuple[float, Any, float]] = {}

    def ask(self, question: Any, look: Callable[[], Any]) -> tuple[Any, float]:
        """Tell the answer, which may be some seconds old, and how many seconds it took."""
        with self._lock:
            began = time.monotonic()
            self._kept = {asked: kept for asked, kept in self._kept.items() if kept[0] > began}
            if question not in self._kept:
                answer = look()
                ended = time.monotonic()
                took = ended - began
                if len(self._kept) >= _MOST_KEPT:
                    self._kept.clear()
                self._kept[question] = (ended + max(_LEAST_REST, _REST * took), answer, took)
            _, answer, took = self._kept[question]
            return answer, took

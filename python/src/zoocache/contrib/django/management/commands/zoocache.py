"""`manage.py zoocache`: looks into a cache, and invalidates."""

from __future__ import annotations

import dataclasses
import json
from argparse import SUPPRESS
from typing import TYPE_CHECKING, Any

from django.core.cache import InvalidCacheBackendError, caches
from django.core.management.base import BaseCommand, CommandError

import zoocache
from zoocache.contrib.django._settings import store_of

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from zoocache.contrib.django._store import Store


class Command(BaseCommand):
    """Counters, invalidation and explanations of a cache."""

    help = (
        "Looks into the application's default zoocache, or one of settings.CACHES, and invalidates. A cache "
        "in memory is each process's own: this command sees an empty one, and no other process hears of it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what the command takes."""
        _add_common(parser, cache=None, as_json=False)
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        actions.add_parser("stats", help="print the counters and sizes")
        invalidate = actions.add_parser("invalidate", help="make everything that depends on tags stale")
        invalidate.add_argument("tags", nargs="+", metavar="TAG")
        actions.add_parser("clear", help="make everything stale")
        prune = actions.add_parser("prune", help="forget tags that nothing needs")
        prune.add_argument("--max-age", type=float, default=3600, metavar="SECONDS")
        explain = actions.add_parser("explain", help="say why an entry is fresh or stale")
        explain.add_argument("key", metavar="KEY", help="a key of the alias, or of zoocache itself")
        affected = actions.add_parser("affected", help="count what `invalidate TAG` would make stale")
        affected.add_argument("tag", metavar="TAG")
        for action in actions.choices.values():
            # After the action, too; what is not given there leaves what was given before it.
            _add_common(action, cache=SUPPRESS, as_json=SUPPRESS)

    def handle(self, *_args: Any, **options: Any) -> str:
        """Do one of the actions and return what is printed."""
        alias = options["cache"]
        try:
            store = store_of(alias)
            found = getattr(self, f"_{options['action']}")(store, options)
        except InvalidCacheBackendError as error:
            raise CommandError(f"--cache: {error}") from error
        except zoocache.CacheError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            return json.dumps(found["data"], default=str)
        return str(found["text"])

    def _stats(self, store: Store, _options: dict[str, Any]) -> dict[str, Any]:
        stats = store.cache.stats()
        return {"data": stats, "text": "\n".join(f"{name}: {count}" for name, count in stats.items())}

    def _invalidate(self, store: Store, options: dict[str, Any]) -> dict[str, Any]:
        position = store.cache.invalidate(*options["tags"])
        text = f"invalidated {', '.join(options['tags'])} at position {position}"
        return {"data": {"tags": options["tags"], "position": position}, "text": text}

    def _clear(self, store: Store, options: dict[str, Any]) -> dict[str, Any]:
        # Without an alias the cache of the application is meant, not only what Django keeps in it.
        (store if options["cache"] else store.cache).clear()
        return {"data": {"cleared": True}, "text": "cleared"}

    def _prune(self, store: Store, options: dict[str, Any]) -> dict[str, Any]:
        count = store.cache.prune(options["max_age"])
        return {"data": {"forgotten": count}, "text": f"forgot {count} tags"}

    def _explain(self, store: Store, options: dict[str, Any]) -> dict[str, Any]:
        key = options["key"]
        if options["cache"]:
            key = caches[options["cache"]].entry_key(key)
        explanation = store.cache.explain(key)
        return {"data": dataclasses.asdict(explanation), "text": explanation}

    def _affected(self, store: Store, options: dict[str, Any]) -> dict[str, Any]:
        count = store.cache.affected(options["tag"])
        return {"data": {"affected": count}, "text": f"{count} entries depend on {options['tag']}"}


def _add_common(parser: ArgumentParser, *, cache: Any, as_json: Any) -> None:
    parser.add_argument(
        "--cache", metavar="ALIAS", default=cache, help="an alias of settings.CACHES; default: zoocache's"
    )
    parser.add_argument("--json", action="store_true", default=as_json, help="print JSON")

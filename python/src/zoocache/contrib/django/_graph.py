# ruff: noqa: SLF001 - Django documents `_meta` and `_state`
"""An instance with everything that is loaded of it, as a part of a key.

What is made of an instance is made of this, and of what is read from the database meanwhile. An instance
that was changed and not saved, or loaded before others changed it, therefore has a key of its own.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from decimal import Decimal
from typing import Any

from django.core.files import File
from django.db.models import Manager, Model, QuerySet

from zoocache.codec import dumps
from zoocache.contrib.django.tags import model_tag, normal_key, row_tag, subtrees

#: What stands for itself.
_PLAIN = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        str,
        bytes,
        Decimal,
        uuid.UUID,
        dt.date,
        dt.datetime,
        dt.time,
        dt.timedelta,
    }
)
#: What `_instance` describes apart from the other attributes.
_APART = {"_state", "_prefetched_objects_cache"}
#: With more rows of a model than this, a result depends on the model.
_MOST_ROWS = 50


class Graph:
    """What is loaded of instances, and its tags."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._instances: list[Model] = []
        self._lists: set[str] = set()

    def describe(self, value: Any) -> Any:  # noqa: PLR0911 - one case a type
        """Return a value that tells apart whatever the value holds, of types that `digest` takes."""
        if type(value) in _PLAIN:
            return value
        if isinstance(value, Model):
            return self._instance(value)
        if isinstance(value, File):
            return "file", value.name
        if isinstance(value, QuerySet):
            return self._list(value.model, value)
        if type(value) in {list, tuple, set, frozenset}:
            return type(value).__name__, [self.describe(item) for item in value]
        if type(value) is dict:
            return "dict", [(key, self.describe(item)) for key, item in value.items()]
        return value

    def _instance(self, instance: Model) -> Any:
        if id(instance) in self._seen:
            return "seen", self._seen[id(instance)]
        self._seen[id(instance)] = len(self._seen)
        self._instances.append(instance)
        state = instance._state
        held = {
            name: value if type(value) in _PLAIN else self.describe(value)
            for name, value in vars(instance).items()
            if name not in _APART
        }
        cached = [(name, self.describe(value)) for name, value in sorted(state.fields_cache.items())]
        prefetched = [
            (name, self._list(found.model if isinstance(found, QuerySet) else None, found))
            for name, found in sorted(getattr(instance, "_prefetched_objects_cache", {}).items())
        ]
        label = f"{type(instance).__module__}.{type(instance).__qualname__}"
        return label, state.db, state.adding, held, cached, prefetched

    def _list(self, model: Any, found: Any) -> Any:
        if model is not None:
            self._lists.add(model_tag(model))
        return [self.describe(item) for item in (found.all() if isinstance(found, Manager) else found)]

    def tags(self) -> list[str]:
        """Return what everything depends on that is made of it."""
        rows: dict[str, set[str]] = {}
        for instance in self._instances:
            for model in (type(instance), *instance._meta.get_parent_list()):
                key = vars(instance).get(model._meta.pk.attname)
                if key is not None:
                    label = model_tag(model)
                    rows.setdefault(label, set()).add(row_tag(label, normal_key(model, key)))
        many = {label for label, tags in rows.items() if len(tags) > _MOST_ROWS} | self._lists
        return sorted(set().union(*(rows[label] for label in rows.keys() - many))) + subtrees(many)


def digest(described: Any) -> str:
    """Return a text that is the same for equal values of the same types only.

    Raises:
        SerializationError: A value has no stable encoding.
    """
    return hashlib.blake2b(dumps(described), digest_size=32).hexdigest()

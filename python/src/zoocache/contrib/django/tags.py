# ruff: noqa: SLF001 - Django documents `_meta` and `_state`
"""The tags of models and of their rows."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import TYPE_CHECKING, Any

from django.db.models import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What a segment may hold of a key as it is: dots neither at its ends nor next to each other. `%` begins an
#: escape, so it stands for nothing else.
_ESCAPED = re.compile(r"[^A-Za-z0-9_\-/@+=~.]|^\.|\.$|\.(?=\.)")
_LONGEST_TAG = 256


def model_tag(model: type[Model] | Model) -> str:
    """Return the tag of a model, `"app_label.model_name"`: everything that was read from its table.

    A proxy has the tag of the model whose table it uses.

    Args:
        model: A model class, or an instance of one.

    Raises:
        TypeError: It is neither.
    """
    if not isinstance(model, Model) and not (isinstance(model, type) and issubclass(model, Model)):
        msg = f"model_tag() takes a model or an instance of one, not {type(model).__name__}: {model!r}"
        raise TypeError(msg)
    meta = model._meta
    if meta.abstract:
        msg = f"{model.__name__} is abstract: it has no rows; name the models that derive from it"
        raise TypeError(msg)
    label: str = meta.concrete_model._meta.label_lower
    return label


def instance_tag(instance: Model) -> str:
    """Return the tag of an instance, `"app_label.model_name:pk"`, which lies below that of its model.

    Characters that a tag must not hold are written as `%` and their hexadecimal UTF-8 bytes.

    Args:
        instance: An instance that has a primary key.

    Raises:
        TypeError: It is no instance of a model.
        ValueError: It has no primary key yet.
    """
    if not isinstance(instance, Model):
        msg = f"instance_tag() takes an instance of a model, not {type(instance).__name__}: {instance!r}"
        raise TypeError(msg)
    if instance.pk is None:
        msg = f"this {instance._meta.label} has no primary key yet, so it has no tag; save it first"
        raise ValueError(msg)
    return row_tag(model_tag(instance), normal_key(type(instance), instance.pk))


def instance_tags(value: Any) -> list[str]:
    """Return the tags of an instance, and of what it inherits from; none of anything else."""
    value = getattr(value, "_wrapped", value)
    if not isinstance(value, Model) or value.pk is None:
        return []
    parents = {
        row_tag(model_tag(parent), normal_key(parent, getattr(value, parent._meta.pk.attname)))
        for parent in value._meta.get_parent_list()
    }
    return sorted(parents | {instance_tag(value)})


def row_tag(label: str, key: object) -> str:
    """Return the tag of the row of a model whose primary key is `key`."""
    segment = _ESCAPED.sub(_escape, str(key)) or "%"
    tag = f"{label}:{segment}"
    if len(tag) > _LONGEST_TAG:
        # No escape begins like this.
        tag = f"{label}:%h{hashlib.blake2b(segment.encode(), digest_size=20).hexdigest()}"
    return tag


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def normal_key(model: type[Model], key: Any) -> Any:
    """Return a primary key as the database has it: an instance may hold `"1"` where that has 1."""
    field = model._meta.pk
    while field is not None and field.remote_field is not None:
        field = field.target_field
    return key if field is None or isinstance(key, tuple) else field.to_python(key)


def is_plain_key(key: object) -> bool:
    """Whether databases and Python agree on which keys are equal.

    They do not on texts (collations), on decimals and on times.
    """
    return type(key) in {int, uuid.UUID}


def subtrees(labels: Iterable[str]) -> list[str]:
    """Return the dependencies on anything of these models."""
    return [f"{label}:*" for label in sorted(labels)]

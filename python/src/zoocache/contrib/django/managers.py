# ruff: noqa: SLF001 - Django documents `_meta` and `_state`
"""The manager whose querysets are cached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core import checks
from django.db import models
from django.db.models.signals import class_prepared

from zoocache.contrib.django import _hooks  # noqa: F401 - Django is hooked as soon as there is a manager
from zoocache.contrib.django._reads import Caching, caching_all, caching_of, mark, rows_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

__all__ = ["ZooCacheManager", "ZooCacheQuerySet"]


class ZooCacheQuerySet(models.QuerySet):
    """A queryset that reads from the cache what was read before and has not changed.

    Its results are those of a plain one. Methods that write read from the database.
    """

    def __init__(self, model: Any = None, query: Any = None, using: Any = None, hints: Any = None) -> None:
        super().__init__(model, query, using, hints)
        if query is None:
            mark(self.query, Caching())

    def _prefetch_related_objects(self) -> None:
        with caching_all(caching_of(self.query)):
            super()._prefetch_related_objects()

    def _uncached(self) -> Any:
        clone = self._chain()
        mark(clone.query, None)
        return clone

    def get_or_create(self, defaults: Any = None, **kwargs: Any) -> Any:
        """Do what Django's does, with the database."""
        return models.QuerySet.get_or_create(self._uncached(), defaults, **kwargs)

    get_or_create.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> Any:
        """Do what Django's does, with the database."""
        self._result_cache = None
        return models.QuerySet.delete(self._uncached())

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class ZooCacheManager(models.Manager.from_queryset(ZooCacheQuerySet)):  # type: ignore[misc]
    """A manager of cached querysets, to stand beside a plain one.

        class Product(models.Model):
            cached = ZooCacheManager()

        Product.cached.filter(price__lt=5)  # read once, until a product changes
        Product.objects.filter(price__lt=5)  # read from the database each time

    Args:
        ttl: How long results are kept, as for `zoocache.cacheable`; until something changes if not given.
        prefix: Keeps the results of this manager apart from those of others. A function is asked at each
            query: for databases that give different rows to different tenants for the same SQL.
        ensure_objects_manager: Whether a model that has no other manager gets `objects`, a plain one, as it
            does without any; it is the default manager then.

    Raises:
        ConfigError: `ttl` makes no sense.
        TypeError: `prefix` is neither a str nor a function.
    """

    def __init__(
        self,
        *,
        ttl: float | str | timedelta | None = None,
        prefix: str | Callable[[], str] | None = None,
        ensure_objects_manager: bool = True,
    ) -> None:
        given: Any = prefix
        if given is not None and not isinstance(given, str) and not callable(given):
            msg = (
                f"prefix must be a str or a function that returns one, not {type(given).__name__}: {given!r}"
            )
            raise TypeError(msg)
        rows_for(ttl)
        super().__init__()
        self._caching = Caching(ttl, prefix)
        self._ensures_objects = ensure_objects_manager

    @classmethod
    def from_queryset(cls, queryset_class: Any, class_name: str | None = None) -> Any:
        """Make a manager class with the methods of a queryset class derived from `ZooCacheQuerySet`."""
        if not issubclass(queryset_class, ZooCacheQuerySet):
            msg = f"{queryset_class.__qualname__} must derive from ZooCacheQuerySet, or nothing is cached"
            raise TypeError(msg)
        return super().from_queryset(queryset_class, class_name)

    def get_queryset(self) -> Any:
        """Return a cached queryset of all rows."""
        queryset = super().get_queryset()
        mark(queryset.query, self._named()._caching)
        return queryset

    def _named(self) -> ZooCacheManager:
        """Return the manager of the model that the manager of a relation is made like."""
        if self.name is not None:
            return self
        # Django makes it of the class alone.
        alike = (
            m
            for m in self.model._meta.managers
            if isinstance(m, ZooCacheManager) and isinstance(self, type(m))
        )
        return next(alike, self)

    def check(self, **kwargs: Any) -> Any:
        """Refuse to be what Django itself saves and refreshes instances with."""
        errors = super().check(**kwargs)
        if self.model._meta.base_manager_name == self.name:
            errors.append(
                checks.Error(
                    f"{self.model._meta.label}.{self.name} caches and cannot be the base manager.",
                    hint="Leave Meta.base_manager_name out: instances are refreshed from the database.",
                    obj=self.model,
                    id="zoocache.E001",
                )
            )
        return errors


def _ensure_objects(sender: Any, **_signal: Any) -> None:
    managers = sender._meta.managers
    if not managers or hasattr(sender, "objects"):
        return
    if all(isinstance(manager, ZooCacheManager) and manager._ensures_objects for manager in managers):
        objects = models.Manager()
        objects.auto_created = True
        # The first manager is the default one.
        objects.creation_counter = min(manager.creation_counter for manager in managers) - 1
        sender.add_to_class("objects", objects)


class_prepared.connect(_ensure_objects, dispatch_uid="zoocache")

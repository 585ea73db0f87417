# ruff: noqa: SLF001 - Django documents `_meta` and `_state`
"""REST framework serializers whose representations are cached."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.exceptions import SuspiciousOperation
from django.db import connections
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import get_language

import zoocache
from zoocache.contrib.django import (
    _hooks,  # noqa: F401 - Django is hooked as soon as there is a serializer
)
from zoocache.contrib.django._database import in_transaction, sees_latest
from zoocache.contrib.django._graph import Graph, digest
from zoocache.contrib.django._who import in_session
from zoocache.contrib.django._writes import models_written
from zoocache.contrib.django.conf import configure_from_settings
from zoocache.contrib.django.tags import instance_tags

try:
    from rest_framework.relations import Hyperlink
    from rest_framework.serializers import BaseSerializer, ListSerializer
except ImportError as error:
    _msg = (
        f"zoocache.contrib.django's serializers need REST framework: {error}; pip install djangorestframework"
    )
    raise ImportError(_msg, name=error.name, path=error.path) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

__all__ = [
    "BaseCacheableSerializerMixin",
    "CacheableListSerializerMixin",
    "CacheableSerializerMixin",
    "cacheable_serializer",
]

_ABSENT = object()
#: What a serializer is made with that the key has otherwise.
_NOT_KEPT = {"instance", "data", "context", "many", "child", "allow_empty", "max_length", "min_length"}

# In a folder or on a server: a link and the name of what it leads to.
zoocache.register_type(
    Hyperlink, encode=lambda link: [str.__str__(link), link.name], decode=lambda pair: Hyperlink(*pair)
)


class _Options(NamedTuple):
    """What `cacheable_serializer` is given."""

    ttl: float | str | timedelta | None = None
    context: tuple[str, ...] | None = None
    query_params: tuple[str, ...] | None = None
    shared: bool = False


class _NotCached(Exception):
    """Nobody could say whom a representation is for, or which host its links name."""


@functools.cache
def _representations(ttl: float | str | timedelta | None) -> Any:
    """Return the cached function of all representations with this lifetime."""

    def representation(call: _Call, *key: object) -> Any:  # noqa: ARG001 - the key is what identifies the call
        return call.compute()

    return zoocache.cacheable(
        representation,
        namespace="zoocache.contrib.django",
        ttl=ttl,
        ignore=("call",),
        copy="deep",
        on_unserializable="return",
    )


class _Call:
    """A representation that is asked for."""

    def __init__(self, serializer: Any, instance: Model, original: Callable[[Any], Any]) -> None:
        self._serializer, self._instance, self._original = serializer, instance, original
        self._graph = Graph()

    def key(self, owner: type, around: str) -> tuple[object, ...]:
        """Return all that the representation is made of, as far as it is there already."""
        return owner, type(self._serializer), around, digest(self._graph.describe(self._instance))

    def compute(self) -> Any:
        result = self._original(self._instance)
        zoocache.add_deps([*self._graph.tags(), *_user_tags(self._serializer)])
        return result

    def plain(self) -> Any:
        return self._original(self._instance)


def _around(serializer: Any, options: _Options) -> str:
    """Return what a representation depends on beside the instance.

    Raises:
        SerializationError: Something in it cannot be part of a key.
        _NotCached: The user, or the host, is not known.
    """
    context = serializer.context
    request, view = context.get("request"), context.get("view")
    names = set(context) - {"request", "view"} if options.context is None else set(options.context)
    graph = Graph()
    parent = serializer.parent
    # Fields that were taken out, or put in, before the first use.
    fields = vars(serializer).setdefault("_zoocache_fields", tuple(vars(serializer).get("fields", ())))
    kept = {name: value for name, value in serializer._kwargs.items() if name not in _NOT_KEPT}
    around = (
        None if parent is None else (_name(parent), serializer.field_name),
        fields,
        graph.describe(kept),
        graph.describe(list(serializer._args[2:])),
        graph.describe([(name, context.get(name)) for name in sorted(names)]),
        None if view is None else (_name(view), getattr(view, "action", None), graph.describe(_kwargs(view))),
        None if request is None else _request(request, options),
        get_language(),
        timezone.get_current_timezone_name(),
    )
    return digest(around)


def _name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _kwargs(view: Any) -> dict[str, Any]:
    return dict(getattr(view, "kwargs", None) or {})


def _request(request: Any, options: _Options) -> tuple[object, ...]:
    if options.query_params is None:
        params: object = request.META.get("QUERY_STRING", "")
    else:
        params = [(name, request.GET.getlist(name)) for name in sorted(options.query_params)]
    # Links begin with scheme and host, and have the version of the API in them.
    place = request.scheme, _host(request), request.method, str(getattr(request, "version", None))
    return (*place, params, *((None, None) if options.shared else (_user(request), _session(request))))


def _session(request: Any) -> str | None:
    # What visitors who have not logged in have put into their baskets, say.
    session = getattr(request, "session", None)
    if session is None or not (session.accessed or session.session_key):
        return None
    return in_session(request)


def _host(request: Any) -> str:
    try:
        host: str = request.get_host()
    except (SuspiciousOperation, KeyError) as error:
        # Whoever asks for it will be told.
        raise _NotCached from error
    return host


def _user(request: Any) -> object:
    user = getattr(request, "user", None)
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    if user.pk is None:
        raise _NotCached
    return _name(user), user.pk


def _user_tags(serializer: Any) -> list[str]:
    # What it may see can depend on its groups.
    return instance_tags(getattr(serializer.context.get("request"), "user", None))


def _may_store() -> bool | None:
    """Whether the cache may be used: `None` if not at all, `False` if it must not be filled."""
    may_store = True
    for connection in connections.all(initialized_only=True):
        if in_transaction(connection):
            if models_written(connection):
                return None
            may_store = may_store and sees_latest(connection)
    return may_store


def _represent(calls: list[_Call], serializer: Any, owner: type, options: _Options) -> list[Any]:
    """Return the representations of several instances, from the cache in one round trip."""
    may_store = _may_store()
    if may_store is None:
        return [call.plain() for call in calls]
    try:
        around = _around(serializer, options)
        keys = [call.key(owner, around) for call in calls]
    except (_NotCached, zoocache.SerializationError):
        return [call.plain() for call in calls]
    configure_from_settings()
    function = _representations(options.ttl)
    if may_store:
        if len(calls) == 1:
            return [function(calls[0], *keys[0])]
        return list(function.many([(call, *key) for call, key in zip(calls, keys, strict=True)]))
    texts = [function.key(call, *key) for call, key in zip(calls, keys, strict=True)]
    found = zoocache.get_many(texts)
    return [found[text] if text in found else call.plain() for text, call in zip(texts, calls, strict=True)]


def _can_be_cached(instance: Any) -> bool:
    return isinstance(instance, Model) and instance.pk is not None and not instance._state.adding


class BaseCacheableSerializerMixin:
    """Caches what `to_representation` returns for saved instances of models.

    Attributes:
        cache_ttl: How long a representation is kept, as for `zoocache.cacheable`.
        cache_context: Entries of the context that the representation depends on; `None` for all of them.
        cache_query_params: Parameters of the query that it depends on; `None` for all of them.
        cache_shared: Whether it is the same for all users.
    """

    cache_ttl: float | str | timedelta | None = None
    cache_context: Iterable[str] | None = None
    cache_query_params: Iterable[str] | None = None
    cache_shared: bool = False

    def to_representation(self, instance: Any) -> Any:
        """Return the representation of an instance, from the cache if it is there."""
        original = super().to_representation  # type: ignore[misc]
        if not _can_be_cached(instance):
            return original(instance)
        call = _Call(self, instance, original)
        return _represent([call], self, BaseCacheableSerializerMixin, self._cache_options())[0]

    def _cache_options(self) -> _Options:
        return _checked(self.cache_ttl, self.cache_context, self.cache_query_params, shared=self.cache_shared)

    def _represent_all(self, instances: list[Any]) -> list[Any]:
        if type(self).to_representation is not BaseCacheableSerializerMixin.to_representation:
            # A class that derives from it does something more.
            return [self.to_representation(instance) for instance in instances]
        original = super().to_representation  # type: ignore[misc]
        calls = [_Call(self, instance, original) for instance in instances]
        return _represent(calls, self, BaseCacheableSerializerMixin, self._cache_options())


class CacheableListSerializerMixin:
    """Gets the representations of a list from the cache in one round trip, if the child's are cached."""

    child: Any

    def to_representation(self, data: Any) -> Any:
        """Return the representations of all instances."""
        represent = getattr(self.child, "_represent_all", None)
        if represent is None:
            return super().to_representation(data)  # type: ignore[misc]
        items = list(data.all() if hasattr(data, "get_queryset") else data)
        if not all(map(_can_be_cached, items)):
            return [self.child.to_representation(item) for item in items]
        return represent(items)


class CacheableSerializerMixin(BaseCacheableSerializerMixin):
    """The same with lists: with `many=True` all representations come in one round trip."""

    @classmethod
    def many_init(cls, *args: Any, **kwargs: Any) -> Any:
        """Make the serializer of a list."""
        return _with_list(super().many_init(*args, **kwargs))  # type: ignore[misc]


def _with_list(serializer: Any) -> Any:
    if isinstance(serializer, ListSerializer) and not isinstance(serializer, CacheableListSerializerMixin):
        list_class: Any = type(serializer)
        serializer.__class__ = _list_class(list_class)
    return serializer


@functools.cache
def _list_class(cls: type) -> type:
    return type(cls.__name__, (CacheableListSerializerMixin, cls), {"__module__": cls.__module__})


def _checked(ttl: Any, context: Any, query_params: Any, *, shared: bool) -> _Options:
    _representations(ttl)
    names = {"context": context, "query_params": query_params}
    for name, given in names.items():
        if isinstance(given, str):
            msg = f"{name} must be an iterable of names, not the single string {given!r}; write [{given!r}]"
            raise TypeError(msg)
    chosen = {name: None if given is None else tuple(given) for name, given in names.items()}
    return _Options(ttl, chosen["context"], chosen["query_params"], shared)


def cacheable_serializer(
    cls: Any = None,
    *,
    ttl: float | str | timedelta | None = None,
    context: Iterable[str] | None = None,
    query_params: Iterable[str] | None = None,
    shared: bool = False,
) -> Any:
    """Cache the representations that a serializer class makes of saved instances.

    A representation is kept for the instance with all that is loaded of it, the user, the language, the time
    zone, the view, the query and the context. It is stale as soon as anything changes that was read for it.

    Args:
        cls: The class; the decorator can be used with and without parentheses.
        ttl: How long a representation is kept, as for `zoocache.cacheable`.
        context: Entries of the context that it depends on, beside the request and the view. All of them if
            not given; one that cannot be part of a key then means that nothing is cached.
        query_params: Parameters of the query that it depends on. The whole query if not given.
        shared: Whether it is the same for all users.

    Returns:
        The class.

    Raises:
        TypeError: It is no serializer class.
        ConfigError: `ttl` makes no sense.
    """
    options = _checked(ttl, context, query_params, shared=shared)
    if cls is None:
        return functools.partial(
            cacheable_serializer,
            ttl=ttl,
            context=options.context,
            query_params=options.query_params,
            shared=shared,
        )
    if not isinstance(cls, type) or not issubclass(cls, BaseSerializer) or issubclass(cls, ListSerializer):
        msg = f"cacheable_serializer decorates a serializer class of REST framework, not {cls!r}"
        raise TypeError(msg)
    cached: Any = cls
    original, many_init = cached.to_representation, cached.many_init.__func__

    @functools.wraps(original)
    def to_representation(self: Any, instance: Any) -> Any:
        if not _can_be_cached(instance):
            return original(self, instance)
        return _represent([_Call(self, instance, functools.partial(original, self))], self, cls, options)[0]

    def represent_all(self: Any, instances: list[Any]) -> list[Any]:
        if type(self).to_representation is not to_representation:
            # A class that derives from it does something more.
            return [self.to_representation(instance) for instance in instances]
        calls = [_Call(self, instance, functools.partial(original, self)) for instance in instances]
        return _represent(calls, self, cls, options)

    # The class itself is changed: it may name itself in calls of `super`.
    cached.to_representation = to_representation
    cached._represent_all = represent_all
    cached.many_init = classmethod(lambda cls, *args, **kwargs: _with_list(many_init(cls, *args, **kwargs)))
    return cached

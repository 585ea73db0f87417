# ruff: noqa: SLF001 - `_meta` and `_state` of models are public, as Django documents
"""Classes of Django whose objects zoocache's codec stores: responses, models, and texts marked as safe."""

from __future__ import annotations

import functools
from http.cookies import Morsel, SimpleCookie
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db.models.fields.files import FieldFile
from django.http import HttpResponse
from django.template.response import ContentNotRenderedError, SimpleTemplateResponse
from django.utils.safestring import SafeString

from zoocache import register_type
from zoocache._registry import is_registered

if TYPE_CHECKING:
    from collections.abc import Callable

register_type(SafeString, encode=str.__str__, decode=SafeString, name="django.SafeString")


def learn(value: Any) -> None:
    """Let responses be stored, whatever their class is, and objects of models.

    A process that has not met the class of a response yet does not read what others have stored of it: that
    is a miss.
    """
    learn_models()
    if isinstance(value, HttpResponse):
        _learn_response(type(value))


def learn_models() -> None:
    """Let objects of all installed models be stored and read."""
    if apps.models_ready:
        _learn_models()


@functools.cache
def _learn_models() -> None:
    for model in apps.get_models(include_auto_created=True):
        _register(model, _fields, functools.partial(_loaded, model))


def _register(cls: type[Any], encode: Callable[[Any], Any], decode: Callable[[Any], Any]) -> None:
    """Register a class, unless the program has done so: what it says counts."""
    if not is_registered(cls):
        register_type(cls, encode=encode, decode=decode)


def _fields(instance: Any) -> tuple[Any, ...]:
    """The columns that were loaded, and what a query has annotated. Related objects are asked for anew."""
    state = instance._state
    columns, others = {}, {}
    names = {field.attname for field in type(instance)._meta.concrete_fields}
    for name, value in vars(instance).items():
        if name in names:
            columns[name] = value.name if isinstance(value, FieldFile) else value
        elif not name.startswith("_"):
            others[name] = value
    return state.db, state.adding, columns, others


def _loaded(model: Any, parts: tuple[Any, ...]) -> Any:
    database, adding, columns, others = parts
    known = [field.attname for field in model._meta.concrete_fields if field.attname in columns]
    if len(known) < len(columns):
        raise ValueError(f"{model.__name__} has other fields than when the value was stored")
    instance = model.from_db(database, known, [columns[name] for name in known])
    instance._state.adding = adding
    for name, value in others.items():
        setattr(instance, name, value)
    return instance


def _learn_response(cls: type[Any]) -> None:
    _register(cls, _taken_apart, functools.partial(_made, cls))


def _taken_apart(response: Any) -> tuple[Any, ...]:
    if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
        raise ContentNotRenderedError("The response content must be rendered before it can be cached.")
    return (
        response.status_code,
        response.reason_phrase,
        response.charset,
        list(response.headers.items()),
        [_cookie(morsel) for morsel in response.cookies.values()],
        bytes(response.content),
    )


def _made(cls: type[Any], parts: tuple[Any, ...]) -> Any:
    status, reason, charset, headers, cookies, content = parts
    response: Any = object.__new__(cls)
    if issubclass(cls, SimpleTemplateResponse):
        SimpleTemplateResponse.__init__(response, None, status=status, charset=charset)
        response.content = content
        response.reason_phrase = reason
    else:
        HttpResponse.__init__(response, content, status=status, reason=reason, charset=charset)
    del response.headers["Content-Type"]
    for name, text in headers:
        response.headers[name] = text
    response.cookies = SimpleCookie()
    for key, value, coded, attributes in cookies:
        morsel: Morsel[Any] = Morsel()
        morsel.set(key, value, coded)
        morsel.update(attributes)
        response.cookies[key] = morsel
    return response


def _cookie(morsel: Morsel[Any]) -> tuple[Any, ...]:
    return morsel.key, morsel.value, morsel.coded_value, {k: v for k, v in morsel.items() if v}


for _class in (HttpResponse, *HttpResponse.__subclasses__()):
    _learn_response(_class)

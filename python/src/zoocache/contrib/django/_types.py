"""Classes of Django whose objects zoocache's codec stores: responses, and texts marked as safe."""

from __future__ import annotations

import functools
from http.cookies import Morsel, SimpleCookie
from typing import Any

from django.http import HttpResponse
from django.template.response import ContentNotRenderedError, SimpleTemplateResponse
from django.utils.safestring import SafeString

from zoocache import register_type

register_type(SafeString, encode=str.__str__, decode=SafeString, name="django.SafeString")


def learn(value: Any) -> None:
    """Let a response be stored, whatever its class is.

    A process that has not met the class yet does not read what others have stored of it: a miss.
    """
    if isinstance(value, HttpResponse):
        _learn_class(type(value))


@functools.cache
def _learn_class(cls: type[Any]) -> None:
    register_type(cls, encode=_taken_apart, decode=functools.partial(_made, cls))


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
    response = cls.__new__(cls)
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
    _learn_class(_class)

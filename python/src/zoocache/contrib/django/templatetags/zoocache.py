"""`{% cached %}`: a part of a template that is kept until what it shows has changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.cache import InvalidCacheBackendError
from django.template import Library, Node, TemplateSyntaxError
from django.utils.safestring import SafeString, mark_safe

from zoocache import InvalidTag, add_deps
from zoocache.contrib.django._place import locale
from zoocache.contrib.django._settings import store_of

if TYPE_CHECKING:
    from django.template import Context, NodeList
    from django.template.base import FilterExpression, Parser, Token

register = Library()

_NAME = "cached"
_NEEDED = 3


class CachedNode(Node):
    """A `{% cached %}` block.

    Args:
        nodelist: What is in it.
        timeout: Seconds, or `None`.
        name: The fragment's name.
        vary_on: What else its key is made of.
        tags: What it depends on, if given.
        using: The alias of the cache, if given.
    """

    def __init__(
        self,
        nodelist: NodeList,
        timeout: FilterExpression,
        name: str,
        vary_on: list[FilterExpression],
        tags: FilterExpression | None,
        using: FilterExpression | None,
    ) -> None:
        self.nodelist, self.timeout, self.name, self.vary_on = nodelist, timeout, name, vary_on
        self.tags, self.using = tags, using

    def render(self, context: Context) -> SafeString:
        """Return the block as it is stored, or render and store it."""
        timeout = _seconds(self.timeout.resolve(context), self.timeout)
        tags = [] if self.tags is None else _tags(self.tags.resolve(context))
        try:
            store = store_of(None if self.using is None else self.using.resolve(context))
        except InvalidCacheBackendError as error:
            raise TemplateSyntaxError(f'"{_NAME}" tag: {error}') from error
        vary = [str(part.resolve(context)) for part in self.vary_on]

        def make() -> tuple[str, float | None]:
            try:
                add_deps(tags)
            except InvalidTag as error:
                raise TemplateSyntaxError(f'"{_NAME}" tag: {error}') from error
            with context.push(**({"csrf_token": _NoToken()} if "csrf_token" in context else {})):
                # No `SafeString`: that it is safe goes without saying.
                return str.__str__(self.nodelist.render(context)), timeout

        key = f"fragment:{json.dumps([self.name, *vary, *locale()])}"
        return mark_safe(store.get_or_make(key, make))  # noqa: S308 - rendered by a template


@register.tag(_NAME)
def cached(parser: Parser, token: Token) -> CachedNode:
    """Cache a part of a template until a timeout, or until something it depends on is invalidated.

        {% load zoocache %}
        {% cached [timeout] [name] [var1] [var2] ... tags=[tags] using=[alias] %}
            ... what is expensive to make ...
        {% endcached %}

    The timeout is in seconds, `None` for ever. Tags are a text ("product:42,store:1") or a list. What cached
    functions, querysets and other blocks inside depend on counts, too. While it is rendered, whoever needs
    it waits for it. Without `using` it is kept in the application's default cache, which
    `zoocache.invalidate` reaches. Language and time zone are part of its key.
    """
    nodelist = parser.parse((f"end{_NAME}",))
    parser.delete_first_token()
    words = token.split_contents()
    options: dict[str, FilterExpression] = {}
    while words[-1].partition("=")[0] in ("tags", "using"):
        name, _, expression = words.pop().partition("=")
        if name in options or not expression:
            raise TemplateSyntaxError(f'"{_NAME}" tag takes {name}= once, with a value')
        options[name] = parser.compile_filter(expression)
    if len(words) < _NEEDED:
        raise TemplateSyntaxError(f'"{_NAME}" tag requires at least 2 arguments: the timeout and a name')
    return CachedNode(
        nodelist,
        parser.compile_filter(words[1]),
        words[2].strip("\"'"),
        [parser.compile_filter(word) for word in words[_NEEDED:]],
        options.get("tags"),
        options.get("using"),
    )


class _NoToken:
    """Stands for the token of a user, which must not be shown to others."""

    def __str__(self) -> str:
        raise TemplateSyntaxError(
            f"{{% csrf_token %}} is for one user and must not be cached; put it outside of {{% {_NAME} %}}"
        )

    def __bool__(self) -> bool:
        return bool(str(self))


def _seconds(timeout: Any, expression: FilterExpression) -> float | None:
    if timeout is None or (isinstance(timeout, (int, float)) and not isinstance(timeout, bool)):
        return timeout
    try:
        return int(timeout)
    except (TypeError, ValueError):
        raise TemplateSyntaxError(
            f'"{_NAME}" tag needs seconds, or None, as its timeout; {expression} is {timeout!r}'
        ) from None


def _tags(given: Any) -> list[str]:
    if isinstance(given, str):
        return [tag for part in given.split(",") if (tag := part.strip())]
    try:
        return [str(tag) for tag in given]
    except TypeError:
        raise TemplateSyntaxError(
            f'"{_NAME}" tag needs a text or a list as its tags, not {type(given).__name__}: {given!r}'
        ) from None

"""`{% cached %}` in templates."""

import threading

import pytest
from django.core.cache import caches
from django.template import Context, Template, TemplateSyntaxError
from django.test import override_settings
from django.utils import timezone, translation
from django.utils.safestring import SafeString
from helpers import Running, wait_for

import zoocache


class Counter:
    """Shown in a template, it says how often it was shown."""

    def __init__(self):
        self.count = 0

    def __str__(self):
        self.count += 1
        return str(self.count)


def render(text, /, **variables):
    return Template("{% load zoocache %}" + text).render(Context(variables))


def block(arguments, inside="{{ counter }}"):
    return f"{{% cached {arguments} %}}{inside}{{% endcached %}}"


def test_a_block_is_rendered_once():
    counter = Counter()
    for _ in range(2):
        assert render(block("500 sidebar"), counter=counter) == "1"
        assert render(block('500 "sidebar"'), counter=counter) == "1"
    assert render(block("500 other"), counter=counter) == "2"


def test_what_it_varies_on_makes_other_blocks():
    counter = Counter()
    text = block("500 sidebar user lang|upper")
    shown = [
        render(text, counter=counter, user=user, lang=lang) for user, lang in ((1, "a"), (2, "a"), (1, "b"))
    ]
    assert shown == ["1", "2", "3"]
    assert render(text, counter=counter, user=1, lang="a") == "1"
    # No two of these are put together to the same key.
    assert render(text, counter=counter, user="1:a", lang="") == "4"
    assert render(text, counter=counter, user="1", lang=":A") == "5"


@pytest.mark.parametrize(
    "tags",
    ['"product:42,store:1"', '" store:1 , product:42 "', "tags", "text", '"product:"|add:pk'],
)
def test_an_invalidation_of_a_tag_has_it_rendered_anew(tags):
    counter = Counter()
    variables = {"counter": counter, "tags": ["product:42"], "text": "product:42", "pk": "42"}
    text = block(f"None sidebar tags={tags}")
    assert [render(text, **variables) for _ in range(2)] == ["1", "1"]
    zoocache.invalidate("product:41")
    assert render(text, **variables) == "1"
    zoocache.invalidate("product")
    assert render(text, **variables) == "2"


def test_an_invalidation_while_it_is_rendered_is_not_lost():
    class Invalidates(Counter):
        def __str__(self):
            zoocache.invalidate("product:1")
            return super().__str__()

    counter = Invalidates()
    text = block('500 sidebar tags="product:1"')
    assert [render(text, counter=counter) for _ in range(3)] == ["1", "2", "3"]


def test_what_is_found_inside_counts():
    @zoocache.cacheable(deps=["price:7"])
    def price():
        return next(prices)

    prices = iter(range(10))
    counter = Counter()
    text = block("500 outer", "{{ price }} " + block('500 inner tags="a"'))
    shown = [render(text, counter=counter, price=price)]
    for tag in ("price", "a"):
        zoocache.invalidate(tag)
        shown.append(render(text, counter=counter, price=price))
    assert shown == ["0 1", "1 1", "1 2"]


def test_many_who_need_it_wait_for_one():
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Counter):
        def __str__(self):
            begun.set()
            wait_for(go_on)
            return super().__str__()

    counter = Slow()
    threads = [Running(lambda: render(block("500 sidebar"), counter=counter)) for _ in range(4)]
    wait_for(begun)
    go_on.set()
    assert [thread.result() for thread in threads] == ["1"] * 4


def test_it_expires(clock):
    counter = Counter()
    text = block("timeout sidebar")
    assert render(text, counter=counter, timeout="10") == "1"
    clock.advance(9)
    assert render(text, counter=counter, timeout=10) == "1"
    clock.advance(1)
    assert render(text, counter=counter, timeout=0) == "2"
    assert render(text, counter=counter, timeout=10) == "3"


def test_it_is_text_that_is_safe():
    for _ in range(2):
        rendered = render(block("500 a", "<b>{{ text }}</b>"), text="<")
        assert rendered == "<b>&lt;</b>"
        assert isinstance(rendered, SafeString)


def test_using_an_alias(location, configured):
    configured(default={"LOCATION": ""}, other={"LOCATION": location})
    counter = Counter()
    text = block('500 sidebar tags="a" using="other"')
    assert [render(text, counter=counter) for _ in range(2)] == ["1", "1"]
    caches["other"].invalidate("a")
    assert render(text, counter=counter) == "2"


@override_settings(USE_I18N=True, USE_TZ=True)
def test_languages_and_time_zones_have_blocks_of_their_own():
    counter = Counter()
    for _ in range(2):
        assert render(block("500 a"), counter=counter) == "1"
        with translation.override("de"):
            assert render(block("500 a"), counter=counter) == "2"
        with timezone.override("Europe/Vienna"):
            assert render(block("500 a"), counter=counter) == "3"


def test_the_token_of_a_user_is_not_shown_to_others():
    for inside in ("{% csrf_token %}", "{{ csrf_token }}", "{% if csrf_token %}x{% endif %}"):
        with pytest.raises(TemplateSyntaxError, match="outside of"):
            render(block("500 a", inside), csrf_token="secret")
    assert "secret" in render(block("500 a", "x") + "{{ csrf_token }}", csrf_token="secret")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{% cached %}{% endcached %}", "at least 2 arguments"),
        ("{% cached 1 %}{% endcached %}", "at least 2 arguments"),
        ("{% cached 1 tags=a %}{% endcached %}", "at least 2 arguments"),
        ("{% cached 1 a tags= %}{% endcached %}", "tags= once, with a value"),
        ("{% cached 1 a tags='x' tags='y' %}{% endcached %}", "tags= once"),
        ("{% cached 'x' a %}{% endcached %}", "seconds, or None, .* is 'x'"),
        ("{% cached 1 a tags=5 %}{% endcached %}", "a text or a list as its tags, not int"),
        ("{% cached 1 a tags='a|b' %}{% endcached %}", "Invalid character"),
        ("{% cached 1 a using='nothing' %}{% endcached %}", "nothing"),
        ("{% cached 1 a using='plain' %}{% endcached %}", "'plain' has no tags; its BACKEND must be"),
    ],
)
def test_wrong_use_is_a_clear_error(text, message, configured):
    configured(default={}, plain={"BACKEND": "django.core.cache.backends.dummy.DummyCache"})
    with pytest.raises(TemplateSyntaxError, match=message):
        render(text)

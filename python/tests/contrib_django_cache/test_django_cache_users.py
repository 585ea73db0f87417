"""Django's own users of its cache, and REST framework's, with what is stored as bytes of our codec."""

import importlib

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends import cache as cache_sessions
from django.core.cache import caches
from django.core.cache.utils import make_template_fragment_key
from django.db import connection
from django.http import (
    HttpResponse,
    HttpResponseNotFound,
    HttpResponsePermanentRedirect,
    JsonResponse,
)
from django.middleware.cache import FetchFromCacheMiddleware, UpdateCacheMiddleware
from django.template import Context, Template, engines
from django.template.response import ContentNotRenderedError, TemplateResponse
from django.test import RequestFactory, override_settings
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.cache import cache_page
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from zoocache import SerializationError


@pytest.fixture(params=["codec", "pickle"])
def cache(request, location, configured):
    return configured(default={"LOCATION": location, "OPTIONS": {"SERIALIZER": request.param}})


@pytest.fixture
def tables():
    """Tables of users and sessions, in the database of the process."""
    models = [User, importlib.import_module("django.contrib.sessions.models").Session]
    # Other tests of this process may have made them, and need them again.
    there = connection.introspection.table_names()
    missing = [model for model in models if model._meta.db_table not in there]
    with connection.schema_editor() as editor:
        for model in missing:
            editor.create_model(model)
    yield
    with connection.schema_editor() as editor:
        for model in reversed(models):
            if model in missing:
                editor.delete_model(model)
            else:
                model.objects.all().delete()


@pytest.fixture
def template():
    return engines["django"].from_string("<b>{{ text }}</b>")


def with_cookie():
    response = HttpResponse("zażółć".encode("cp1250"), charset="cp1250", status=200, reason="Fine")
    response["X-Answer"] = "42"
    response.set_cookie("a", "1; 2", max_age=60, httponly=True, samesite="Lax")
    response.set_cookie("b", "x")
    return response


RESPONSES = {
    "plain": with_cookie,
    "empty": lambda: HttpResponse(status=204),
    "json": lambda: JsonResponse({"a": [1]}),
    "redirect": lambda: HttpResponsePermanentRedirect("/there"),
    "not found": lambda: HttpResponseNotFound("no"),
    "without a type": lambda: HttpResponse(b"x", headers={"X-Y": "z"}),
}


@pytest.mark.parametrize("make", RESPONSES.values(), ids=RESPONSES)
def test_a_response_comes_back_as_it_was(cache, make):
    response = make()
    cache.set("key", response)
    found = cache.get("key")
    assert type(found) is type(response)
    assert found.serialize() == response.serialize()
    assert (found.status_code, found.reason_phrase, found.charset) == (
        response.status_code,
        response.reason_phrase,
        response.charset,
    )
    assert found.cookies.output() == response.cookies.output()
    found["X-More"] = "1"
    assert "X-More" not in cache.get("key")


def test_a_response_made_of_a_template_is_stored_when_it_is_rendered(cache, template):
    response = TemplateResponse(RequestFactory().get("/"), template, {"text": "<"})
    with pytest.raises((SerializationError, ContentNotRenderedError), match="must be rendered"):
        cache.set("key", response)
    cache.set("key", response.render())
    found = cache.get("key")
    assert found.render().content == b"<b>&lt;</b>"
    assert type(found) is TemplateResponse


def test_cache_page(cache):
    calls = []

    @cache_page(60)
    def view(request):
        calls.append(request.path)
        return HttpResponse(f"page {len(calls)}")

    pages = [view(RequestFactory().get(path)) for path in ("/a", "/a", "/b", "/a")]
    assert calls == ["/a", "/b"]
    assert [page.content for page in pages] == [b"page 1", b"page 1", b"page 2", b"page 1"]
    assert pages[3]["Cache-Control"] == "max-age=60"


def test_cache_page_with_a_template_and_rest_framework(cache, template):
    class View(APIView):
        authentication_classes = permission_classes = ()
        renderer_classes = (JSONRenderer,)
        calls = 0

        def get(self, request):
            View.calls += 1
            return Response({"calls": View.calls})

    @cache_page(60)
    def page(request):
        return TemplateResponse(request, template, {"text": "text"})

    api = cache_page(60)(View.as_view())
    for _ in range(2):
        assert api(RequestFactory().get("/api")).render().content == b'{"calls":1}'
        assert page(RequestFactory().get("/page")).render().content == b"<b>text</b>"


def test_the_middlewares_of_a_cached_site(cache):
    calls = []

    def view(request):
        calls.append(1)
        response = HttpResponse("page")
        response["Vary"] = "Accept"
        return response

    site = UpdateCacheMiddleware(FetchFromCacheMiddleware(view))
    for wanted in ("a/a", "a/a", "b/b", "b/b"):
        assert site(RequestFactory().get("/", HTTP_ACCEPT=wanted)).content == b"page"
    assert len(calls) == 2


def test_sessions(cache):
    session = cache_sessions.SessionStore()
    session["cart"] = {"items": [1, 2], "name": "é"}
    session.set_expiry(300)
    session.save()
    again = cache_sessions.SessionStore(session.session_key)
    assert again["cart"] == {"items": [1, 2], "name": "é"}
    again.cycle_key()
    assert not cache_sessions.SessionStore().exists(session.session_key)
    again.flush()
    assert cache_sessions.SessionStore(again.session_key).load() == {}


def test_sessions_that_are_in_the_database_too(cache, tables):
    cached_db = importlib.import_module("django.contrib.sessions.backends.cached_db")
    session = cached_db.SessionStore()
    session["a"] = 1
    session.save()
    assert cached_db.SessionStore(session.session_key)["a"] == 1
    caches["default"].clear()
    assert cached_db.SessionStore(session.session_key)["a"] == 1


def test_fragments_of_templates(cache):
    text = "{% load cache %}{% cache 60 sidebar user %}{{ text }}{% endcache %}"
    for value in ("<first>", "second"):
        rendered = Template(text).render(Context({"user": 1, "text": value}))
        assert rendered == "&lt;first&gt;"
        assert isinstance(rendered, SafeString)
    assert type(cache.get(make_template_fragment_key("sidebar", [1]))) is SafeString
    cache.set("safe", [mark_safe("<b>")])
    assert type(cache.get("safe")[0]) is SafeString


def test_throttles(cache):
    class Throttle(SimpleRateThrottle):
        rate = "2/min"

        def get_cache_key(self, request, view):
            return "throttle"

    # REST framework's `cache` is Django's default one.
    assert [Throttle().allow_request(None, None) for _ in range(3)] == [True, True, False]


def test_models(cache, tables):
    users = User.objects.bulk_create([User(username=name, email=f"{name}@x") for name in ("ann", "bob")])
    cache.set("users", users)
    ann = cache.get("users")[0]
    assert (ann, ann.email, ann._state.adding, ann._state.db) == (users[0], "ann@x", False, "default")
    ann.email = "other"
    assert cache.get("users")[0].email == "ann@x"
    ann.save()
    cache.set("some", User.objects.only("username").extra(select={"more": "7"}).get(username="ann"))
    some = cache.get("some")
    assert some.get_deferred_fields() >= {"email", "password"}
    assert (some.email, some.more) == ("other", 7)
    new = User(username="new")
    cache.set("new", new)
    assert cache.get("new")._state.adding


@pytest.mark.storages("lmdb", "redis", "default")
class TestSerializers:
    def test_what_the_codec_does_not_know_says_what_to_do(self, location, configured, tables):
        cache = configured(default={"LOCATION": location})
        with pytest.raises(SerializationError, match=r"\$\['a'\].*function.*\"SERIALIZER\": \"pickle\""):
            cache.set("key", {"a": len})
        with pytest.raises(SerializationError, match=r"list\(queryset\)"):
            cache.set("key", User.objects.all())
        with pytest.raises(SerializationError):
            cache.get_or_set("key", lambda: len)
        assert "key" not in cache

    def test_what_is_unpickled_was_made_with_the_secret_key(self, location, configured, caplog):
        cache = configured(default={"LOCATION": location, "OPTIONS": {"SERIALIZER": "pickle"}})
        cache.set("key", [len])
        assert cache.get("key") == [len]
        with override_settings(SECRET_KEY="another"):
            assert cache.get("key", "default") == "default"
            assert cache.get_many(["key"]) == {}
            assert cache.get_or_set("key", lambda: "new") == "new"
        assert "authentication failed" in caplog.text
        assert "another" not in caplog.text

    def test_the_codec_reads_nothing_that_was_pickled(self, location, configured):
        configured(
            default={"LOCATION": location, "OPTIONS": {"SERIALIZER": "pickle"}}, codec={"LOCATION": location}
        )
        caches["default"].set("key", [1])
        assert caches["codec"].get("key") is None

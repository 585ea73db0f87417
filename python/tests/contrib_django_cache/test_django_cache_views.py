"""`cache_view`: what is served from the cache, to whom, and what is not."""

import asyncio
import datetime as dt
import threading

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.messages import get_messages, info
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.backends import cache as cache_sessions
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.cache import caches
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import CsrfViewMiddleware, get_token
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.urls import ResolverMatch
from django.utils import timezone, translation
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from helpers import Running, unique, wait_for
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer, StaticHTMLRenderer
from rest_framework.response import Response
from rest_framework.versioning import AcceptHeaderVersioning
from rest_framework.views import APIView

import zoocache
from zoocache.contrib.django import cache_view, instance_tag
from zoocache.contrib.http import HttpCaching

requests = RequestFactory()


class Page:
    """A cached view that counts how often it is asked."""

    def __init__(self, answer=None, **options):
        self.calls = 0
        self._answer = answer or (lambda request: HttpResponse())

        def view(request, *args, **kwargs):
            return self._counted(request, *args, **kwargs)

        # Views have names of their own, as in a program.
        view.__qualname__ = unique()
        self.view = cache_view(**options)(view)

    def _counted(self, request, *args, **kwargs):
        self.calls += 1
        response = self._answer(request, *args, **kwargs)
        if not response.streaming and not hasattr(response, "render"):
            response.content = f"{self.calls} {response.content.decode()}".strip()
        return response

    def get(self, path="/", *args, **headers):
        return self.view(requests.get(path, **headers), *args)

    def seen(self, *asked):
        """What each of these requests gets: the number of the computation."""
        return [int(self.view(request).content.split()[0]) for request in asked]


@pytest.fixture(params=["sync", "async", "class", "async class", "method"])
def counted(request):
    """A view of each kind: a function that asks it, and one that counts."""
    calls = []

    def answer():
        calls.append(1)
        return HttpResponse(f"page {len(calls)}", headers={"X-Y": "z"})

    decorate = cache_view(60, tags=lambda request, pk: [f"product:{pk}"])
    if request.param == "sync":

        @decorate
        def view(request, pk):
            return answer()
    elif request.param == "async":

        @decorate
        async def view(request, pk):
            return answer()
    elif request.param == "class":

        @method_decorator(decorate, name="dispatch")
        class Class(View):
            def get(self, request, pk):
                return answer()

        view = Class.as_view()
    elif request.param == "method":

        class Method(View):
            @method_decorator(decorate)
            def get(self, request, pk):
                return answer()

        view = Method.as_view()
    else:

        @method_decorator(decorate, name="dispatch")
        class AsyncClass(View):
            async def get(self, request, pk):
                return answer()

        view = AsyncClass.as_view()

    def ask(path, pk, method="get"):
        if "async" in request.param:

            async def run():
                return await view(getattr(AsyncRequestFactory(), method)(path), pk=pk)

            return asyncio.run(run())
        return view(getattr(requests, method)(path), pk=pk)

    return ask, calls


def test_a_page_is_computed_once_until_its_tag_is_invalidated(counted):
    ask, calls = counted
    assert [ask("/1", 1).content for _ in range(3)] == [b"page 1"] * 3
    assert ask("/2", 2).content == b"page 2"
    zoocache.invalidate("product:2")
    assert ask("/1", 1)["X-Y"] == "z"
    assert ask("/2", 2).content == b"page 3"
    assert len(calls) == 3


def test_other_methods_are_not_cached(counted):
    ask, calls = counted
    before = len(calls)
    for _ in range(2):
        ask("/1", 1, method="options")
        ask("/1", 1, method="post")
    ask("/1", 1)
    assert len(calls) > before
    assert ask("/1", 1).content == ask("/1", 1).content


def test_the_url_is_the_key():
    page = Page()
    get = requests.get
    assert page.seen(get("/a"), get("/b"), get("/a"), get("/a?x=1"), get("/a?x=1")) == [1, 2, 1, 3, 3]
    assert page.seen(get("/a?x=1&y=2"), get("/a?y=2&x=1"), get("/a?x=1&x=2"), get("/a?x=2&x=1")) == [
        4,
        4,
        5,
        6,
    ]
    assert page.seen(get("/a?x="), get("/a"), get("/a", HTTP_HOST="other"), get("/a", secure=True)) == [
        7,
        1,
        8,
        9,
    ]
    assert page.seen(requests.head("/a"), get("/a"), requests.head("/a")) == [10, 1, 10]


def test_queries_that_are_no_text_are_told_apart():
    page = Page()
    assert page.seen(*(requests.get(f"/?x={value}") for value in ("%FE", "%FF", "%EF%BF%BD"))) == [1, 2, 3]


def test_another_key_than_the_url():
    page = Page(lambda request, pk: HttpResponse(), key=lambda request, pk: pk)
    assert page.view(requests.get("/?utm=1"), 7).content == page.view(requests.get("/?utm=2"), 7).content
    assert page.view(requests.get("/?utm=1"), 8).content == b"2"


@override_settings(USE_I18N=True, USE_TZ=True)
def test_languages_and_time_zones_have_pages_of_their_own():
    page = Page()
    for _ in range(2):
        assert page.seen(requests.get("/")) == [1]
        with translation.override("de"):
            assert page.seen(requests.get("/")) == [2]
        with timezone.override("Europe/Vienna"):
            assert page.seen(requests.get("/")) == [3]


def test_it_expires(clock):
    for timeout in (60, dt.timedelta(minutes=1), "1m"):
        page = Page(timeout=timeout)
        assert page.seen(requests.get("/")) == [1]
        clock.advance(59)
        assert page.seen(requests.get("/")) == [1]
        clock.advance(1)
        assert page.seen(requests.get("/")) == [2]


def with_user(user):
    request = requests.get("/")
    request.user = user
    return request


WHO = {
    "cookie": [requests.get("/", HTTP_COOKIE=f"sessionid={name}") for name in ("ann", "bob")],
    "authorization": [requests.get("/", HTTP_AUTHORIZATION=f"Token {name}") for name in ("ann", "bob")],
    "api key": [requests.get("/", HTTP_X_API_KEY=name) for name in ("ann", "bob")],
    "remote user": [requests.get("/", REMOTE_USER=name) for name in ("ann", "bob")],
    "user": [with_user(User(pk=number)) for number in (1, 2)],
}


@pytest.mark.parametrize("who", WHO.values(), ids=WHO)
def test_users_do_not_share(who):
    page = Page()
    ann, bob = who
    assert page.seen(requests.get("/"), ann, bob, ann, bob, requests.get("/")) == [1, 2, 3, 2, 3, 1]
    shared = Page(shared=True)
    assert shared.seen(requests.get("/"), ann, bob) == [1, 1, 1]


def test_what_says_nothing_of_who_asks_is_shared():
    page = Page()
    nobody = with_user(AnonymousUser())
    token = requests.get(
        "/", HTTP_COOKIE="csrftoken=abc", HTTP_USER_AGENT="a", HTTP_X_REQUEST_ID="7", HTTP_SEC_FETCH_USER="?1"
    )
    assert page.seen(requests.get("/"), nobody, token) == [1, 1, 1]


def test_no_key_holds_credentials(configured, tmp_path):
    configured(default={"LOCATION": f"lmdb://{tmp_path}/cache"})
    page = Page(lambda request: HttpResponse(headers={"Vary": "Cookie, Authorization"}), using="default")
    value = "hunter2"
    told = {"HTTP_COOKIE": f"a={value}", "HTTP_AUTHORIZATION": f"Token {value}", "HTTP_X_API_KEY": value}
    for _ in range(3):
        page.get("/path", **told)
    assert page.calls == 2
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"/path" in stored
    assert value.encode() not in stored


@pytest.mark.parametrize("shared", [False, True])
def test_what_the_response_varies_on_is_part_of_the_key(shared):
    page = Page(lambda request: HttpResponse(headers={"Vary": "Accept, X-Theme"}), shared=shared)
    json, html, dark = (
        requests.get("/", **headers)
        for headers in ({"HTTP_ACCEPT": "a/json"}, {"HTTP_ACCEPT": "a/html"}, {"HTTP_X_THEME": "dark"})
    )
    # The first one tells what it varies on; only then there are keys.
    assert page.seen(json) == [1]
    assert page.seen(json, html, dark, json, html, dark) == [2, 3, 4, 2, 3, 4]


def site(page, *middlewares):
    handler = page.view
    for middleware in reversed(middlewares):
        handler = middleware(handler)
    return handler


def session_of(name):
    session = SessionMiddleware(lambda request: HttpResponse()).SessionStore()
    session["name"] = name
    session.save()
    return session.session_key


SESSIONS = {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"}


@override_settings(**SESSIONS)
@pytest.mark.parametrize("shared", [False, True])
def test_a_view_that_looks_at_the_session_varies_by_the_cookie(shared):
    page = Page(lambda request: HttpResponse(request.session.get("name", "nobody")), shared=shared)
    handler = site(page, SessionMiddleware)

    keys = {name: session_of(name) for name in ("ann", "bob")}

    def ask(name):
        return handler(requests.get("/", HTTP_COOKIE=f"sessionid={keys[name]}"))

    for name in ("ann", "bob", "ann", "bob"):
        response = ask(name)
        assert response.content.decode().endswith(name)
        assert "Cookie" in response["Vary"]
    assert page.calls <= 3


@override_settings(**SESSIONS)
def test_a_lazy_user_that_nobody_looks_at_does_not_tell_users_apart():
    page = Page(shared=True)
    handler = site(page, SessionMiddleware, AuthenticationMiddleware)
    responses = [handler(requests.get("/", HTTP_COOKIE=f"sessionid={session_of(name)}")) for name in "ab"]
    assert [response.content for response in responses] == [b"1", b"1"]
    assert "Vary" not in responses[1]


def set_cookie(request):
    response = HttpResponse()
    response.set_cookie("a", "b")
    return response


def change_session(request):
    request.session["a"] = 1
    return HttpResponse()


def show_messages(request):
    info(request, "for you")
    return HttpResponse(" ".join(map(str, get_messages(request))))


PERSONAL = {
    "cookie": set_cookie,
    "session": change_session,
    "messages": show_messages,
    "token": lambda request: HttpResponse(get_token(request)),
    "streaming": lambda request: StreamingHttpResponse([b"a"]),
    "never_cache": never_cache(lambda request: HttpResponse()),
    "private": lambda request: HttpResponse(headers={"Cache-Control": "private, max-age=60"}),
    "no-store": lambda request: HttpResponse(headers={"Cache-Control": "No-Store"}),
    "vary on everything": lambda request: HttpResponse(headers={"Vary": "*"}),
    "error": lambda request: HttpResponse(status=500),
    "forbidden": lambda request: HttpResponse(status=403),
    "unavailable": lambda request: HttpResponse(status=503),
}


@override_settings(**SESSIONS, MESSAGE_STORAGE="django.contrib.messages.storage.cookie.CookieStorage")
@pytest.mark.parametrize("http", [False, True])
@pytest.mark.parametrize("answer", PERSONAL.values(), ids=PERSONAL)
def test_what_is_not_for_others_is_not_stored(answer, http):
    page = Page(answer, shared=True, http=http)
    handler = site(page, SessionMiddleware, CsrfViewMiddleware, MessageMiddleware)
    for number in (1, 2, 3):
        response = handler(requests.get("/"))
        assert page.calls == number
        assert "ETag" not in response
        assert "X-Cache" not in response


@pytest.mark.parametrize("status", [200, 301, 404, 410])
def test_other_statuses_that_are_stored(status):
    page = Page(lambda request: HttpResponse(status=status, headers={"Location": "/x"}))
    for _ in range(2):
        response = page.get()
        assert (response.status_code, response["Location"]) == (status, "/x")
    assert page.calls == 1


def test_exceptions_are_not_stored():
    failing = [True]

    def answer(request):
        if failing:
            raise ValueError("no")
        return HttpResponse()

    page = Page(answer)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            page.get()
    failing.clear()
    assert page.seen(requests.get("/"), requests.get("/")) == [3, 3]


def test_who_waits_does_not_get_the_exception_of_another():
    begun, go_on = threading.Event(), threading.Event()

    def answer(request):
        if not request.COOKIES:
            begun.set()
            wait_for(go_on)
            raise PermissionDenied
        return HttpResponse()

    page = Page(answer, shared=True)
    anonymous = Running(page.get)
    wait_for(begun)
    staff = Running(lambda: page.get(HTTP_COOKIE="sessionid=1"))
    go_on.set()
    assert isinstance(anonymous.error(), PermissionDenied)
    assert staff.result().status_code == 200


def test_a_key_that_is_none_is_told_of():
    page = Page(key=lambda request: object())
    with pytest.raises(ValueError, match="cannot be part of a cache key"):
        page.get()
    assert page.calls == 0


def test_an_invalidation_during_the_view_is_not_missed():
    page = Page(lambda request: HttpResponse(str(zoocache.invalidate("a"))), tags=["a"])
    assert page.seen(requests.get("/"), requests.get("/")) == [1, 2]


def test_what_the_view_uses_counts():
    @zoocache.cacheable(deps=["price"])
    def price():
        return "7"

    page = Page(lambda request: HttpResponse(price()))
    template = engines["django"].from_string("{{ price }}")
    later = Page(lambda request: TemplateResponse(request, template, {"price": price}))
    assert page.seen(requests.get("/"), requests.get("/")) == [1, 1]
    assert [later.get().content for _ in range(2)] == [b"7"] * 2
    zoocache.invalidate("price")
    assert page.seen(requests.get("/")) == [2]
    later.get()
    assert later.calls == 2


@pytest.mark.parametrize("varies", [False, True])
@pytest.mark.parametrize("personal", [False, True])
def test_who_asks_at_the_same_time_waits_and_gets_what_is_theirs(varies, personal):
    begun, go_on = threading.Event(), threading.Event()

    def answer(request):
        begun.set()
        wait_for(go_on)
        response = HttpResponse(headers={"Vary": "Accept"} if varies else {})
        if personal:
            response.set_cookie("a", "b")
        return response

    page = Page(answer)
    threads = [Running(page.get) for _ in range(4)]
    wait_for(begun)
    go_on.set()
    responses = [thread.result() for thread in threads]
    assert all(response.status_code == 200 for response in responses)
    if personal:
        assert page.calls == 4
        assert len({response.content for response in responses}) == 4
    else:
        # Who has waited for the first to find out what it varies on need not wait for the next.
        assert page.calls <= (4 if varies else 2)


def test_a_template_response_of_an_async_view():
    template = engines["django"].from_string("{{ text }}")
    calls = []

    @cache_view(60)
    async def view(request):
        calls.append(1)
        return TemplateResponse(request, template, {"text": "<"})

    async def run():
        return [(await view(AsyncRequestFactory().get("/"))).content for _ in range(2)]

    assert asyncio.run(run()) == [b"&lt;"] * 2
    assert calls == [1]


def test_rest_framework():
    class Base(APIView):
        authentication_classes = permission_classes = ()
        renderer_classes = (JSONRenderer, StaticHTMLRenderer, BrowsableAPIRenderer)
        calls = 0

        def answer(self):
            type(self).calls += 1
            return Response(
                {"calls": self.calls} if self.request.accepted_renderer.format == "json" else "<p>"
            )

    class Method(Base):
        @method_decorator(cache_view(60, tags=["a"]))
        def get(self, request):
            return self.answer()

    @method_decorator(cache_view(60, tags=["a"]), name="dispatch")
    class Whole(Base):
        def get(self, request):
            return self.answer()

    for view in (Method, Whole):

        def body(accept, view=view):
            return view.as_view()(requests.get("/", HTTP_ACCEPT=accept)).content

        json = [body("application/json") for _ in range(3)][1:]
        html = [body("text/html") for _ in range(2)]
        assert json[0] == json[1]
        assert json[0].startswith(b'{"calls":')
        assert html == [b"<p>"] * 2
        zoocache.invalidate("a")
        assert body("application/json") != json[0]


class TestHttp:
    def test_what_browsers_are_told(self):
        page = Page(http=True)
        first, second = page.get(), page.get()
        assert (first["X-Cache"], second["X-Cache"]) == ("miss", "hit")
        assert first["ETag"] == second["ETag"]
        assert second["Cache-Control"] == "public, no-cache"
        assert int(second["Age"]) >= 0
        assert "Age" not in first
        ours = page.get(HTTP_COOKIE="sessionid=1")
        assert ours["Cache-Control"] == "private, no-cache"
        assert first["Vary"] == ours["Vary"] == "Cookie, Authorization"
        assert "Vary" not in Page(shared=True, http=True).get(HTTP_COOKIE="sessionid=1")
        unchanged = page.get(HTTP_IF_NONE_MATCH=f'"x", {first["ETag"]}')
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged["ETag"] == first["ETag"]
        assert page.get(HTTP_IF_NONE_MATCH='"x"').status_code == 200

    def test_a_tag_changes_with_the_content(self):
        page = Page(http=True, tags=["a"])
        before = page.get()["ETag"]
        zoocache.invalidate("a")
        assert page.get(HTTP_IF_NONE_MATCH=before).status_code == 200
        own = Page(
            lambda request: HttpResponse(headers={"ETag": '"own"', "Cache-Control": "max-age=5"}), http=True
        )
        for _ in range(2):
            assert (own.get()["ETag"], own.get()["Cache-Control"]) == ('"own"', "max-age=5")
        assert own.get(HTTP_IF_NONE_MATCH='"own"').status_code == 304

    def test_proxies_are_told_what_to_purge_by(self):
        page = Page(
            tags=["shop:7"], http=HttpCaching(max_age=5, shared_max_age=60, tag_headers=["surrogate-key"])
        )
        response = page.get()
        assert response["Cache-Control"] == "public, max-age=5, s-maxage=60"
        assert {"shop", "shop:7"} <= set(response["Surrogate-Key"].split())

    def test_without_it_nothing_is_told(self):
        page = Page()
        for _ in range(2):
            assert not {"etag", "x-cache", "age", "cache-control"} & {
                name.lower() for name in page.get().headers
            }


def test_using_an_alias(location, configured):
    configured(default={"LOCATION": location})
    page = Page(lambda request: JsonResponse({}), using="default", tags=["a:1"])
    assert page.seen(requests.get("/"), requests.get("/")) == [1, 1]
    caches["default"].invalidate("a")
    assert page.seen(requests.get("/")) == [2]
    caches["default"].clear()
    assert page.seen(requests.get("/")) == [3]


def test_a_view_that_returns_nothing_is_left_to_django():
    assert cache_view()(lambda request: None)(requests.get("/")) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": -1}, "ttl must be greater than 0"),
        ({"tags": "a"}, r"write tags=\['a'\]"),
        ({"key": "x"}, "key must be a function"),
        ({"shared": "yes"}, "shared must be a bool"),
        ({"http": "yes"}, "http must be"),
        ({"cluster_lock": 1}, "cluster_lock must be a bool"),
    ],
)
def test_wrong_options_are_told_of(options, message):
    with pytest.raises(zoocache.ConfigError, match=message):
        cache_view(**options)


def test_without_parentheses_it_says_what_to_write():
    with pytest.raises(TypeError, match=r"write @cache_view\(\)"):
        cache_view(lambda request: None)


def test_invalid_tags_are_told_of_before_the_view_runs():
    page = Page(tags=["a|b"])
    with pytest.raises(zoocache.InvalidTag):
        page.get()
    assert page.calls == 0


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("shared", [False, True])
def test_what_is_in_the_session_is_part_of_the_key(shared, is_async):
    calls = []

    def answer(request):
        calls.append(1)
        return HttpResponse(request.session.get("name", "nobody"))

    async def answer_async(request):
        return await sync_to_async(answer)(request)

    chosen = answer_async if is_async else answer
    chosen.__qualname__ = unique()
    view = cache_view(shared=shared)(chosen)

    def ask():
        request = requests.get("/", HTTP_COOKIE=f"sessionid={key}")
        request.session = cache_sessions.SessionStore(key)
        response = asyncio.run(view(request)) if is_async else view(request)
        return response.content.decode()

    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache"):
        session = cache_sessions.SessionStore()
        session["name"] = "ann"
        session.save()
        key = session.session_key
        assert [ask() for _ in range(3)] == ["ann"] * 3
        assert len(calls) == 2  # the first one tells that the view uses the session
        session["name"] = "bob"
        session.save()
        assert ask() == "bob"


def test_views_that_are_made_by_one_function_are_several():
    def make(name):
        @cache_view(key=lambda request: "home")
        def view(request):
            return HttpResponse(name)

        return view

    views = [make("one"), make("two")]
    assert [view(requests.get("/")).content for view in views * 2] == [b"one", b"two"] * 2


def test_one_class_at_several_urls_is_several_views():
    @method_decorator(cache_view(key=lambda request: "home"), name="dispatch")
    class Named(View):
        name = ""

        def get(self, request):
            return HttpResponse(self.name)

    def ask(name):
        request = requests.get(f"/{name}")
        request.resolver_match = ResolverMatch(Named, (), {}, route=name)
        return Named.as_view(name=name)(request).content.decode()

    assert [ask(name) for name in ("a", "b", "a")] == ["a", "b", "a"]


def test_versions_that_are_asked_for_in_accept():
    @method_decorator(cache_view(), name="dispatch")
    class Versions(APIView):
        authentication_classes = permission_classes = ()
        renderer_classes = (JSONRenderer,)
        versioning_class = AcceptHeaderVersioning

        def get(self, request):
            return Response(request.version)

    def ask(version):
        request = requests.get("/versions", HTTP_ACCEPT=f"application/json; version={version}")
        return Versions.as_view()(request).content

    assert [ask(version) for version in "1212"] == [b'"1"', b'"2"'] * 2


def test_a_user_whom_a_middleware_has_looked_at_is_a_dependency():
    page = Page(lambda request: HttpResponse(request.user.username))

    def ask(name):
        request = requests.get("/")
        request.user = User(pk=7, username=name)
        return page.view(request).content

    assert (ask("ann"), ask("ann")) == (b"1 ann", b"1 ann")
    zoocache.invalidate(instance_tag(User(pk=7)))
    assert ask("eve") == b"2 eve"
    zoocache.invalidate("auth.user:8")
    assert ask("eve") == b"2 eve"


def test_certificates_of_clients_tell_users_apart():
    page = Page()
    headers = ("X-SSL-Client-DN", "X-Forwarded-Client-Cert", "Client-Cert", "X-Amzn-Mtls-Clientcert-Subject")
    seen = [page.get(headers={header: who}).content for header in headers for who in "ab"]
    assert len(set(seen)) == len(seen)

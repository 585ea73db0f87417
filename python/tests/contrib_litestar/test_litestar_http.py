"""What browsers and proxies are told of cached handlers, and what hooks and middlewares add."""

from typing import Any

import pytest
from litestar import MediaType, Request, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.config.compression import CompressionConfig
from litestar.datastructures import CacheControlHeader, Cookie, ETag, ResponseHeader
from litestar_style import FromPath

import zoocache
from zoocache.contrib.litestar import HttpCaching, cache_endpoint, purge_keys


def test_a_client_that_has_the_response_gets_no_body(shop, kind):
    def item() -> dict[str, int]:
        return {"count": shop.count()}

    handler = kind(get, "/", response_headers={"X-Layer": "1", "Content-Language": "en"})
    client = shop.client(handler(item, cache_endpoint(deps=["items"], http=True)))
    first = client.get("/")
    assert first.headers["etag"].startswith('"')
    assert first.headers["cache-control"] == "public, no-cache"
    again = client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["x-layer"] == "1"
    assert not {"content-type", "content-length", "content-language"} & again.headers.keys()
    zoocache.invalidate("items")
    changed = client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (changed.status_code, changed.json()) == (200, {"count": 2})
    assert changed.headers["etag"] != first.headers["etag"]


def test_only_reading_methods_get_a_304(shop):
    @post("/")
    @cache_endpoint(http=True)
    async def create() -> Response[str]:
        return Response("x", headers={"ETag": '"1"'}, status_code=200)

    assert shop.client(create).post("/", headers={"If-None-Match": '"1"'}).status_code == 200


def test_where_a_response_comes_from_and_its_age(shop):
    @get("/")
    @cache_endpoint(http=HttpCaching(max_age=60, shared_max_age=600))
    async def item() -> str:
        return "x"

    client = shop.client(item)
    miss, hit = client.get("/"), client.get("/")
    assert (miss.headers["x-cache"], hit.headers["x-cache"]) == ("miss", "hit")
    assert "age" not in miss.headers
    assert int(hit.headers["age"]) >= 0
    assert hit.headers["cache-control"] == "public, max-age=60, s-maxage=600"


def test_vary_names_headers_that_make_responses_differ(shop):
    @get("/", response_headers={"Vary": "Origin"})
    @cache_endpoint(vary=["Accept-Language"], http=True)
    async def item() -> int:
        return shop.count()

    client = shop.client(item)
    for language, count in ("en", 1), ("de", 2), ("en", 1):
        answer = client.get("/", headers={"Accept-Language": language})
        assert (answer.json(), answer.headers.get_list("vary")) == (count, ["accept-language, Origin"])


def test_proxies_are_told_what_to_purge(shop):
    @get("/{shop_id:int}")
    @cache_endpoint(deps=lambda shop_id: [f"shop:{shop_id}"], http=HttpCaching(tag_headers=["surrogate-key"]))
    async def item(shop_id: FromPath[int]) -> str:
        zoocache.add_deps(["stock"])
        return "x"

    client = shop.client(item)
    for _ in "ab":
        keys = client.get("/7").headers["surrogate-key"].split()
        assert set(purge_keys("shop:7")) & set(keys)
        assert set(purge_keys("stock")) & set(keys)


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ({"cache_control": CacheControlHeader(no_store=True)}, "cache-control", "no-store"),
        ({"response_headers": {"Cache-Control": "private"}}, "cache-control", "private"),
        ({"etag": ETag(value="own")}, "etag", '"own"'),
    ],
)
def test_what_the_program_says_stays(shop, options, name, value):
    @get("/", **options)
    @cache_endpoint(http=HttpCaching(max_age=60))
    async def item() -> str:
        return f"{shop.count()}"

    client = shop.client(item)
    answers = [client.get("/"), client.get("/")]
    assert [answer.text for answer in answers] == ["1", "1"]
    assert [answer.headers.get_list(name) for answer in answers] == [[value], [value]]


def test_a_documented_header_is_none(shop):
    documented = [ResponseHeader(name="Cache-Control", documentation_only=True)]

    @get("/", response_headers=documented)
    @cache_endpoint(http=True)
    async def item() -> str:
        return "x"

    assert shop.client(item).get("/").headers["cache-control"] == "public, no-cache"


def test_hooks_run_for_each_request_and_what_they_add_is_not_stored(shop, kind):
    async def after(response: Response[Any]) -> Response[Any]:
        seen.append((response.media_type, response.status_code, response.headers["x-own"]))
        response.headers["X-After"] = str(len(seen))
        response.set_cookie("after", str(len(seen)))
        return response

    async def before_send(message, scope) -> None:
        if message["type"] == "http.response.start":
            message["headers"].append((b"x-sent", str(len(seen)).encode()))

    def item() -> Response[dict[str, int]]:
        return Response({"count": shop.count()}, headers={"X-Own": "1"})

    seen = []
    client = shop.client(
        kind(get, "/")(item, cache_endpoint),
        after_request=after,
        before_send=[before_send],
        response_cookies=[Cookie(key="layer", value="1")],
    )
    for number in ("1", "2", "3"):
        answer = client.get("/")
        assert answer.json() == {"count": 1}
        assert answer.headers.get_list("x-after") == answer.headers.get_list("x-sent") == [number]
        assert answer.headers.get_list("x-own") == ["1"]
        cookies = sorted(cookie.partition(";")[0] for cookie in answer.headers.get_list("set-cookie"))
        assert cookies == [f"after={number}", "layer=1"]
    assert seen == [("application/json", 200, "1")] * 3


def test_cookies_are_for_nobody_else(shop):
    async def after(response: Response[Any]) -> Response[Any]:
        response.set_cookie("visit", "1")
        return response

    caching = HttpCaching(max_age=60, shared_max_age=600)

    @get("/hook", after_request=after)
    @cache_endpoint(http=caching)
    async def hooked() -> str:
        return "x"

    @get("/own")
    @cache_endpoint(http=caching)
    async def own() -> Response[str]:
        return Response("x", cookies=[Cookie(key="session", value=f"{shop.count()}")])

    @get("/failing")
    @cache_endpoint(http=caching)
    async def failing() -> Response[str]:
        return Response("x", status_code=503)

    client = shop.client(hooked, own, failing)
    for _ in "ab":
        assert client.get("/hook").headers["cache-control"].startswith("private, ")
        assert client.get("/own").headers["cache-control"] == "no-store"
        assert client.get("/failing").headers["cache-control"] == "no-store"
    assert shop.calls == 2


def test_a_hook_may_change_body_and_media_type(shop):
    async def after(response: Response[Any]) -> Response[Any]:
        response.content = {"wrapped": response.content.decode()}
        return response

    async def as_html(response: Response[Any]) -> Response[Any]:
        response.media_type = MediaType.HTML
        response.status_code = 201
        return response

    @get("/wrapped", after_request=after)
    @cache_endpoint
    async def wrapped() -> dict[str, int]:
        return {"count": shop.count()}

    @get("/html", after_request=as_html)
    @cache_endpoint
    async def html() -> str:
        return "<p>"

    client = shop.client(wrapped, html)
    for _ in "ab":
        answer = client.get("/wrapped")
        assert answer.json() == {"wrapped": '{"count":1}'}
        assert int(answer.headers["content-length"]) == len(answer.content)
        answer = client.get("/html")
        assert (answer.status_code, answer.headers["content-type"]) == (201, "text/html")


def test_background_tasks_run_only_when_the_handler_does(shop, kind):
    def of_response() -> Response[str]:
        shop.count()
        return Response("x", background=BackgroundTask(note, "response"))

    def of_handler() -> str:
        shop.count()
        return "x"

    async def note(what):
        done.append(what)

    done = []
    client = shop.client(
        kind(get, "/response")(of_response, cache_endpoint),
        kind(get, "/handler", background=BackgroundTask(note, "handler"))(of_handler, cache_endpoint),
    )
    for path in ("/response", "/handler") * 2:
        assert client.get(path).text == "x"
    assert (done, shop.calls) == (["response", "handler"], 2)


def test_middlewares_compress_what_is_cached(shop):
    @get("/")
    @cache_endpoint(http=HttpCaching(etag="weak"))
    async def item() -> str:
        return "x" * 10_000

    client = shop.client(item, compression_config=CompressionConfig(backend="gzip"))
    for accepted in ("gzip", "identity", "gzip"):
        answer = client.get("/", headers={"Accept-Encoding": accepted})
        assert answer.text == "x" * 10_000
        assert answer.headers.get("content-encoding", "identity") == accepted
        assert answer.headers["etag"].startswith("W/")


def test_litestars_own_cache_may_stand_before(shop):
    @get("/", cache=True)
    @cache_endpoint(http=True)
    async def item() -> int:
        return shop.count()

    client = shop.client(item)
    assert client.get("/").json() == client.get("/").json() == 1


def test_a_stale_response_stands_in_for_an_error(shop, clock):
    @get("/")
    @cache_endpoint(ttl=10, stale_if_error=60, http=True)
    async def item() -> int:
        if shop.count() > 1:
            raise RuntimeError("down")
        return 1

    client = shop.client(item)
    assert client.get("/").json() == 1
    clock.advance(11)
    answer = client.get("/")
    assert (answer.json(), answer.headers["x-cache"]) == (1, "stale")


@pytest.mark.parametrize("layer", [False, True], ids=["response", "layer"])
def test_what_a_response_says_it_varies_on_is_part_of_the_key(shop, layer):
    vary = {"Vary": "Accept-Language"}

    @get("/", response_headers=vary if layer else None, media_type="text/plain")
    @cache_endpoint
    async def greeting(request: Request[Any, Any, Any]) -> Response[str]:
        return Response(request.headers["accept-language"], headers=None if layer else vary)

    client = shop.client(greeting)
    asked = ("en", "de", "en", "de")
    assert [client.get("/", headers={"accept-language": name}).text for name in asked] == list(asked)
    assert greeting.fn.stats()["hits"] == (2 if layer else 1)


def test_a_response_that_says_private_is_not_shared(shop):
    names = iter(["ann", "bob"])

    @get("/", media_type="text/plain")
    @cache_endpoint
    async def me() -> Response[str]:
        return Response(next(names), headers={"Cache-Control": "private"})

    client = shop.client(me)
    assert [client.get("/").text for _ in range(2)] == ["ann", "bob"]

"""What browsers and proxies are told, and what they are spared."""

import asyncio
import contextlib
import subprocess
import sys
import time
from datetime import timedelta

import asgi_client
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Response
from hypothesis import given
from hypothesis import strategies as st

import zoocache
from zoocache.contrib.fastapi import HttpCaching, cache_endpoint, cache_lifespan, purge_keys


@pytest.fixture
def page(shop):
    """Serves a page that has changed whenever it is invalidated."""
    shop.content = "old"

    @shop.app.api_route("/page", methods=["GET", "HEAD", "POST"])
    @cache_endpoint(deps=["page"], http=True)
    async def page():
        shop.count()
        return shop.content

    return shop


def test_a_client_that_has_it_gets_no_body(page):
    client = page.client()
    first = client.get("/page")
    tag = first.headers["etag"]
    assert tag.startswith('"')
    again = client.get("/page", headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["cache-control"] == first.headers["cache-control"] == "public, no-cache"
    assert "content-length" not in again.headers
    assert page.calls == 1


def test_a_client_whose_copy_is_old_gets_the_new_one(page):
    client = page.client()
    tag = client.get("/page").headers["etag"]
    page.content = "new"
    zoocache.invalidate("page")
    answer = client.get("/page", headers={"if-none-match": tag})
    assert (answer.status_code, answer.json()) == (200, "new")
    assert answer.headers["etag"] != tag


def test_what_was_computed_anew_and_is_the_same_has_the_same_tag(page):
    client = page.client()
    tag = client.get("/page").headers["etag"]
    zoocache.invalidate("page")
    answer = client.get("/page", headers={"if-none-match": tag})
    assert (answer.status_code, answer.headers["x-cache"]) == (304, "miss")
    assert page.calls == 2


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("{}", 304),
        ("W/{}", 304),
        ('"other", {}', 304),
        ('W/"other",{} , "more"', 304),
        ("*", 304),
        ('"other"', 200),
        ("", 200),
        ("nonsense", 200),
    ],
)
def test_conditions(page, given, status):
    client = page.client()
    tag = client.get("/page").headers["etag"]
    assert client.get("/page", headers={"if-none-match": given.format(tag)}).status_code == status


def test_only_reads_are_conditional(page):
    client = page.client()
    tag = client.post("/page").headers["etag"]
    assert client.post("/page", headers={"if-none-match": tag}).status_code == 200
    assert client.request("HEAD", "/page", headers={"if-none-match": tag}).status_code == 304


def test_where_it_came_from_and_how_old_it_is(page, monkeypatch):
    client = page.client()
    first = client.get("/page")
    assert first.headers["x-cache"] == "miss"
    assert "age" not in first.headers
    now = time.time()
    monkeypatch.setattr("zoocache.contrib._http.time.time", lambda: now + 7)
    again = client.get("/page")
    assert (again.headers["x-cache"], again.headers["age"]) == ("hit", "7")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "public, no-cache"),
        ({"max_age": 60}, "public, max-age=60"),
        ({"max_age": timedelta(minutes=2)}, "public, max-age=120"),
        ({"shared_max_age": 600}, "public, max-age=0, s-maxage=600"),
        ({"max_age": 5, "shared_max_age": 600}, "public, max-age=5, s-maxage=600"),
    ],
)
def test_lifetimes_in_caches_of_others(shop, options, expected):
    @shop.app.get("/")
    @cache_endpoint(http=HttpCaching(**options))
    async def page():
        return 1

    assert shop.get("/").headers["cache-control"] == expected


def test_what_the_endpoint_says_stands(shop):
    @shop.app.get("/")
    @cache_endpoint(http=True, vary=["accept"])
    async def page(response: Response):
        response.headers["cache-control"] = "max-age=1"
        response.headers["etag"] = '"mine"'
        response.headers["vary"] = "Accept-Encoding"
        return shop.count()

    client = shop.client()
    for _ in range(2):
        headers = client.get("/").headers
        assert headers.get_list("cache-control") == ["max-age=1"]
        assert headers.get_list("etag") == ['"mine"']
        assert headers.get_list("vary") == ["Accept-Encoding, accept"]
    assert client.get("/", headers={"if-none-match": '"mine"'}).status_code == 304


def test_no_tag_and_weak_tags(shop):
    for name in (None, "weak"):

        @shop.app.get(f"/{name}")
        @cache_endpoint(namespace=str(name), http=HttpCaching(etag=name, x_cache=False))
        async def page():
            return 1

    client = shop.client()
    assert "etag" not in client.get("/None").headers
    assert "x-cache" not in client.get("/None").headers
    weak = client.get("/weak").headers["etag"]
    assert weak.startswith('W/"')
    assert client.get("/weak", headers={"if-none-match": weak}).status_code == 304


def test_errors_have_no_tag(shop):
    @shop.app.get("/", status_code=404)
    @cache_endpoint(http=True)
    async def page():
        return 1

    assert "etag" not in shop.get("/").headers


def test_a_response_that_was_not_changed_still_does_its_tasks_and_keeps_its_cookies(shop):
    done = []

    def cookie(response: Response):
        response.set_cookie("seen", "1")

    @shop.app.get("/", dependencies=[Depends(cookie)])
    @cache_endpoint(http=True, deps=["page"])
    async def page(tasks: BackgroundTasks):
        tasks.add_task(done.append, 1)
        return 1

    client = shop.client()
    tag = client.get("/").headers["etag"]
    zoocache.invalidate("page")
    answer = client.get("/", headers={"if-none-match": tag})
    assert (answer.status_code, answer.cookies["seen"], done) == (304, "1", [1, 1])


# ---- What proxies purge by ------------------------------------------------------------------------


def test_dependencies_are_told_to_proxies(shop):
    @shop.app.get("/")
    @cache_endpoint(
        deps=["shop:7:käse", "menu:*"], http=HttpCaching(tag_headers=["surrogate-key", "cache-tag"])
    )
    async def page():
        return 1

    client = shop.client()
    for _ in range(2):
        headers = client.get("/").headers
        keys = headers["surrogate-key"].split(" ")
        assert {"shop", "shop:7", "shop:7:k%C3%A4se", "menu", "menu:*"} <= set(keys)
        assert headers["cache-tag"].split(",") == keys


levels = st.lists(st.sampled_from(["a", "b", "ä"]), min_size=1, max_size=4)


@given(levels, st.booleans(), levels)
def test_a_purge_reaches_what_an_invalidation_reaches(dependency, subtree, invalidated):
    cache = zoocache.Cache()
    shown = ":".join([*dependency, "*"] if subtree else dependency)
    app = FastAPI()
    calls = []

    @app.get("/")
    @cache_endpoint(cache=cache, deps=[shown], http=HttpCaching(tag_headers=["surrogate-key"]))
    async def page():
        calls.append(1)
        return 1

    client = asgi_client.Client(app)
    keys = client.get("/").headers["surrogate-key"].split(" ")
    cache.invalidate(":".join(invalidated))
    client.get("/")
    client.close()
    cache.close()
    is_purged = not set(purge_keys(":".join(invalidated))).isdisjoint(keys)
    assert is_purged == (len(calls) == 2)


def test_a_response_with_too_many_keys_is_for_no_proxy(shop):
    @shop.app.get("/")
    @cache_endpoint(
        deps=[f"product:{number}" for number in range(3000)],
        http=HttpCaching(shared_max_age=600, tag_headers=["surrogate-key"]),
    )
    async def page():
        return 1

    headers = shop.get("/").headers
    assert "surrogate-key" not in headers
    assert headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_age": -1}, "max_age must be seconds from 0 to below"),
        ({"max_age": "1m"}, "max_age must be seconds"),
        ({"shared_max_age": float("inf")}, "shared_max_age must be seconds"),
        ({"etag": "maybe"}, 'etag must be "strong", "weak" or None'),
        ({"tag_headers": "surrogate-key"}, "tag_headers must be a list of some of"),
        ({"tag_headers": ["x-tags"]}, "tag_headers must be a list of some of"),
    ],
)
def test_nonsense_is_refused(options, text):
    with pytest.raises(zoocache.ConfigError, match=text):
        HttpCaching(**options)


# ---- The application ------------------------------------------------------------------------------


def test_a_lifespan_configures_and_frees_the_cache(tmp_path):
    seen = []

    @contextlib.asynccontextmanager
    async def own(app):
        zoocache.set("key", 1)
        seen.append(zoocache.get("key"))
        yield {"state": 1}
        seen.append(zoocache.get("key"))

    lifespan = cache_lifespan(own, storage_url=f"lmdb://{tmp_path}/cache", default_ttl=60)
    app = FastAPI(lifespan=lifespan)

    async def run():
        async with lifespan(app) as state:
            assert state == {"state": 1}
            with pytest.raises(RuntimeError, match="configured already"):
                zoocache.configure(default_ttl=1)

    asyncio.run(run())
    assert seen == [1, 1]
    zoocache.configure(default_ttl=1)


def test_without_fastapi_the_error_names_the_extra():
    source = """
import sys
sys.modules["fastapi"] = None
try:
    import zoocache.contrib.fastapi
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)  # noqa: S603
    assert "zoocache.contrib.fastapi needs FastAPI" in done.stdout
    assert "pip install 'zoocache[fastapi]'" in done.stdout

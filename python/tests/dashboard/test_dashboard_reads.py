"""What the dashboard's application answers, wherever it is mounted."""

import asyncio
import json
import threading
import time
from importlib.resources import files

import django_settings
import pytest
from asgi_client import Client
from dashboard_contents import TOKEN, fill
from django.core.asgi import get_asgi_application
from fastapi import FastAPI
from helpers import wait_until
from litestar import Litestar, asgi
from sse_client import Listener
from starlette.applications import Starlette
from starlette.routing import Mount

import zoocache
from zoocache import Cache, StorageError, cacheable, configure
from zoocache.dashboard import dashboard
from zoocache.inspect import inspect

pytestmark = pytest.mark.memory_only("it shows whatever cache there is")

PAGE = files("zoocache.dashboard").joinpath("page")
NASTY = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "\"'><svg onload=alert(1)>",
    "tab\tnewline\nnull\0bell\x07",
    "\u202edrawkcab\u2028",
    "{{7*7}}${7*7}",
]


# ---- The page ----------------------------------------------------------------------------------


def test_the_page_and_its_parts_are_served(client):
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for file in PAGE.iterdir():
        part = client.get(f"/page/{file.name}")
        assert part.content == file.read_bytes()
    assert client.get("/page/main.js").headers["content-type"] == "text/javascript; charset=utf-8"


def test_the_page_asks_for_nothing_outside_and_has_no_script_or_style_of_its_own():
    page = PAGE.joinpath("index.html").read_text()
    assert "<script>" not in page
    assert "style=" not in page
    assert " on" not in page.replace(" one", "").replace(" only", "")
    for file in PAGE.iterdir():
        text = file.read_text()
        others = text.replace("http://www.w3.org/2000/svg", "")
        assert "://" not in others, file.name
        assert "innerHTML" not in text
        assert "outerHTML" not in text
        assert "insertAdjacentHTML" not in text
        assert "document.write" not in text
        assert "eval(" not in text


@pytest.mark.parametrize(
    "path", ["/", "/page/main.js", "/api/about", "/api/nothing", "/page/nothing", "/api/tree?tag=|"]
)
def test_every_answer_has_the_headers_that_protect(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(
        policy
    )
    assert not any("unsafe" in part or "*" in part for part in policy)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/page/../_app.py", "/page/%2e%2e/_app.py", "/page/..%2f_app.py", "/page/", "/nothing"]
)
def test_nothing_else_of_the_package_is_served(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "error" in answer.json()


# ---- What it tells -----------------------------------------------------------------------------


def test_about_tells_whether_anything_can_be_changed(client, acting):
    assert client.get("/api/about").json()["actions"] is False
    about = acting.get("/api/about").json()
    assert about["actions"] is True
    assert about["version"] == zoocache.__version__
    assert TOKEN not in json.dumps(about)


def test_tree_tells_one_level(client):
    fill()
    tree = client.get("/api/tree").json()
    assert {branch["tag"]: branch["entries"] for branch in tree["branches"]} == {"shop": 5, "language": 1}
    below = client.get("/api/tree", params={"tag": "shop:1:product"}).json()
    assert len(below["branches"]) == 5
    assert below["took"] >= 0
    zoocache.invalidate("shop:1:product:3")
    wait_until(
        lambda: client.get("/api/tree", params={"tag": "shop:1"}).json()["branches"][0]["invalidated_below"]
    )


def test_what_looks_at_every_entry_is_asked_rarely():
    asked = []

    class Counting(type(inspect())):
        def tree(self, tag=None):
            asked.append(tag)
            return super().tree(tag)

    shown = dashboard(Counting(zoocache._cache.DEFAULT))
    client = Client(shown)
    fill()
    for _ in range(5):
        assert len(client.get("/api/tree").json()["branches"]) == 2
        client.get("/api/tree?tag=shop")
    assert asked == [None, "shop"]
    client.close()
    shown.close()


def test_entries_come_in_pages(client):
    fill()
    first = client.get("/api/entries", params={"prefix": "product", "limit": 2}).json()
    assert [entry["key"] for entry in first["entries"]] == ["product 0", "product 1"]
    following = client.get(
        "/api/entries", params={"prefix": "product", "limit": 2, "cursor": first["cursor"]}
    ).json()
    assert [entry["key"] for entry in following["entries"]] == ["product 2", "product 3"]
    by_tag = client.get("/api/entries", params={"tag": "shop:1:product:4", "state": "fresh"}).json()
    assert [entry["key"] for entry in by_tag["entries"]] == ["product 4"]
    assert by_tag["cursor"] is None
    assert client.get("/api/entries", params={"state": "expired"}).json()["entries"] == []


def test_an_entry_is_explained_with_its_value(client):
    @cacheable(deps=["shop:1:product:7"], stale_if_error=("1h", "any"))
    def product():
        return {"number": 2**64, "price": 1.5}

    product()
    told = client.get("/api/entry", params={"key": product.key()}).json()
    assert told["explanation"]["state"] == "fresh"
    assert told["explanation"]["cause"] is None
    assert "shop:1:product:7" in [one["tag"] for one in told["explanation"]["dependencies"]]
    zoocache.invalidate("shop:1")
    cause = client.get("/api/entry", params={"key": product.key()}).json()["explanation"]["cause"]
    assert cause["tag"].startswith("shop:1")
    absent = client.get("/api/entry", params={"key": "nothing"}).json()
    assert absent["explanation"]["state"] == "absent"
    assert absent["value_trouble"] == "there is no such entry"


def test_a_value_is_plain_data_and_no_longer_than_a_page_can_show(tmp_path, make):
    configure(storage_url=f"lmdb://{tmp_path}")
    zoocache.set("big", "x" * 1_000_000)
    zoocache.set("number", 2**63 - 1)
    client = make()
    big = client.get("/api/entry", params={"key": "big"}).json()
    assert big["cut"]
    assert len(big["value"]) == 256 * 1024
    assert client.get("/api/entry", params={"key": "number"}).json()["value"] == str(2**63 - 1)


def test_affected_is_counted_anew(client):
    fill()
    for number in range(3):
        assert client.get("/api/affected?tag=shop").json() == {"tag": "shop", "affected": 5 - number}
        zoocache.invalidate(f"shop:1:product:{number}")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/entries?limit=0", "limit must be a number from 1 to 500, not '0'"),
        ("/api/entries?limit=501", "limit must be a number from 1 to 500, not '501'"),
        ("/api/entries?limit=-1", "limit must be a number from 1 to 500, not '-1'"),
        ("/api/entries?limit=%D9%A1", "limit must be a number"),
        ("/api/entries?limit=" + "9" * 5000, "limit must be a number"),
        ("/api/entries?state=new", "state must be one of fresh, stale, changing, expired, not 'new'"),
        ("/api/entries?cursor=zz", "not a cursor: 'zz'"),
        ("/api/entries?tag=a::b", "consecutive separators"),
        ("/api/entries?prefix=" + "x" * 20_000, "prefix may have 16384 characters, not 20000"),
        ("/api/tree?tag=%7C", "'|'"),
        ("/api/affected", "tag is missing"),
        ("/api/affected?tag=", "cannot be empty"),
        ("/api/entry", "key is missing"),
    ],
)
def test_wrong_input_is_named(client, path, said):
    answer = client.get(path)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_texts_of_users_come_escaped(client):
    for number, text in enumerate(NASTY):
        zoocache.set(text, text, deps=[f"nasty:{number}"])
    answers = [client.get("/api/entries"), client.get("/api/tree"), client.get("/api/tree?tag=nasty")]
    answers += [client.get("/api/entry", params={"key": text}) for text in NASTY]
    answers += [
        client.get("/api/entry", params={"key": "<script>absent</script>"}),
        client.get("/api/entries?state=<b>"),
    ]
    for answer in answers:
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.content.isascii()
        # No raw control character: those are escaped in JSON.
        assert min(answer.content) >= 0x20
        answer.json()
    assert {entry["key"] for entry in answers[0].json()["entries"]} == set(NASTY)
    assert [json.loads(answer.json()["value"]) for answer in answers[3:][: len(NASTY)]] == NASTY


def test_a_storage_that_fails_is_told_as_json(make):
    class Dead(type(inspect())):
        def entries(self, **_given):
            raise StorageError("the server is <gone>")

        def tree(self, _tag=None):
            raise RuntimeError("a secret of the program")

    client = make(Dead(zoocache._cache.DEFAULT))
    answer = client.get("/api/entries")
    assert (answer.status_code, answer.json()) == (503, {"error": "the server is <gone>"})
    broken = client.get("/api/tree")
    assert broken.status_code == 500
    assert "secret" not in broken.text
    assert broken.headers["x-content-type-options"] == "nosniff"


def test_what_looks_at_every_entry_is_looked_at_one_at_a_time_and_other_questions_do_not_wait(make):
    may_go, looking, most = threading.Event(), [], []

    class Slow(type(inspect())):
        def _scan(self):
            looking.append(1)
            most.append(len(looking))
            may_go.wait(30)
            looking.pop()

        def tree(self, tag=None):
            self._scan()
            return super().tree(tag)

        def affected(self, tag):
            self._scan()
            return super().affected(tag)

        def entries(self, **given):
            if given["tag"] or given["state"]:
                self._scan()
            return super().entries(**given)

    fill()
    client = make(Slow(zoocache._cache.DEFAULT))

    async def others():
        while len([one for one in threading.enumerate() if one.name == "zoocache-dashboard"]) < 8:
            await asyncio.sleep(0.001)
        for path in ("/api/entries?prefix=product", "/api/entry?key=greeting"):
            assert (await client._client.get(path)).status_code == 200
        may_go.set()

    paths = [f"/api/tree?tag={number}" for number in range(3)]
    paths += ["/api/affected?tag=shop"] * 2
    paths += ["/api/entries?tag=shop", "/api/entries?state=fresh", "/api/tree", "/api/tree?tag=9"]
    answers = client.together(paths, after=others)
    assert sorted(answer.status_code for answer in answers) == [200] * 8 + [503]
    assert max(most) == 1


def test_a_value_that_is_slow_to_read_is_read_rarely(make, monkeypatch):
    read = []

    class Slow(type(inspect())):
        def value(self, key):
            read.append(key)
            if key == "slow":
                time.sleep(0.2)
            return super().value(key)

    zoocache.set("slow", 1)
    zoocache.set("quick", 1)
    client = make(Slow(zoocache._cache.DEFAULT))
    for _ in range(3):
        for key in ("slow", "quick"):
            told = client.get("/api/entry", params={"key": key}).json()
            assert told["value"] == "1"
    assert read.count("slow") == 1
    # What became of it is looked at each time.
    zoocache.delete("slow")
    assert client.get("/api/entry?key=slow").json()["explanation"]["state"] == "absent"


def test_a_panic_of_native_code_is_answered(make):
    class Panic(BaseException):
        pass

    class Broken(type(inspect())):
        def entries(self, **_given):
            raise Panic("a secret of the program")

    answer = make(Broken(zoocache._cache.DEFAULT)).get("/api/entries", timeout=30)
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_too_many_questions_at_once_are_refused_and_stop_nobody(make):
    may_go = threading.Event()

    class Slow(type(inspect())):
        def explain(self, key):
            may_go.wait(30)
            return super().explain(key)

    zoocache.set("key", 1)
    client = make(Slow(zoocache._cache.DEFAULT))

    async def release():
        while len([one for one in threading.enumerate() if one.name == "zoocache-dashboard"]) < 8:
            await asyncio.sleep(0.001)
        # What needs no thread is answered meanwhile.
        answer = await client._client.get("/api/about")
        assert answer.status_code == 200
        may_go.set()

    answers = client.together(["/api/entry?key=key"] * 10, after=release)
    assert sorted(answer.status_code for answer in answers) == [200] * 8 + [503] * 2


def test_it_shows_the_default_cache_as_it_is_configured_later(tmp_path, client):
    zoocache.set("in memory", 1)
    assert len(client.get("/api/entries").json()["entries"]) == 1
    zoocache.reset()
    configure(storage_url=f"lmdb://{tmp_path}")
    zoocache.set("in a folder", 1)
    assert [entry["key"] for entry in client.get("/api/entries").json()["entries"]] == ["in a folder"]


def test_it_shows_a_cache_or_an_inspector(make):
    cache = Cache()
    cache.set("mine", 1)
    with inspect(cache) as inspector:
        for shown in (cache, inspector):
            assert [one["key"] for one in make(shown).get("/api/entries").json()["entries"]] == ["mine"]
    with pytest.raises(TypeError, match=r"not str; for a URL or a process: zoocache\.inspect\.inspect"):
        dashboard("lmdb:///tmp")


# ---- Where it is mounted -----------------------------------------------------------------------


def in_starlette(shown):
    return Starlette(routes=[Mount("/ops/cache", shown)])


def in_fastapi(shown):
    app = FastAPI()
    app.mount("/ops/cache", shown)
    return app


def in_litestar(shown):
    return Litestar([asgi("/ops/cache", is_mount=True, copy_scope=True)(shown)])


def in_django(shown):
    django_settings.setup()
    return shown.under("/ops/cache", get_asgi_application())


def in_both(shown):
    """Below something that is mounted itself."""
    return Starlette(routes=[Mount("/ops", shown.under("cache", Starlette()))])


MOUNTS = pytest.mark.parametrize("mount", [in_starlette, in_fastapi, in_litestar, in_django, in_both])


@MOUNTS
def test_it_can_be_mounted_anywhere(make, mount):
    fill()
    client = make(app=mount, token=TOKEN)
    assert "<title>zoocache</title>" in client.get("/ops/cache/").text
    redirected = client.get("/ops/cache", follow_redirects=True)
    assert str(redirected.url) == "http://shop.test/ops/cache/"
    assert "<title>zoocache</title>" in redirected.text
    assert client.get("/ops/cache/page/main.js").status_code == 200
    assert client.get("/ops/cache/page/nothing.js").status_code == 404
    assert len(client.get("/ops/cache/api/entries?prefix=product").json()["entries"]) == 5
    answer = client.post(
        "/ops/cache/api/invalidate", json={"tags": ["shop"]}, headers={"authorization": f"Bearer {TOKEN}"}
    )
    assert answer.status_code == 200
    assert zoocache.get("product 1") is None
    assert client.get("/api/entries").status_code == 404
    assert client.get("/ops/cachet/").status_code == 404


@MOUNTS
def test_events_come_through_wherever_it_is_mounted(mount):
    shown = dashboard()
    app = mount(shown)

    async def listen():
        async with Listener(app, "/ops/cache/events") as listener:
            assert listener.headers["content-type"] == "text/event-stream"
            kind, _, _ = await listener.event()
            assert kind in {"history", "look"}

    asyncio.run(listen())
    shown.close()


def test_it_cannot_take_the_place_of_everything():
    for path in ("", "/", "//"):
        with pytest.raises(ValueError, match="path must be one below /"):
            dashboard().under(path, Starlette())


def test_a_redirect_stays_on_the_same_site(client):
    async def redirect(raw, path="/"):
        told = []
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": raw,
            "root_path": path.rstrip("/"),
            "query_string": b"",
            "headers": [],
        }

        async def send(message):
            told.append(message)

        await dashboard()(scope, None, send)
        return dict(told[0]["headers"])[b"location"].decode()

    assert asyncio.run(redirect(b"/ops/cache")) == "./cache/"
    assert asyncio.run(redirect(b"/ops/%C3%A9", "/ops/\xe9")) == "./%C3%A9/"
    assert asyncio.run(redirect(b"/a%252Fb", "/a%2Fb")) == "./a%252Fb/"
    # Not all servers tell the raw path.
    assert asyncio.run(redirect(None, "/ops/\xe9")) == "./%C3%A9/"
    assert asyncio.run(redirect(None, "/ops/a%2Fb?c")) == "./a%252Fb%3Fc/"
    assert asyncio.run(redirect(b"//evil.test")) == "./evil.test/"
    assert asyncio.run(redirect(b"/javascript:alert(1)")) == "./javascript%3Aalert%281%29/"
    assert asyncio.run(redirect(b"/a\\evil%0d%0ax: y")) == "./a%5Cevil%0D%0Ax%3A%20y/"

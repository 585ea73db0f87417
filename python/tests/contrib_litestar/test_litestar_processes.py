"""Several processes that serve one application share what they have cached."""

import textwrap

from http_servers import http_servers
from litestar import get
from other_process import Other

import zoocache
from zoocache.contrib.litestar import cache_endpoint

APP = """
    import os

    from litestar import Litestar, get, post
    from zoocache import invalidate
    from zoocache.contrib.litestar import HttpCaching, ZooCachePlugin, cache_endpoint

    calls = 0

    @get("/item", response_headers={"X-Pid": str(os.getpid())})
    @cache_endpoint(deps=["items"], http=HttpCaching(tag_headers=["cache-tag"]))
    async def item() -> dict[str, int]:
        global calls
        calls += 1
        return {"pid": os.getpid(), "calls": calls}

    @post("/change")
    async def change() -> None:
        invalidate("items")

    settings = ZooCachePlugin(storage_url=os.environ["CACHE"])
    app = Litestar([item, change], plugins=[settings], logging_config=None, openapi_config=None)
"""


def test_two_servers_share_responses_and_invalidations(tmp_path):
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    with http_servers(tmp_path, "app:app", count=2, CACHE=f"lmdb://{tmp_path}/cache") as (one, other):
        first, second = one.get("/item"), other.get("/item")
        assert first.json() == second.json()
        assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
        assert first.headers["etag"] == second.headers["etag"]
        assert first.headers["cache-tag"] == second.headers["cache-tag"]
        assert "items" in first.headers["cache-tag"].split(",")
        # What the layers add is of the process that answers.
        assert first.headers["x-pid"] != second.headers["x-pid"]
        known = {"If-None-Match": first.headers["etag"]}
        unchanged = other.get("/item", headers=known)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert one.post("/change").status_code == 201
        changed = other.get("/item", headers=known)
        assert (changed.status_code, changed.json()["calls"]) == (200, 1)
        assert one.get("/item").json() == changed.json()


HANDLER = """
    from litestar import Litestar, get
    from litestar.testing import TestClient
    from zoocache.contrib.litestar import cache_endpoint

    calls = 0

    @get("/")
    @cache_endpoint(namespace="shop", deps=["items"], http=True)
    async def item() -> bytes:
        global calls
        calls += 1
        return b"pear"

    def answer():
        with TestClient(Litestar([item], logging_config=None, openapi_config=None)) as client:
            response = client.get("/")
            return response.text, response.headers["x-cache"], response.headers["etag"], calls
"""


def test_another_process_reads_stored_responses(tmp_path):
    one, other = Other(tmp_path), Other(tmp_path)
    try:
        for process in (one, other):
            process.run(HANDLER)
        body, first, etag, _ = one("answer()")
        assert (body, first) == ("pear", "miss")
        assert other("answer()") == ["pear", "hit", etag, 0]
        one.run("invalidate('items')")
        assert other("answer()") == ["pear", "miss", etag, 1]
    finally:
        one.end()
        other.end()


def test_another_cache_reads_stored_responses(shop, tmp_path):
    for calls in (1, 1):
        cache = zoocache.Cache(storage_url=f"lmdb://{tmp_path}")

        @get("/")
        @cache_endpoint(namespace="shared", cache=cache)
        async def item() -> int:
            return shop.count()

        assert shop.client(item).get("/").json() == calls
        cache.close()

"""What changes something: who may ask the dashboard for it, and from where."""

import json
import logging

import pytest
from dashboard_contents import TOKEN, fill

import zoocache
from zoocache.dashboard import dashboard

pytestmark = pytest.mark.memory_only("it shows whatever cache there is")


def act(client, name, content=None, **headers):
    given = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    given = {name: value for name, value in given.items() if value is not None}
    return client.post(f"/api/{name}", content=json.dumps(content or {}), headers=given)


def test_actions_do_what_they_say(acting):
    fill()
    assert act(acting, "unlock").json() == {"unlocked": True}
    position = act(acting, "invalidate", {"tags": ["shop:1:product:1", "language"]}).json()["position"]
    assert zoocache.get_tag_version("language") == position
    assert zoocache.get("product 1") is None
    assert zoocache.get("product 2") is not None
    assert act(acting, "prune").json()["freed"] >= 0
    assert act(acting, "clear").json() == {"cleared": True}
    assert zoocache.get("product 2") is None


ACTIONS = ["unlock", "invalidate", "clear", "prune"]


@pytest.mark.parametrize("name", ACTIONS)
def test_without_a_token_nothing_can_be_changed(client, name):
    fill()
    answer = act(client, name, {"tags": ["shop"]})
    assert answer.status_code == 403
    assert "given no token" in answer.json()["error"]
    assert act(client, name, {"tags": ["shop"]}, authorization="Bearer ").status_code == 403
    assert zoocache.get("product 2") is not None


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize(
    "given",
    [
        None, "", "Bearer", "Bearer ", "Bearer wrong",
        f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}",
        TOKEN, "Bearer \xe9",
    ],
)  # fmt: skip
def test_a_missing_or_wrong_token_is_refused(acting, name, given):
    fill()
    headers = {"content-type": "application/json"} | (
        {} if given is None else {"authorization": given.encode("latin-1")}
    )
    answer = acting.post(f"/api/{name}", content=b'{"tags": ["shop"]}', headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in answer.text
    assert zoocache.get("product 2") is not None


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"origin": "http://shop.test:81"},
        {"origin": "http://shop.test.evil.test"},
        {"origin": "http://evil.test/http://shop.test"},
        {"origin": "http://["},
        {"origin": ""},
        {"origin": "null", "host": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "same-origin", "origin": "http://evil.test"},
    ],
)
def test_pages_of_other_origins_cannot_act(acting, name, headers):
    fill()
    answer = act(acting, name, {"tags": ["shop"]}, **headers)
    assert answer.status_code == 403
    assert "other" in answer.json()["error"]
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert zoocache.get("product 2") is not None


def test_the_page_itself_can_act(acting):
    assert act(acting, "unlock", origin="http://shop.test", sec_fetch_site="same-origin").status_code == 200
    assert act(acting, "unlock", origin="http://SHOP.test").status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        None, "", "text/plain", "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x", "text/json",
        "application/jsonx",
    ],
)  # fmt: skip
def test_forms_cannot_act(acting, kind):
    fill()
    answer = act(acting, "invalidate", {"tags": ["shop"]}, content_type=kind)
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]
    assert zoocache.get("product 2") is not None


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_a_post_acts(acting, name, method):
    fill()
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    answer = acting.request(method, f"/api/{name}?tags=shop", headers=headers)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert zoocache.get("product 2") is not None


@pytest.mark.parametrize(
    "path", ["/api/tree", "/api/entries", "/api/entry", "/api/affected", "/api/about", "/events", "/"]
)
def test_what_is_only_told_cannot_be_posted_to(acting, path):
    assert acting.post(path, json={}).status_code == 405


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 400, "tags must be a list"),
        (b"{", 400, "no JSON"),
        (b"[]", 400, "must be a JSON object, not list"),
        (b'"tags"', 400, "must be a JSON object, not str"),
        (b"[" * 60_000, 400, "no JSON"),
        (b"\xff", 400, "no JSON"),
        (b'{"tags": "shop"}', 400, "tags must be a list of texts"),
        (b'{"tags": [1]}', 400, "tags must be a list of texts"),
        (b'{"tags": []}', 400, "tags must be 1 to 100 of them, not 0"),
        (json.dumps({"tags": ["a"] * 101}).encode(), 400, "not 101"),
        (b'{"tags": ["a::b"]}', 400, "consecutive separators"),
        (b'{"tags": ["' + b"x" * 70_000 + b'"]}', 413, "65536 bytes"),
    ],
)
def test_wrong_actions_are_named(acting, content, status, said):
    fill()
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    answer = acting.post("/api/invalidate", content=content, headers=headers)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert zoocache.get("product 2") is not None


def test_a_body_that_tells_no_length_is_limited(acting):
    sent = []

    async def body():
        for _ in range(1000):
            sent.append(1)
            yield b" " * 10_000

    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    assert acting.post("/api/invalidate", content=body(), headers=headers).status_code == 413


@pytest.mark.parametrize("told", ["9" * 5000, "65537", "\u00b2", "-1", "x"])
def test_a_body_of_a_strange_length_is_refused(acting, told):
    answer = act(acting, "invalidate", {"tags": ["x" * 70_000]}, content_length=told.encode("latin-1"))
    assert answer.status_code == 413


def test_a_token_that_protects_nothing_is_refused():
    for token, said in [
        ("", "not 0"),
        ("short", "not 5"),
        ("with spaces in between", "spaces"),
        ("ключ-из-многих-букв", "ASCII"),
    ]:
        with pytest.raises(ValueError, match=said) as raised:
            dashboard(token=token)
        assert not token or token not in str(raised.value)


def test_the_token_is_in_no_log(acting, caplog):
    caplog.set_level(logging.DEBUG)
    act(acting, "invalidate", {"tags": ["shop"]})
    act(acting, "invalidate", {"tags": ["shop"]}, authorization=f"Bearer {TOKEN}x")
    assert "shop" in caplog.text
    assert TOKEN not in caplog.text


# ---- Who may ask -------------------------------------------------------------------------------


def test_only_allowed_hosts_are_answered(make):
    client = make(allowed_hosts=["Localhost", "127.0.0.1", "[::1]"], token=TOKEN)
    for host in ("localhost", "localhost:8899", "LOCALHOST", "127.0.0.1:1", "[::1]", "[::1]:8899"):
        assert client.get("/", headers={"host": host}).status_code == 200
    for host in (
        "evil.test",
        "localhost.evil.test",
        "127.0.0.1.nip.io",
        "[::2]",
        "localhost@evil.test",
        "",
        "evil.test:localhost",
    ):
        for path in ("/", "/api/entries", "/events", "/page/main.js"):
            answer = client.get(path, headers={"host": host})
            assert answer.status_code == 400
            assert "not served as" in answer.json()["error"]
        assert act(client, "unlock", host=host).status_code == 400


def test_pages_of_other_sites_cannot_ask(client):
    cross = {"sec-fetch-site": "cross-site"}
    for path in ("/api/entries", "/api/tree", "/events", "/page/main.js"):
        assert client.get(path, headers=cross).status_code == 403
    # A link to the page may stand anywhere.
    assert client.get("/", headers=cross).status_code == 200

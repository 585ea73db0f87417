"""The servers in examples/: started as their pages say, with two workers, and hammered over HTTP."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hammer import Hammer, all_at_once
from helpers import wait_until
from http_servers import uvicorn

EXAMPLES = Path(__file__).parents[2] / "examples"
KEYS = range(1, 21)


@contextlib.contextmanager
def two_workers(folder, application, tmp_path, environment):
    """Start an example with two workers; gives its URL, and the file of what it prints."""
    told = tmp_path / "printed"
    with (
        told.open("wb") as printed,
        uvicorn(
            EXAMPLES / folder, application, "--workers", "2", "--no-access-log",
            cwd=tmp_path, stdout=printed, stderr=printed, env=environment,
        ) as (process, port),
    ):  # fmt: skip
        # Both workers: each makes the tables, and opens the cache.
        wait_until(lambda: told.read_text().count("startup complete") == 2 or process.poll() is not None)
        assert process.poll() is None, told.read_text()
        yield f"http://127.0.0.1:{port}", told


# A worker that begins its database when it is told to.
BEGINNER = """
import asyncio, inspect, sys
sys.path.insert(0, sys.argv[1])
from {module} import create

print("ready", flush=True)
sys.stdin.read(1)
begun = create()
if inspect.iscoroutine(begun):
    asyncio.run(begun)
"""


@pytest.mark.parametrize(("folder", "module"), [("fastapi_shop", "database"), ("litestar_library", "app")])
def test_workers_may_begin_the_database_at_once(folder, module, tmp_path):
    command = [sys.executable, "-c", BEGINNER.format(module=module), EXAMPLES / folder]
    pipe = subprocess.PIPE
    for number in range(10):
        place = tmp_path / str(number)
        place.mkdir()
        workers = [
            subprocess.Popen(command, cwd=place, stdin=pipe, stdout=pipe, stderr=pipe)  # noqa: S603 - our own interpreter
            for _ in range(2)
        ]
        for worker in workers:
            assert worker.stdout.readline() == b"ready\n"
        for worker in workers:
            worker.stdin.write(b"!")
            worker.stdin.flush()
        told = [worker.communicate()[1].decode() for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0], told


# ---- FastAPI --------------------------------------------------------------------------------------


async def read_product(client, key):
    """Ask for a product, and for the list that it is in."""
    page = (await client.get(f"/products/{key}")).raise_for_status().json()["product"]
    return {page["id"]: (page["version"], page["name"])}


async def read_products(client, key):
    if key % 5:
        return await read_product(client, key)
    listed = (await client.get("/products")).raise_for_status().json()
    return {product["id"]: (product["version"], product["name"]) for product in listed}


async def write_product(client, key, value):
    return (await client.put(f"/products/{key}", json={"name": value})).raise_for_status().json()["version"]


# ---- Litestar -------------------------------------------------------------------------------------


async def read_books(client, key):
    if key % 5:
        book = (await client.get(f"/books/{key}")).raise_for_status().json()
        return {book["id"]: (book["version"], book["title"])}
    listed = (await client.get("/books")).raise_for_status().json()
    return {book["id"]: (book["version"], book["title"]) for book in listed}


async def write_book(client, key, value):
    return (await client.put(f"/books/{key}", json={"title": value})).raise_for_status().json()["version"]


# ---- Django ---------------------------------------------------------------------------------------


async def read_posts(client, key):
    if key % 5 == 1:
        page = (await client.get("/")).raise_for_status().text
        shown = re.findall(r'<li id="(\d+)" data-version="(\d+)">(.*)</li>', page)
        return {int(post): (int(version), title) for post, version, title in shown}
    if key % 5:
        posts = [(await client.get(f"/api/posts/{key}")).raise_for_status().json()]
    else:
        posts = (await client.get("/api/posts")).raise_for_status().json()
    # An author is called like the first letter of the title, so that the author is compared, too.
    return {post["id"]: (post["version"], post["author"] + post["title"][1:]) for post in posts}


async def write_post(client, key, value):
    # The first one adds the post.
    change = client.put if value.startswith("first") else client.patch
    body = {"title": value, "author": value[0], "tags": [value[0], "new"]}
    return (await change(f"/api/posts/{key}", json=body)).raise_for_status().json()["version"]


# ---- What holds for each ------------------------------------------------------------------------------

SERVERS = {
    "fastapi_shop": {
        "read": read_products,
        "write": write_product,
        "cold": "/products/7",
        "users": "/basket",
        "application": "app:app",
        "show": {"SHOP_SHOW_QUERIES": "1"},
        "query": r"FROM product\s+WHERE product\.id = \?",
    },
    "litestar_library": {
        "read": read_books,
        "write": write_book,
        "cold": "/books/7",
        "users": "/loans",
        "application": "app:app",
        "show": {"LIBRARY_SHOW_QUERIES": "1"},
        "query": r"FROM book WHERE id = 7",
    },
    "django_blog": {
        "application": "blog.asgi:application",
        "prepare": ["manage.py", "migrate"],
        "read": read_posts,
        "write": write_post,
        "cold": "/api/posts/7",
        "users": "/me",
        "show": {"BLOG_SHOW_QUERIES": "1"},
        "query": r'FROM "blog_post" .*WHERE "blog_post"."id" = 7',
    },
}


@pytest.fixture(params=SERVERS)
def example(request, tmp_path):
    given = SERVERS[request.param]
    environment = {**os.environ, **given["show"]}
    if "prepare" in given:
        program, *arguments = given["prepare"]
        command = [sys.executable, EXAMPLES / request.param / program, *arguments]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=environment)  # noqa: S603
    with two_workers(request.param, given["application"], tmp_path, environment) as (url, printed):
        yield given, url, printed


def test_no_response_is_stale(example, capsys):
    given, url, _ = example
    hammer = Hammer(url, given["read"], given["write"], KEYS).run()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{hammer.reads} responses, {hammer.writes} writes, stale responses: {len(hammer.stale)}\n"
        )
    assert hammer.stale == []
    assert hammer.reads == 3000
    assert hammer.writes > len(KEYS)


def test_a_crowd_before_a_cold_page_causes_one_query(example):
    given, url, printed = example
    for number in range(5):
        # Something new to show; whatever showed it before is stale now.
        body = {"name": f"pear {number}", "title": f"Pears {number}"}
        httpx.put(f"{url}{given['cold']}", json=body).raise_for_status()
        before = len(re.findall(given["query"], printed.read_text()))
        answers = all_at_once(url, given["cold"], 200)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert [answer.headers["x-cache"] for answer in answers].count("miss") == 1
        assert len(re.findall(given["query"], printed.read_text())) - before == 1


def test_a_client_that_has_a_page_gets_no_body_from_any_worker(example):
    given, url, _ = example
    with httpx.Client(base_url=url) as client:
        client.put(given["cold"], json={"name": "pear", "title": "Pears"}).raise_for_status()
        tag = client.get(given["cold"]).headers["etag"]
    # Connections of their own, so that each worker is asked.
    for _ in range(20):
        answer = httpx.get(f"{url}{given['cold']}", headers={"if-none-match": tag})
        assert (answer.status_code, answer.content) == (304, b"")
    with httpx.Client(base_url=url) as client:
        client.put(given["cold"], json={"name": "fig", "title": "Figs"}).raise_for_status()
    for _ in range(20):
        answer = httpx.get(f"{url}{given['cold']}", headers={"if-none-match": tag})
        assert answer.status_code == 200


def test_users_are_apart(example):
    given, url, _ = example
    for name in ("ann", "bob") * 10:
        answer = httpx.get(f"{url}{given['users']}", headers={"authorization": name})
        assert answer.json()["of"] == name
    assert httpx.get(f"{url}{given['users']}").status_code == 401

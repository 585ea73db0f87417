"""Cached endpoints answer as uncached ones do, and run only when they must."""

import asyncio
import contextlib
import functools
import sqlite3
from dataclasses import dataclass
from typing import Annotated

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    WebSocket,
)
from fastapi.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from fastapi.security import SecurityScopes
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import Route

import zoocache
from zoocache.contrib.fastapi import cache_endpoint


class Product(BaseModel):
    id: int
    name: str = "pear"
    note: str = "cost"


@pytest.fixture(params=["async", "sync"])
def kind(request):
    """Makes an endpoint a coroutine function, or leaves it a plain one."""
    if request.param == "sync":
        return lambda func: func

    def to_async(func):
        @functools.wraps(func)
        async def endpoint(*args, **kwargs):
            await asyncio.sleep(0)
            return func(*args, **kwargs)

        return endpoint

    return to_async


def test_a_hit_does_not_run_the_endpoint(shop, kind):
    @shop.app.get("/products/{product_id}")
    @cache_endpoint(deps=lambda product_id: [f"product:{product_id}"])
    @kind
    def product(product_id: int, language: str = "en"):
        return {"id": product_id, "language": language, "call": shop.count()}

    client = shop.client()
    first = client.get("/products/1")
    assert first.json() == {"id": 1, "language": "en", "call": 1}
    again = client.get("/products/1?language=en")
    assert (again.json(), again.headers) == (first.json(), first.headers)
    assert client.get("/products/1?language=de").json()["call"] == 2
    assert client.get("/products/2").json()["call"] == 3
    zoocache.invalidate("product:1")
    assert client.get("/products/1").json()["call"] == 4
    assert client.get("/products/2").json()["call"] == 3


def test_dependencies_that_are_found_late_count(shop, kind):
    @zoocache.cacheable(deps=["stock"])
    def stock():
        return shop.calls

    @shop.app.get("/")
    @cache_endpoint
    @kind
    def page():
        zoocache.add_deps(["page"])
        stock()
        return shop.count()

    client = shop.client()
    assert [client.get("/").json() for _ in range(2)] == [1, 1]
    zoocache.invalidate("stock")
    assert client.get("/").json() == 2
    zoocache.invalidate("page")
    assert client.get("/").json() == 3


def test_bodies_and_models_take_part_in_the_key(shop, kind):
    @shop.app.post("/search")
    @cache_endpoint
    @kind
    def search(product: Product, tags: Annotated[list[str], Query()]):
        return [product.name, tags, shop.count()]

    client = shop.client()

    def ask(name, *tags):
        return client.post("/search", json={"id": 1, "name": name}, params={"tags": tags}).json()

    assert ask("fig", "a") == ask("fig", "a") == ["fig", ["a"], 1]
    assert ask("kiwi", "a") == ["kiwi", ["a"], 2]
    assert ask("fig", "a", "b") == ["fig", ["a", "b"], 3]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"response_model": Product},
        {"response_model": Product, "response_model_exclude": {"note"}},
        {"response_model": Product, "response_model_include": {"id", "name"}},
        {"response_model": Product, "response_model_exclude_unset": True},
        {"response_model": Product | None, "response_model_exclude_defaults": True},
        {"response_model": None},
        {"response_model": dict, "status_code": 201},
        {"response_model": Product, "response_class": JSONResponse},
        {"response_class": PlainTextResponse, "response_model": None},
        {"status_code": 204, "response_model": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("made", ["model", "dict"])
def test_answers_are_those_of_the_bare_framework(shop, kind, options, made):
    def product(response: Response):
        response.headers["x-shelf"] = "7"
        if options.get("response_class") is PlainTextResponse:
            return "a pear"
        if options.get("status_code") == 204:
            return None
        return Product(id=1) if made == "model" else {"id": 1, "note": "dict"}

    if options.get("response_model") is dict and made == "model":
        product = lambda: {"a": 1}  # noqa: E731 - a model is no dict
    shop.app.get("/bare", **options)(kind(product))
    shop.app.get("/cached", **options)(cache_endpoint(kind(product)))
    client = shop.client()
    bare = client.get("/bare")
    for _ in range(2):
        cached = client.get("/cached")
        assert (cached.status_code, cached.content) == (bare.status_code, bare.content)
        assert cached.headers == bare.headers


def test_one_endpoint_on_two_routes_has_two_answers(shop):
    class Short(BaseModel):
        id: int

    @cache_endpoint
    async def product(product_id: int):
        return {"id": product_id, "name": "pear", "note": "cost"}

    shop.app.get("/long/{product_id}", response_model=Product)(product)
    shop.app.get("/short/{product_id}", response_model=Short)(product)
    client = shop.client()
    for _ in range(2):
        assert client.get("/long/1").json() == {"id": 1, "name": "pear", "note": "cost"}
        assert client.get("/short/1").json() == {"id": 1}


def test_a_router_decides_about_the_class_of_the_response(shop):
    class Exclaimed(PlainTextResponse):
        def render(self, content):
            return super().render(content) + b"!"

    router = APIRouter(default_response_class=Exclaimed)

    @router.get("/hello", response_model=None)
    @cache_endpoint
    async def hello():
        return "hello"

    shop.app.include_router(router, prefix="/in")
    client = shop.client()
    assert [client.get("/in/hello").text for _ in range(2)] == ["hello!", "hello!"]


def test_what_an_endpoint_sets_is_kept_and_what_dependencies_set_is_made_anew(shop, kind):
    requests = iter(range(10))

    def numbered(response: Response):
        response.headers["x-request"] = str(next(requests))

    @shop.app.get("/", dependencies=[Depends(numbered)])
    @cache_endpoint
    @kind
    def page(response: Response):
        response.status_code = 203
        response.headers["x-call"] = str(shop.count())
        return "page"

    client = shop.client()
    answers = [client.get("/") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [203, 203]
    assert [answer.headers["x-call"] for answer in answers] == ["1", "1"]
    assert [answer.headers["x-request"] for answer in answers] == ["0", "1"]


@pytest.mark.parametrize(
    "made",
    [
        lambda: JSONResponse({"a": 1}, status_code=202, headers={"x-a": "1"}),
        lambda: HTMLResponse("<p>"),
        lambda: RedirectResponse("/elsewhere"),
        lambda: Response(b"\x00\xff", media_type="application/octet-stream"),
        lambda: Response(status_code=404),
    ],
)
def test_responses_are_kept_whole(shop, kind, made):
    @shop.app.get("/")
    @cache_endpoint
    @kind
    def page():
        shop.count()
        return made()

    client = shop.client()
    for _ in range(2):
        answer, bare = client.get("/"), made()
        assert (answer.status_code, answer.content) == (bare.status_code, bare.body)
        assert answer.headers.raw == bare.raw_headers
    assert shop.calls == 1


def test_streams_are_refused(shop, kind):
    @shop.app.get("/")
    @cache_endpoint
    @kind
    def page():
        return StreamingResponse(iter(["a", "b"]))

    with pytest.raises(TypeError, match="StreamingResponse is sent piece by piece and cannot be cached"):
        shop.get("/")


def test_generators_are_refused(shop):
    with pytest.raises(TypeError, match="is a generator, whose answer is sent piece by piece"):

        @shop.app.get("/")
        @cache_endpoint
        async def page():
            yield "a"


def test_exceptions_are_not_cached(shop, kind):
    @shop.app.get("/{product_id}")
    @cache_endpoint
    @kind
    def product(product_id: int):
        if shop.count() == 1:
            raise HTTPException(404, detail="gone", headers={"x-why": "sold"})
        return "here"

    client = shop.client()
    answer = client.get("/1")
    assert (answer.status_code, answer.json(), answer.headers["x-why"]) == (404, {"detail": "gone"}, "sold")
    assert client.get("/1").json() == "here"


@pytest.mark.parametrize(
    ("made", "is_kept"),
    [
        (lambda: Response("x", status_code=500), False),
        (lambda: Response("x", status_code=503), False),
        (lambda: Response("x", status_code=401), False),
        (lambda: Response("x", status_code=429), False),
        (lambda: Response("x", headers={"set-cookie": "a=1"}), False),
        (lambda: Response("x", headers={"cache-control": "No-Store"}), False),
        (lambda: Response("x", headers={"cache-control": "max-age=5"}), True),
        (lambda: Response("x", status_code=410), True),
    ],
)
def test_what_must_not_be_shared_is_not_kept(shop, kind, made, is_kept):
    @shop.app.get("/")
    @cache_endpoint
    @kind
    def page():
        shop.count()
        return made()

    client = shop.client()
    for _ in range(2):
        assert client.get("/").status_code == made().status_code
    assert shop.calls == (1 if is_kept else 2)


def test_a_cookie_reaches_nobody_who_waits(shop):
    arrived, go_on = [], asyncio.Event()

    @shop.app.get("/{path}")
    @cache_endpoint
    async def login(path: str, response: Response):
        number = shop.count()
        if number == 1:
            await go_on.wait()
        response.set_cookie("session", str(number))
        return number

    @shop.app.middleware("http")
    async def arriving(request, call_next):
        arrived.append(request)
        return await call_next(request)

    async def all_are_there():
        while len(arrived) < 20:
            await asyncio.sleep(0)
        go_on.set()

    answers = shop.client().together(["/in"] * 20, after=all_are_there)
    assert sorted(answer.json() for answer in answers) == list(range(1, 21))
    assert all(answer.cookies["session"] == str(answer.json()) for answer in answers)


@pytest.mark.parametrize("count", [200])
def test_a_cold_endpoint_is_computed_once(shop, count):
    arrived, go_on = [], asyncio.Event()

    @shop.app.get("/{path}")
    @cache_endpoint
    async def page(path: str):
        await go_on.wait()
        return shop.count()

    @shop.app.middleware("http")
    async def arriving(request, call_next):
        arrived.append(request)
        return await call_next(request)

    async def all_are_there():
        while len(arrived) < count:
            await asyncio.sleep(0)
        go_on.set()

    answers = shop.client().together(["/cold"] * count, after=all_are_there)
    assert [answer.json() for answer in answers] == [1] * count


def test_background_tasks_run_when_the_endpoint_runs(shop, kind):
    done = []

    @shop.app.get("/injected")
    @cache_endpoint
    @kind
    def injected(tasks: BackgroundTasks):
        tasks.add_task(done.append, "injected")
        return "x"

    @shop.app.get("/own")
    @cache_endpoint
    @kind
    def own():
        tasks = BackgroundTasks()
        tasks.add_task(done.append, "own")
        return Response("x", background=tasks)

    client = shop.client()
    for path in ("/injected", "/own") * 2:
        client.get(path)
    assert done == ["injected", "own"]


def test_what_the_framework_passes_takes_no_part_in_the_key(shop, kind):
    @shop.app.get("/")
    @cache_endpoint
    @kind
    def page(
        request: Request, response: Response, tasks: BackgroundTasks, scopes: SecurityScopes, q: int = 1
    ):
        assert request.url.path == "/"
        assert isinstance(response, Response)
        assert isinstance(tasks, BackgroundTasks)
        assert scopes.scopes == []
        return shop.count()

    client = shop.client()
    assert [client.get("/", headers={"x-request-id": id}).json() for id in "ab"] == [1, 1]
    assert client.get("/?q=2").json() == 2


def test_sessions_take_no_part_in_the_key(shop, kind):
    def session():
        # An async endpoint uses it in another thread than this dependency is run in.
        with contextlib.closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
            yield connection

    @shop.app.get("/annotated/{product_id}")
    @cache_endpoint(deps=lambda product_id: [f"product:{product_id}"])
    @kind
    def annotated(product_id: int, db: Annotated[sqlite3.Connection, Depends(session)]):
        shop.count()
        return db.execute("SELECT ?", [product_id]).fetchone()

    @shop.app.get("/plain/{product_id}")
    @cache_endpoint
    @kind
    def plain(product_id: int, db=Depends(session)):  # noqa: B008
        shop.count()
        return db.execute("SELECT ?", [product_id]).fetchone()

    client = shop.client()
    for path in ("/annotated/1", "/plain/1") * 2:
        assert client.get(path).json() == [1]
    assert shop.calls == 2


@pytest.mark.parametrize("option", [{"stale_while_revalidate": 5}, {"early_refresh": 1.0}, {"timeout": 1}])
def test_sessions_that_are_closed_when_they_would_be_needed_are_refused(shop, option):
    with pytest.raises(
        zoocache.ConfigError, match=r"'db' of .* is closed; leave .* out, or open a session inside"
    ):

        @cache_endpoint(**option)
        async def page(db: sqlite3.Connection):
            return 1

    def session():
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            yield connection

    @shop.app.get("/")
    @cache_endpoint(**option)
    async def unannotated(db=Depends(session)):  # noqa: B008
        return 1

    with pytest.raises(zoocache.ConfigError, match="'db'"):
        shop.get("/")


def test_dependencies_take_part_by_value(shop, kind):
    @dataclass(frozen=True)
    class Page:
        size: int

    @shop.app.get("/")
    @cache_endpoint
    @kind
    def page(page: Annotated[Page, Depends(lambda size=1: Page(size))]):
        return [page.size, shop.count()]

    client = shop.client()
    assert [client.get(f"/?size={size}").json() for size in "112"] == [["1", 1], ["1", 1], ["2", 2]]


def test_a_dependency_without_stable_encoding_is_named(shop, kind):
    class Repository:
        pass

    shared = Repository()

    @shop.app.get("/refused")
    @cache_endpoint
    @kind
    def refused(repository: Annotated[Repository, Depends(lambda: shared)]):
        return 1

    @shop.app.get("/ignored")
    @cache_endpoint(ignore=["repository"])
    @kind
    def ignored(repository: Annotated[Repository, Depends(lambda: shared)]):
        assert repository is shared
        return shop.count()

    client = shop.client()
    with pytest.raises(
        ValueError, match=r'argument "repository" cannot be part of a cache key.*ignore=\("name",\)'
    ):
        client.get("/refused")
    assert [client.get("/ignored").json() for _ in range(2)] == [1, 1]


def test_a_key_of_ones_own(shop, kind):
    @shop.app.get("/{name}")
    @cache_endpoint(key=lambda name, request: (name.lower(), request.url.port))
    @kind
    def page(name: str, request: Request, x_noise: Annotated[str, Header()] = ""):
        return shop.count()

    client = shop.client()
    assert [client.get(path, headers={"x-noise": path}).json() for path in ("/a", "/A", "/b")] == [1, 1, 2]


def test_headers_that_answers_vary_with(shop, kind):
    @shop.app.get("/")
    @cache_endpoint(vary=["Accept-Language"], http=True)
    @kind
    def page():
        return shop.count()

    client = shop.client()
    answers = [client.get("/", headers={"accept-language": language}) for language in ("de", "en", "de")]
    assert [answer.json() for answer in answers] == [1, 2, 1]
    assert answers[0].headers["vary"] == "accept-language"


def test_lifetimes_and_conditions_are_about_what_the_endpoint_returns(shop, kind):
    @shop.app.get("/if/{number}")
    @cache_endpoint(cache_if=lambda number: number > 1)
    @kind
    def kept(number: int):
        shop.count()
        return number

    @shop.app.get("/ttl/{number}")
    @cache_endpoint(ttl=lambda number: 60 * number)
    @kind
    def lasting(number: int):
        shop.count()
        return number

    client = shop.client()
    for path in ("/if/1", "/if/1", "/if/2", "/if/2", "/ttl/0", "/ttl/0", "/ttl/1", "/ttl/1"):
        client.get(path)
    assert shop.calls == 2 + 1 + 2 + 1


def test_called_by_hand_it_returns_what_the_function_returns(shop, kind):
    @cache_endpoint(deps=lambda product_id: [f"product:{product_id}"])
    @kind
    def product(product_id: int, *, name: str = "fig"):
        shop.count()
        return Product(id=product_id, name=name)

    def call(*args, **kwargs):
        made = product(*args, **kwargs)
        return asyncio.run(made) if asyncio.iscoroutine(made) or hasattr(made, "send") else made

    assert call(1) == call(product_id=1) == Product(id=1, name="fig")
    assert shop.calls == 1
    zoocache.invalidate("product:1")
    assert call(1, name="kiwi").name == "kiwi"
    assert (call(1), shop.calls) == (Product(id=1, name="fig"), 3)
    zoocache.invalidate(product.tag)
    assert (call(1), shop.calls) == (Product(id=1, name="fig"), 4)


def test_tag_and_stats_of_the_function(shop):
    @shop.app.get("/")
    @cache_endpoint
    async def page():
        return shop.count()

    client = shop.client()
    client.get("/")
    client.get("/")
    assert (page.stats()["hits"], page.stats()["misses"]) == (1, 1)
    zoocache.invalidate(page.tag)
    assert client.get("/").json() == 2


def test_another_cache(shop):
    cache = zoocache.Cache()

    @shop.app.get("/")
    @cache_endpoint(cache=cache, deps=["page"])
    async def page():
        return shop.count()

    client = shop.client()
    zoocache.invalidate("page")
    assert [client.get("/").json() for _ in range(2)] == [1, 1]
    cache.invalidate("page")
    assert client.get("/").json() == 2
    cache.close()


def test_a_stale_response_stands_in(shop, kind):
    @shop.app.get("/")
    @cache_endpoint(deps=["page"], stale_if_error=("1h", "any"), http=True)
    @kind
    def page():
        if shop.count() > 1:
            raise OSError("the database is away")
        return "old"

    client = shop.client()
    assert [client.get("/").headers["x-cache"] for _ in range(2)] == ["miss", "hit"]
    zoocache.invalidate("page")
    answer = client.get("/")
    assert (answer.json(), answer.headers["x-cache"]) == ("old", "stale")


def test_mounted_applications_are_apart(shop):
    @cache_endpoint
    async def page(request: Request):
        return [request.scope["root_path"], shop.count()]

    for name in ("a", "b"):
        inner = FastAPI()
        inner.get("/")(page)
        shop.app.mount(f"/{name}", inner)
    client = shop.client()
    assert [client.get(f"/{name}/").json() for name in "aba"] == [["/a", 1], ["/b", 2], ["/a", 1]]


def test_endpoints_of_starlette(shop):
    @cache_endpoint(deps=["page"])
    async def page(request):
        return PlainTextResponse(f"{request.path_params['name']} {request.url.query} {shop.count()}")

    @cache_endpoint
    def sync(request):
        return PlainTextResponse(f"{shop.count()}")

    @cache_endpoint
    async def refused(request):
        return {"a": 1}

    app = Starlette(
        routes=[
            Route("/page/{name}", page, methods=["GET", "POST"]),
            Route("/sync", sync),
            Route("/no", refused),
        ]
    )
    client = shop.client(app)
    assert [client.get(f"/page/{path}").text for path in ("a", "b", "a", "a?x=1", "a?x=1")] == [
        "a  1", "b  2", "a  1", "a x=1 3", "a x=1 3",
    ]  # fmt: skip
    assert client.post("/page/a").text == "a  4"
    assert [client.get("/page/a", headers={"authorization": user}).text for user in "xyx"] == [
        "a  5", "a  6", "a  5",
    ]  # fmt: skip
    zoocache.invalidate("page")
    assert client.get("/page/a").text == "a  7"
    assert [client.get("/sync").text for _ in range(2)] == ["8", "8"]
    with pytest.raises(TypeError, match="must return a Response, not dict"):
        client.get("/no")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"vary": "accept"}, r"write vary=\('accept',\)"),
        ({"shared": 1}, "shared must be a bool, not int: 1"),
        ({"http": "yes"}, "http must be True, False or an HttpCaching"),
        ({"ttl": -1}, "ttl must be greater than 0, not -1"),
        ({"key": 1}, "key must be a function of the arguments, not int: 1"),
        ({"namespace": 1}, "namespace must be a str"),
    ],
)
def test_nonsense_is_refused(options, text):
    with pytest.raises(zoocache.ConfigError, match=text):

        @cache_endpoint(**options)
        async def page():
            return 1


def test_a_key_of_unknown_parameters_is_refused():
    with pytest.raises(TypeError, match="key wants 'nobody'"):

        @cache_endpoint(key=lambda nobody: 1)
        async def page(product_id: int):
            return 1


def test_invalid_tags_are_refused():
    with pytest.raises(zoocache.InvalidTag, match="consecutive separators"):

        @cache_endpoint(deps=["a::b"])
        async def page():
            return 1


def test_what_a_response_says_it_varies_on_becomes_part_of_the_key(shop):
    @shop.app.get("/")
    @cache_endpoint
    async def greeting(request: Request):
        language = request.headers.get("accept-language", "en")
        return Response(f"{language} {shop.count()}", headers={"Vary": "Accept-Language"})

    asked = ("en", "de", "en", "de", "fr")
    answers = [shop.get("/", headers={"accept-language": name}).text for name in asked]
    # The first one tells, and is not kept.
    assert answers == ["en 1", "de 2", "en 3", "de 2", "fr 4"]


def test_websockets_are_refused_when_they_connect(shop):
    @shop.app.websocket("/ws")
    @cache_endpoint
    async def chat(websocket: WebSocket):
        await websocket.accept()

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        raise AssertionError(message)

    scope = {"type": "websocket", "path": "/ws", "query_string": b"", "headers": [], "subprotocols": []}
    with pytest.raises(TypeError, match=r"serves a WebSocket.*leave cache_endpoint out"):
        asyncio.run(shop.app(scope, receive, send))

"""Cached handlers answer as uncached ones do, and run only when they must."""

import asyncio
import enum
import re
import sqlite3
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import asgi_client
import attrs
import msgspec
import pydantic
import pytest
from litestar import (
    Controller,
    Litestar,
    MediaType,
    Request,
    Response,
    Router,
    delete,
    get,
    head,
    post,
    put,
    route,
)
from litestar.datastructures import Cookie, ResponseHeader, State
from litestar.di import Provide
from litestar.dto import DataclassDTO, DTOConfig, DTOData, MsgspecDTO
from litestar.exceptions import HTTPException, NotFoundException
from litestar.response import File, Redirect, ServerSentEvent, Stream, Template
from litestar.response.base import ASGIResponse
from litestar.testing import TestClient
from litestar_style import FromPath, FromQuery, JSONBody, NamedDependency, PydanticDTO, RawBody

import zoocache
from zoocache.contrib.litestar import cache_endpoint


@dataclass
class Item:
    id: int
    price: str = "cost"


class Struct(msgspec.Struct):
    id: int
    price: str = "cost"


class Model(pydantic.BaseModel):
    id: int
    price: str = "cost"


@attrs.define
class Defined:
    id: int
    price: str = "cost"


class ItemDTO(DataclassDTO[Item]):
    config = DTOConfig(exclude={"price"})


class StructDTO(MsgspecDTO[Struct]):
    config = DTOConfig(exclude={"price"})


class ModelDTO(PydanticDTO[Model]):
    config = DTOConfig(exclude={"price"})


class Colour(enum.Enum):
    RED = "red"


T = TypeVar("T")


@dataclass
class Page(Generic[T]):
    items: list[T]
    total: int


def test_a_handler_runs_once_for_equal_arguments(shop, kind):
    def item(item_id: FromPath[int], size: FromQuery[int] = 1) -> dict[str, int]:
        return {"id": item_id, "size": size, "count": shop.count()}

    client = shop.client(kind(get, "/items/{item_id:int}")(item, cache_endpoint))
    assert client.get("/items/1").json() == {"id": 1, "size": 1, "count": 1}
    assert client.get("/items/1").json()["count"] == 1
    assert client.get("/items/1?size=1").json()["count"] == 1
    assert client.get("/items/1?size=2").json()["count"] == 2
    assert client.get("/items/2").json()["count"] == 3


def test_a_change_makes_it_run_again(shop, kind):
    def item(item_id: FromPath[int]) -> int:
        zoocache.add_deps([f"warehouse:{item_id}"])
        return shop.count()

    cached = cache_endpoint(deps=lambda item_id: [f"item:{item_id}"])
    client = shop.client(kind(get, "/{item_id:int}")(item, cached))
    assert [client.get("/1").json(), client.get("/2").json()] == [1, 2]
    zoocache.invalidate("item:1")
    assert [client.get("/1").json(), client.get("/2").json()] == [3, 2]
    zoocache.invalidate("warehouse:2")
    assert [client.get("/1").json(), client.get("/2").json()] == [3, 4]


#: What a handler may say of its result: the annotation, the result, and options of its decorator.
RESULTS = {
    "dict": (dict[str, int], lambda: {"a": 1}, {}),
    "list of dataclasses": (list[Item], lambda: [Item(1), Item(2)], {}),
    "dataclass": (Item, lambda: Item(1), {}),
    "struct": (Struct, lambda: Struct(1), {}),
    "model": (Model, lambda: Model(id=1), {}),
    "attrs": (Defined, lambda: Defined(1), {}),
    "str": (str, lambda: "pear", {}),
    "empty str": (str, lambda: "", {}),
    "bytes": (bytes, lambda: b"\x00\xff", {"media_type": "application/octet-stream"}),
    "html": (str, lambda: "<p>", {"media_type": MediaType.HTML}),
    "msgpack": (dict[str, int], lambda: {"a": 1}, {"media_type": MediaType.MESSAGEPACK}),
    "none": (type(None), lambda: None, {}),
    "any": (Any, lambda: {"a": [1, None]}, {}),
    "encoder": (Any, lambda: {"a": 1 + 2j}, {"type_encoders": {complex: str}}),
    "enum": (Colour, lambda: Colour.RED, {}),
    "status": (dict[str, int], lambda: {"a": 1}, {"status_code": 203}),
    "optional": (Item | None, lambda: None, {}),
    "response": (Response[dict[str, int]], lambda: Response({"a": 1}, status_code=202), {}),
    "response's headers": (
        Response[str],
        lambda: Response("x", headers={"X-Own": "1", "X-Both": "own"}),
        {"response_headers": {"X-Both": "layer", "X-Layer": "2"}},
    ),
    "response of a struct": (Response[Struct], lambda: Response(Struct(1)), {}),
    "response's type": (Response[str], lambda: Response("x", media_type="text/csv"), {}),
    "unannotated response": (Any, lambda: Response("x", status_code=201, media_type=MediaType.TEXT), {}),
    "asgi": (ASGIResponse, lambda: ASGIResponse(body=b"x", media_type="text/plain"), {}),
    "redirect": (Redirect, lambda: Redirect("/elsewhere?a=1"), {}),
    "moved": (Redirect, lambda: Redirect("/elsewhere", status_code=301), {}),
    "headers": (str, lambda: "x", {"response_headers": [ResponseHeader(name="X-A", value="1")]}),
    "documented header": (
        str,
        lambda: "x",
        {"response_headers": [ResponseHeader(name="X-A", documentation_only=True)]},
    ),
    "cookies": (str, lambda: "x", {"response_cookies": [Cookie(key="theme", value="dark", max_age=5)]}),
    "dto": (Item, lambda: Item(1), {"return_dto": ItemDTO}),
    "dto of a list": (list[Item], lambda: [Item(1), Item(2)], {"return_dto": ItemDTO}),
    "dto of a page": (Page[Item], lambda: Page([Item(1)], 1), {"return_dto": ItemDTO}),
    "dto of a response": (
        Response[Item],
        lambda: Response(Item(1), headers={"X-A": "1"}),
        {"return_dto": ItemDTO},
    ),
    "dto of a struct": (Struct, lambda: Struct(1), {"return_dto": StructDTO}),
    "dto of a model": (Model, lambda: Model(id=1), {"return_dto": ModelDTO}),
    "no dto": (Item, lambda: Item(1), {"return_dto": None}),
}


def told(response):
    return response.status_code, response.content, sorted(response.headers.multi_items())


@pytest.mark.parametrize("case", RESULTS)
def test_answers_are_those_of_an_uncached_handler(shop, kind, case):
    returned, make, options = RESULTS[case]

    def item():
        shop.count()
        return make()

    item.__annotations__["return"] = returned
    bare = kind(get, "/bare", **options)(item)
    cached = kind(get, "/cached", **options)(item, cache_endpoint)
    client = shop.client(bare, cached)
    client.follow_redirects = False
    wanted = told(client.get("/bare"))
    assert told(client.get("/cached")) == wanted
    assert shop.calls == 2
    assert told(client.get("/cached")) == wanted
    assert shop.calls == 2


def test_a_handler_of_each_method_answers_as_it_would(shop):
    def nothing() -> None:
        shop.count()

    def something() -> str:
        return f"{shop.count()}"

    client = shop.client(
        delete("/bare", sync_to_thread=False)(nothing),
        delete("/cached", sync_to_thread=False)(cache_endpoint(nothing)),
        head("/bare", sync_to_thread=False)(nothing),
        head("/cached", sync_to_thread=False)(cache_endpoint(nothing)),
        route("/both", http_method=["GET", "HEAD"], sync_to_thread=False)(cache_endpoint(something)),
    )
    for method in ("DELETE", "HEAD"):
        bare, first, again = (client.request(method, path) for path in ("/bare", "/cached", "/cached"))
        assert first.status_code == again.status_code == bare.status_code
        assert first.headers == again.headers == bare.headers
    assert shop.calls == 4
    assert client.get("/both").text == "5"
    answer = client.head("/both")
    assert (answer.content, answer.headers["content-length"]) == (b"", "1")


@pytest.mark.parametrize("options", [{}, {"return_dto": StructDTO}])
def test_handlers_may_share_their_path(shop, kind, options):
    """Litestar registers a handler again for each other one that comes to its path."""
    stored = {1: Struct(1, "4")}

    def show(item_id: FromPath[int]) -> Struct:
        shop.count()
        return stored[item_id]

    def change(item_id: FromPath[int], data: JSONBody[Struct]) -> Struct:
        stored[item_id] = data
        zoocache.invalidate(f"item:{item_id}")
        return data

    def remove(item_id: FromPath[int]) -> None:
        del stored[item_id]
        zoocache.invalidate(f"item:{item_id}")

    cached = cache_endpoint(deps=lambda item_id: [f"item:{item_id}"], http=True)
    path = "/{item_id:int}"
    client = shop.client(
        kind(get, path, **options)(show, cached), kind(put, path)(change), kind(delete, path)(remove)
    )
    first = client.get("/1")
    assert client.get("/1").content == first.content == client.get("/1").content
    assert (first.status_code, shop.calls) == (200, 1)
    assert client.get("/1", headers={"if-none-match": first.headers["etag"]}).status_code == 304
    assert client.put("/1", json={"id": 1, "price": "5"}).json() == {"id": 1, "price": "5"}
    assert client.get("/1").content == first.content.replace(b"4", b"5")
    assert shop.calls == 2
    assert client.delete("/1").status_code == 204
    assert client.get("/1").status_code == 500


@pytest.mark.parametrize("cls", [Item, Struct, Model, Defined])
def test_a_decoded_body_is_part_of_the_key(shop, kind, cls):
    def create(data) -> dict[str, int]:
        return {"id": data.id, "count": shop.count()}

    create.__annotations__["data"] = JSONBody[cls]
    client = shop.client(kind(post, "/")(create, cache_endpoint))
    assert client.post("/", json={"id": 1}).json() == {"id": 1, "count": 1}
    assert client.post("/", json={"id": 1}).json()["count"] == 1
    assert client.post("/", json={"id": 1, "price": "other"}).json()["count"] == 2
    assert client.post("/", json={"id": 2}).json() == {"id": 2, "count": 3}


def test_a_raw_body_is_part_of_the_key(shop):
    @post("/")
    @cache_endpoint
    async def create(body: RawBody) -> str:
        return f"{body!r} {shop.count()}"

    client = shop.client(create)
    assert client.post("/", content=b"a").text == "b'a' 1"
    assert client.post("/", content=b"a").text == "b'a' 1"
    assert client.post("/", content=b"b").text == "b'b' 2"


def test_data_of_a_dto_is_part_of_the_key(shop):
    @post("/", dto=ItemDTO)
    @cache_endpoint
    async def create(data: JSONBody[DTOData[Item]]) -> Item:
        shop.count()
        return data.create_instance(price=f"{shop.calls}")

    client = shop.client(create)
    assert client.post("/", json={"id": 1}).json() == {"id": 1}
    client.post("/", json={"id": 1})
    assert shop.calls == 1
    assert client.post("/", json={"id": 2}).json() == {"id": 2}
    assert shop.calls == 2


def test_methods_of_controllers_are_cached_whatever_object_they_belong_to(shop):
    class Items(Controller):
        path = "/items"

        @get("/{item_id:int}")
        @cache_endpoint
        async def one(self, item_id: FromPath[int]) -> str:
            return f"{type(self).__name__} {item_id} {shop.count()}"

        @get("/", sync_to_thread=False)
        @cache_endpoint
        def every(self) -> str:
            return f"{type(self).__name__} {shop.count()}"

    class Others(Items):
        path = "/others"

    client = shop.client(Items, Others)
    assert [client.get("/items/1").text for _ in "ab"] == ["Items 1 1"] * 2
    assert client.get("/items/2").text == "Items 2 2"
    assert client.get("/items").text == client.get("/items").text == "Items 3"
    assert client.get("/others/1").text == "Others 1 4"
    # Another application makes another object of the controller.
    assert shop.client(Items).get("/items/1").text == "Items 1 1"


def test_one_function_on_several_routes_has_a_response_for_each(shop):
    @cache_endpoint
    async def item() -> Item:
        return Item(shop.count())

    client = shop.client(get(["/a", "/b"])(item), get("/c", return_dto=ItemDTO)(item))
    answers = [client.get(path).json() for path in ("/a", "/b", "/c") * 2]
    assert answers == [{"id": 1, "price": "cost"}, {"id": 2, "price": "cost"}, {"id": 3}] * 2


def test_one_function_below_several_routers_has_a_response_for_each(shop):
    @get("/{item_id:int}")
    @cache_endpoint
    async def one(item_id: FromPath[int]) -> int:
        return shop.count()

    @get("/")
    @cache_endpoint
    async def every() -> int:
        return shop.count()

    client = shop.client(*(Router(path, route_handlers=[one, every]) for path in ("/a", "/b")))
    paths = ("/a/1", "/b/1", "/a", "/b", "/a/")
    assert [client.get(path).json() for path in paths * 2] == [1, 2, 3, 4, 3] * 2


def test_what_dependencies_return_is_part_of_the_key(shop):
    async def size(q: FromQuery[int] = 1) -> int:
        return q % 10

    @get("/", dependencies={"size": Provide(size)})
    @cache_endpoint
    async def item(size: NamedDependency[int]) -> list[int]:
        return [size, shop.count()]

    client = shop.client(item)
    assert client.get("/?q=1").json() == client.get("/?q=11").json() == [1, 1]
    assert client.get("/?q=2").json() == [2, 2]


def test_sessions_and_what_litestar_passes_take_no_part_in_the_key(shop, kind):
    async def session() -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.close()
        return connection

    async def untyped() -> Any:
        return await session()

    def item(
        request: Request[Any, Any, Any],
        state: State,
        session: NamedDependency[sqlite3.Connection],
        untyped: NamedDependency[Any],
    ) -> str:
        assert isinstance(session, sqlite3.Connection)
        assert isinstance(untyped, sqlite3.Connection)
        return f"{request.url.path} {state.name} {shop.count()}"

    client = shop.client(
        kind(get, "/")(item, cache_endpoint),
        dependencies={"session": Provide(session), "untyped": Provide(untyped)},
        state=State({"name": "shop"}),
    )
    assert client.get("/").text == client.get("/").text == "/ shop 1"


def test_the_address_counts_where_a_handler_may_read_it(shop):
    @get("/{name:str}")
    @cache_endpoint
    async def item(request: Request[Any, Any, Any], name: FromPath[str]) -> str:
        return f"{request.url.path}?{request.url.query} {shop.count()}"

    client = shop.client(item)
    assert client.get("/a?b=1").text == client.get("/a?b=1").text == "/a?b=1 1"
    assert client.get("/a?b=2").text == "/a?b=2 2"


def test_exceptions_pass_and_are_not_cached(shop, kind):
    def item(item_id: FromPath[int]) -> None:
        shop.count()
        if item_id == 1:
            raise NotFoundException("no such item")
        raise HTTPException(status_code=409, detail="busy", headers={"Retry-After": "1"})

    client = shop.client(kind(get, "/{item_id:int}")(item, cache_endpoint))
    for count in (1, 2):
        answer = client.get("/1")
        assert (answer.status_code, answer.json()["detail"]) == (404, "no such item")
        assert shop.calls == count
    answer = client.get("/2")
    assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Response("x", status_code=500),
        lambda: Response("x", status_code=403),
        lambda: Response("x", headers={"Cache-Control": "no-store"}),
        lambda: Response("x", cookies=[Cookie(key="session", value="secret")]),
    ],
)
def test_responses_for_one_request_only_are_not_stored(shop, kind, make):
    def item() -> Response[str]:
        response = make()
        response.headers["X-Count"] = str(shop.count())
        return response

    client = shop.client(kind(get, "/")(item, cache_endpoint))
    wanted = make()
    for count in ("1", "2"):
        answer = client.get("/")
        assert (answer.status_code, answer.text) == (wanted.status_code or 200, "x")
        assert answer.headers["x-count"] == count
        assert ("set-cookie" in answer.headers) == bool(wanted.cookies)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Stream(iter(["a"])),
        lambda: ServerSentEvent(iter(["a"])),
        lambda: File(__file__),
        lambda: Template(template_str="x"),
    ],
)
def test_what_has_no_body_of_its_own_is_refused(shop, make):
    @get("/")
    @cache_endpoint
    async def item() -> Any:
        return make()

    answer = shop.client(item).get("/")
    assert answer.status_code == 500
    assert f"TypeError: a {type(make()).__name__} is " in answer.text
    assert "cannot be cached; return its content" in answer.text


@pytest.mark.parametrize("cls", [Stream, File, ServerSentEvent, Template])
def test_what_is_annotated_to_have_no_body_is_refused_at_once(cls):
    async def item():
        raise AssertionError

    item.__annotations__["return"] = cls
    with pytest.raises(TypeError, match=f"a {cls.__name__} is .* cannot be cached"):
        cache_endpoint(item)


def test_other_applications_as_results_are_refused(shop):
    async def other(scope, receive, send):
        raise AssertionError

    @get("/")
    @cache_endpoint
    async def item() -> Any:
        return other

    answer = shop.client(item).get("/")
    assert answer.status_code == 500
    assert "serialize" in answer.text


def test_wrong_uses_are_refused():
    with pytest.raises(TypeError, match="stands below the route's decorator"):

        @cache_endpoint
        @get("/", sync_to_thread=False)
        def item() -> str:
            raise AssertionError

    with pytest.raises(TypeError, match="WebSocket"):

        @cache_endpoint
        async def talk(socket: Any) -> None:
            raise AssertionError

    with pytest.raises(zoocache.ConfigError, match="vary must be an iterable"):
        cache_endpoint(vary="Accept")(lambda: None)


def test_an_awaitable_result_of_a_plain_function_is_refused(shop):
    async def later() -> str:
        return "x"

    @get("/", sync_to_thread=False)
    @cache_endpoint
    def item() -> Any:
        return later()

    answer = shop.client(item).get("/")
    assert answer.status_code == 500
    assert "make it an `async def`" in answer.text


def test_names_that_only_the_layers_know_are_resolved_by_litestar(shop):
    async def item(q):
        return q + shop.count()

    item.__annotations__ = {"q": "FromQuery[Unknown]", "return": "Unknown"}
    client = shop.client(get("/")(cache_endpoint(item)), signature_namespace={"Unknown": int})
    assert client.get("/?q=1").json() == client.get("/?q=1").json() == 2


def test_called_by_hand_a_handler_returns_its_value(shop):
    @cache_endpoint(deps=["items"])
    async def item(item_id: int) -> Item:
        return Item(item_id, f"{shop.count()}")

    @cache_endpoint
    async def read(request: Any) -> int:
        return shop.count()

    async def main():
        assert await item(1) == await item(item_id=1) == Item(1, "1")
        # What stands in for a request is in no key.
        assert await read(request="a") != await read(request="b")

    asyncio.run(main())
    zoocache.invalidate("items")
    assert asyncio.run(item(1)) == Item(1, "4")


def test_many_requests_for_a_cold_handler_are_one_computation(shop):
    gate = asyncio.Event()
    waiting = []

    async def arrived(request: Request[Any, Any, Any]) -> None:
        waiting.append(request)

    @get("/", before_request=arrived)
    @cache_endpoint
    async def item() -> int:
        await gate.wait()
        return shop.count()

    async def open_gate():
        while len(waiting) < 200:
            await asyncio.sleep(0)
        gate.set()

    client = asgi_client.Client(Litestar([item], logging_config=None, openapi_config=None))
    answers = client.together(["/"] * 200, after=open_gate)
    client.close()
    assert [answer.json() for answer in answers] == [1] * 200


def test_ignore_key_and_cache_if(shop):
    @get("/ignore")
    @cache_endpoint(ignore=["trace"])
    async def ignoring(trace: FromQuery[str]) -> int:
        return shop.count()

    @get("/key")
    @cache_endpoint(key=lambda number: number % 2)
    async def keyed(number: FromQuery[int]) -> int:
        return shop.count()

    @get("/if")
    @cache_endpoint(cache_if=lambda value: value > 5)
    async def conditional(number: FromQuery[int]) -> int:
        shop.count()
        return number

    client = shop.client(ignoring, keyed, conditional)
    assert client.get("/ignore?trace=a").json() == client.get("/ignore?trace=b").json() == 1
    assert [client.get(f"/key?number={n}").json() for n in (1, 2, 3, 4)] == [2, 3, 2, 3]
    assert [client.get(f"/if?number={n}").json() for n in (1, 1, 6, 6)] == [1, 1, 6, 6]
    assert shop.calls == 6


def test_a_ttl_of_the_value(shop, clock):
    @get("/")
    @cache_endpoint(ttl=lambda value: value["ttl"])
    async def item() -> dict[str, int]:
        return {"ttl": 10, "count": shop.count()}

    client = shop.client(item)
    assert [client.get("/").json()["count"] for _ in "ab"] == [1, 1]
    clock.advance(11)
    assert client.get("/").json()["count"] == 2


def test_layers_add_what_they_add(shop):
    @get("/", response_headers={"X-Handler": "1"})
    @cache_endpoint
    async def item() -> Annotated[str, "x"]:
        return f"{shop.count()}"

    router = Router("/r", route_handlers=[item], response_headers={"X-Router": "2"})
    client = shop.client(router, response_cookies=[Cookie(key="theme", value="dark")])
    for _ in "ab":
        answer = client.get("/r")
        assert (answer.text, answer.headers["x-handler"], answer.headers["x-router"]) == ("1", "1", "2")
        assert answer.headers.get_list("set-cookie") == ["theme=dark; Path=/; SameSite=lax"]


def test_the_description_of_the_interface_is_that_of_an_uncached_handler(shop):
    def described(cache):
        async def item(item_id: FromPath[int], data: JSONBody[Item], q: FromQuery[int] = 1) -> Item:
            """Make an item."""
            shop.count()
            return data

        handler = post("/{item_id:int}", dto=ItemDTO)(cache(item))
        with TestClient(Litestar([handler], logging_config=None)) as client:
            assert client.post("/1", json={"id": 1}).status_code == 201
            # Litestar calls what it makes of a DTO for a second handler by a longer name.
            return re.sub(r"[\w.<>]*(ItemRe\w+?Body)(_\d+)?", r"\1", client.get("/schema/openapi.json").text)

    assert described(cache_endpoint) == described(lambda func: func)

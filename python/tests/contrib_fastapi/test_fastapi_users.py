"""Two users never get each other's response, however they say who they are."""

import base64
import contextvars
from typing import Annotated

import pytest
from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, Query, Request, Response
from fastapi.security import (
    APIKeyCookie,
    APIKeyHeader,
    APIKeyQuery,
    HTTPBasic,
    HTTPBearer,
    OAuth2PasswordBearer,
)
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware

from zoocache.contrib.fastapi import cache_endpoint


def basic(name):
    return {"headers": {"authorization": "Basic " + base64.b64encode(f"{name}:x".encode()).decode()}}


def bearer(name):
    return {"headers": {"authorization": f"Bearer {name}"}}


def cookie(name):
    return {"headers": {"cookie": f"session={name}"}}


def header(name):
    return {"headers": {"x-user-token": name}}


def query(name):
    return {"params": {"api_key": name}}


def who_by(scheme):
    """Make a dependency that finds out the user and says nothing of it to the endpoint."""

    def who(request: Request, given=Depends(scheme)):  # noqa: B008
        request.state.user = getattr(given, "username", None) or getattr(given, "credentials", given)

    return who


SCHEMES = [
    (HTTPBasic(), basic),
    (HTTPBearer(), bearer),
    (OAuth2PasswordBearer("token"), bearer),
    (APIKeyHeader(name="X-User-Token"), header),
    (APIKeyCookie(name="session"), cookie),
    (APIKeyQuery(name="api_key"), query),
]


@pytest.mark.parametrize(("scheme", "credentials"), SCHEMES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("level", ["argument", "route", "router", "application"])
def test_security_schemes(shop, scheme, credentials, level):
    known = []

    def who(given=Depends(scheme)):  # noqa: B008
        known[:] = [getattr(given, "username", None) or getattr(given, "credentials", given)]

    dependencies = [Depends(who)]
    app = FastAPI(dependencies=dependencies if level == "application" else [])
    router = APIRouter(dependencies=dependencies if level == "router" else [])

    if level == "argument":

        @router.get("/me")
        @cache_endpoint
        async def me(nothing=Depends(who)):  # noqa: B008
            return [*known, shop.count()]
    else:

        @router.get("/me", dependencies=dependencies if level == "route" else [])
        @cache_endpoint
        async def me():
            return [*known, shop.count()]

    app.include_router(router)
    client = shop.client(app)
    answers = [client.get("/me", **credentials(name)).json() for name in ("ann", "bob", "ann", "bob")]
    assert answers == [["ann", 1], ["bob", 2], ["ann", 1], ["bob", 2]]


def in_cookie_of_dependency(session: Annotated[str, Cookie()]):
    del session


def in_header_of_dependency(x_tenant: Annotated[str, Header()]):
    del x_tenant


def in_request_of_dependency(request: Request):
    del request


@pytest.mark.parametrize(
    ("dependency", "name"),
    [
        (in_cookie_of_dependency, "cookie"),
        (in_header_of_dependency, "x-tenant"),
        (in_request_of_dependency, "cookie"),
        (in_request_of_dependency, "authorization"),
        (in_request_of_dependency, "x-forwarded-user"),
        (in_request_of_dependency, "x-api-key"),
        (in_request_of_dependency, "host"),
    ],
)
def test_what_dependencies_read(shop, dependency, name):
    @shop.app.get("/me", dependencies=[Depends(dependency)])
    @cache_endpoint
    async def me():
        return shop.count()

    client = shop.client()
    values = ["session=ann", "session=bob", "session=ann"]
    assert [client.get("/me", headers={name: value}).json() for value in values] == [1, 2, 1]


@pytest.mark.parametrize(
    "name", ["cookie", "authorization", "x-auth-request-email", "x-user-id", "x-csrf-token"]
)
def test_what_an_endpoint_may_read_of_a_request(shop, name):
    @shop.app.get("/me")
    @cache_endpoint
    async def me(request: Request):
        return [request.headers.get(name), shop.count()]

    client = shop.client()
    answers = [client.get("/me", headers={name: value}).json() for value in ("ann", "bob", "ann")]
    assert answers == [["ann", 1], ["bob", 2], ["ann", 1]]
    assert client.get("/me").json() == [None, 3]


def test_what_an_endpoint_declares_is_among_its_arguments(shop):
    @shop.app.get("/me")
    @cache_endpoint(shared=True)
    async def me(session: Annotated[str, Cookie()] = "", x_tenant: Annotated[str, Header()] = ""):
        return [session, x_tenant, shop.count()]

    client = shop.client()
    for headers, expected in (
        ({"cookie": "session=ann"}, ["ann", "", 1]),
        ({"cookie": "session=bob"}, ["bob", "", 2]),
        ({"cookie": "session=ann; theme=dark"}, ["ann", "", 1]),
        ({"x-tenant": "ann"}, ["", "ann", 3]),
    ):
        assert client.get("/me", headers=headers).json() == expected


def test_users_of_a_middleware(shop):
    class Backend:
        async def authenticate(self, connection):
            from starlette.authentication import AuthCredentials, SimpleUser  # noqa: PLC0415

            return AuthCredentials(), SimpleUser(connection.headers.get("authorization", ""))

    @shop.app.get("/me")
    @cache_endpoint
    async def me(request: Request):
        return [request.user.username, shop.count()]

    shop.app.add_middleware(AuthenticationMiddleware, backend=Backend())
    client = shop.client()
    answers = [client.get("/me", headers={"authorization": name}).json() for name in ("ann", "bob", "ann")]
    assert answers == [["ann", 1], ["bob", 2], ["ann", 1]]


def test_what_reads_no_credentials_is_shared(shop):
    @shop.app.get("/")
    @cache_endpoint(http=True)
    async def page():
        return shop.count()

    client = shop.client()
    answers = [client.get("/", headers={"cookie": name, "authorization": name}) for name in ("ann", "bob")]
    assert [answer.json() for answer in answers] == [1, 1]
    assert answers[1].headers["cache-control"] == "public, no-cache"
    assert "vary" not in answers[1].headers


def test_shared_says_that_it_is_the_same_for_all(shop):
    @shop.app.get("/", dependencies=[Depends(HTTPBearer())])
    @cache_endpoint(shared=True, http=True)
    async def page():
        return shop.count()

    client = shop.client()
    answers = [client.get("/", **bearer(name)) for name in ("ann", "bob")]
    assert [answer.json() for answer in answers] == [1, 1]
    assert answers[1].headers["cache-control"] == "public, no-cache"


def test_a_response_of_one_user_is_private(shop):
    @shop.app.get("/", dependencies=[Depends(HTTPBearer())])
    @cache_endpoint(http=True)
    async def page():
        return shop.count()

    answer = shop.get("/", **bearer("ann"))
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["vary"] == "authorization"


def test_credentials_are_in_no_key_and_no_error(shop):
    class Opaque:
        pass

    @shop.app.get("/", dependencies=[Depends(HTTPBearer())])
    @cache_endpoint
    async def page(opaque=Depends(Opaque)):  # noqa: B008
        return 1

    with pytest.raises(ValueError, match="no stable encoding") as caught:
        shop.get("/", **bearer("s3cret"))
    assert "s3cret" not in str(caught.value)


class Tenant(Session):
    """A session of one tenant's database, which takes no part in keys."""

    name = ""


def session_of(name):
    session = Tenant()
    session.name = name
    return session


def by_query(tenant: str):
    return session_of(tenant)


def by_alias(tenant: Annotated[str, Query(alias="t")]):
    return session_of(tenant)


class Filters(BaseModel):
    tenant: str = ""


def by_model(filters: Annotated[Filters, Query()]):
    return session_of(filters.tenant)


def by_request(request: Request):
    return session_of(request.query_params["tenant"])


def by_header(x_shop: Annotated[str, Header()]):
    return session_of(x_shop)


def nested(session: Annotated[Tenant, Depends(by_query)]):
    return session


def nobody():
    pytest.fail("it is overridden")


@pytest.mark.parametrize("override", [False, True], ids=["as declared", "overridden"])
@pytest.mark.parametrize(
    ("dependency", "asks"),
    [
        (by_query, lambda name: {"params": {"tenant": name}}),
        (by_alias, lambda name: {"params": {"t": name}}),
        (by_model, lambda name: {"params": {"tenant": name}}),
        (by_request, lambda name: {"params": {"tenant": name}}),
        (by_header, lambda name: {"headers": {"x-shop": name}}),
        (nested, lambda name: {"params": {"tenant": name}}),
    ],
)
def test_sessions_of_tenants_by_what_dependencies_read(shop, dependency, asks, override):
    @shop.app.get("/")
    @cache_endpoint
    def items(session: Annotated[Tenant, Depends(nobody if override else dependency)]):
        return [session.name, shop.count()]

    if override:
        shop.app.dependency_overrides[nobody] = dependency
    assert [shop.get("/", **asks(name)).json() for name in "abab"] == [["a", 1], ["b", 2]] * 2


def test_dependencies_that_are_overridden_later(shop):
    @shop.app.get("/")
    @cache_endpoint
    def items(session: Annotated[Tenant, Depends(lambda: session_of("nobody"))]):
        return session.name

    (dependency,) = (inner.call for inner in shop.app.routes[-1].dependant.dependencies)
    assert shop.get("/").json() == "nobody"
    shop.app.dependency_overrides[dependency] = by_query
    assert [shop.get("/", params={"tenant": name}).json() for name in "ab"] == ["a", "b"]


@pytest.mark.parametrize("place", ["route", "router", "mount"])
def test_tenants_in_the_path_that_only_a_dependency_reads(shop, place):
    tenant = contextvars.ContextVar("tenant")

    async def enter(tenant_id: str):
        tenant.set(tenant_id)

    async def items():
        return [tenant.get(), shop.count()]

    router = APIRouter(dependencies=[Depends(enter)])
    if place == "router":
        router.get("/items")(cache_endpoint(items))
        shop.app.include_router(router, prefix="/{tenant_id}")
    else:
        router.get("/{tenant_id}/items")(cache_endpoint(items))
        inner = FastAPI()
        inner.include_router(router)
        shop.app.mount("/", inner) if place == "mount" else shop.app.include_router(router)
    assert [shop.get(f"/{name}/items").json() for name in "abab"] == [["a", 1], ["b", 2]] * 2


def test_what_dependencies_return_stands_for_what_they_read(shop):
    @shop.app.get("/{size}")
    @cache_endpoint
    def items(rest: Annotated[int, Depends(lambda size, page=1: (int(size) + int(page)) % 10)]):
        return [rest, shop.count()]

    assert [shop.get(path).json() for path in ("/1", "/11", "/9?page=2", "/2")] == [
        [2, 1],
        [2, 1],
        [1, 2],
        [3, 3],
    ]


def test_users_whom_a_middleware_finds_by_the_query(shop):
    class ByQuery(AuthenticationBackend):
        async def authenticate(self, conn):
            return AuthCredentials(), SimpleUser(conn.query_params["token"])

    app = FastAPI(middleware=[Middleware(AuthenticationMiddleware, backend=ByQuery())])

    @app.get("/")
    @cache_endpoint
    async def me(request: Request):
        return request.user.display_name

    client = shop.client(app)
    assert [client.get("/", params={"token": name}).json() for name in ("ann", "bob")] == ["ann", "bob"]


def test_what_is_in_a_session_on_the_server(shop):
    sessions = {}

    async def app(scope, receive, send):
        if scope["type"] == "http":
            scope["session"] = sessions
        await shop.app(scope, receive, send)

    @shop.app.get("/")
    @cache_endpoint
    async def cart(request: Request):
        return request.session.get("cart")

    client = shop.client(app)
    assert client.get("/").json() is None
    sessions["cart"] = ["tea"]
    assert client.get("/").json() == ["tea"]


def test_a_response_that_says_private_is_not_shared(shop):
    user = contextvars.ContextVar("user")

    async def app(scope, receive, send):
        user.set(dict(scope.get("headers", [])).get(b"x-whoever"))
        await shop.app(scope, receive, send)

    @shop.app.get("/")
    @cache_endpoint
    async def me(response: Response):
        response.headers["cache-control"] = "private, max-age=60"
        return user.get().decode()

    @shop.app.get("/token")
    @cache_endpoint
    async def mine(response: Response, x_token: Annotated[str, Header()]):
        response.headers["cache-control"] = "private"
        return [x_token, shop.count()]

    client = shop.client(app)
    assert [client.get("/", headers={"x-whoever": name}).json() for name in ("ann", "bob")] == ["ann", "bob"]
    answers = [client.get("/token", headers={"x-token": name, "x-whoever": ""}).json() for name in "abab"]
    assert answers == [["a", 1], ["b", 2]] * 2

"""Two users never get each other's response, however they say who they are."""

import base64
from typing import Annotated

import pytest
from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, Request
from fastapi.security import (
    APIKeyCookie,
    APIKeyHeader,
    APIKeyQuery,
    HTTPBasic,
    HTTPBearer,
    OAuth2PasswordBearer,
)
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

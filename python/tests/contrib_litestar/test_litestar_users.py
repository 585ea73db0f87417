"""Users never see each other's responses, unless the program says that they may."""

import sys
import uuid
from typing import Annotated, Any

import pytest
from litestar import Controller, Request, Router, get, post
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import NotAuthorizedException
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult, DefineMiddleware
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.types import Scope
from litestar_style import FromPath, FromQuery, Headers, NamedDependency, RequestCookies, cookie, header
from sqlalchemy.orm import Session

from zoocache.contrib.litestar import HttpCaching, cache_endpoint

ANN = {"authorization": "Bearer ann"}
BOB = {"authorization": "Bearer bob"}


def who(connection):
    return connection.headers.get("authorization", connection.headers.get("cookie", "nobody"))


def by_request(shop, **options):
    @get("/")
    @cache_endpoint(**options)
    async def item(request: Request[Any, Any, Any]) -> str:
        return f"{who(request)} {shop.count()}"

    return shop.client(item)


def by_scope(shop, **options):
    @get("/")
    @cache_endpoint(**options)
    async def item(scope: Scope) -> str:
        return f"{who(ASGIConnection(scope))} {shop.count()}"

    return shop.client(item)


def by_headers(shop, **options):
    @get("/")
    @cache_endpoint(**options)
    async def item(headers: Headers) -> str:
        return f"{headers.get('authorization')} {shop.count()}"

    return shop.client(item)


def by_header(shop, **options):
    @get("/")
    @cache_endpoint(**options)
    async def item(authorization: Annotated[str, header("Authorization")]) -> str:
        return f"{authorization} {shop.count()}"

    return shop.client(item)


async def user_of_header(authorization: Annotated[str, header("Authorization")]) -> None:
    CURRENT.append(authorization)


async def user_of_request(request: Request[Any, Any, Any]) -> None:
    CURRENT.append(who(request))


async def user_of_both(user: NamedDependency[None]) -> None:
    assert user is None


#: What dependencies leave where the key does not see it.
CURRENT = []


def by_dependency(shop, **options):
    @get("/", dependencies={"user": Provide(user_of_header)})
    @cache_endpoint(**options)
    async def item(user: NamedDependency[None]) -> str:
        return f"{CURRENT[-1]} {shop.count()}"

    return shop.client(item)


def by_inner_dependency(shop, **options):
    @get("/", dependencies={"both": Provide(user_of_both)})
    @cache_endpoint(**options)
    async def item(both: NamedDependency[None]) -> str:
        return f"{CURRENT[-1]} {shop.count()}"

    return shop.client(item, dependencies={"user": Provide(user_of_request)})


def guard(connection: ASGIConnection[Any, Any, Any, Any], _: Any) -> None:
    CURRENT.append(who(connection))
    if CURRENT[-1] == "nobody":
        raise NotAuthorizedException("no user")


def guarded(shop, **options):
    @cache_endpoint(**options)
    async def item() -> str:
        return f"{CURRENT[-1]} {shop.count()}"

    return item


def by_guard_of_handler(shop, **options):
    return shop.client(get("/", guards=[guard])(guarded(shop, **options)))


def by_guard_of_controller(shop, **options):
    class Items(Controller):
        guards = (guard,)

        @get("/")
        @cache_endpoint(**options)
        async def item(self) -> str:
            return f"{CURRENT[-1]} {shop.count()}"

    return shop.client(Items)


def by_guard_of_router(shop, **options):
    return shop.client(Router("/", route_handlers=[get("/")(guarded(shop, **options))], guards=[guard]))


def by_guard_of_application(shop, **options):
    return shop.client(get("/")(guarded(shop, **options)), guards=[guard])


def by_security(shop, **options):
    @get("/", security=[{"BearerToken": []}], before_request=user_of_request)
    @cache_endpoint(**options)
    async def item() -> str:
        return f"{CURRENT[-1]} {shop.count()}"

    return shop.client(item)


class Authentication(AbstractAuthenticationMiddleware):
    async def authenticate_request(self, connection):
        CURRENT.append(who(connection))
        return AuthenticationResult(user={"name": CURRENT[-1]}, auth=None)


def by_middleware(shop, **options):
    @get("/")
    @cache_endpoint(**options)
    async def item() -> str:
        return f"{CURRENT[-1]} {shop.count()}"

    return shop.client(item, middleware=[DefineMiddleware(Authentication)])


READERS = [
    by_request, by_scope, by_headers, by_header, by_dependency, by_inner_dependency, by_guard_of_handler,
    by_guard_of_controller, by_guard_of_router, by_guard_of_application, by_security, by_middleware,
]  # fmt: skip


@pytest.mark.parametrize("make", READERS)
def test_users_do_not_share_responses(shop, make):
    client = make(shop)
    assert client.get("/", headers=ANN).text == client.get("/", headers=ANN).text == "Bearer ann 1"
    assert client.get("/", headers=BOB).text == client.get("/", headers=BOB).text == "Bearer bob 2"


@pytest.mark.parametrize("make", READERS)
def test_responses_of_users_are_private(shop, make):
    client = make(shop, http=HttpCaching(max_age=60))
    for _ in "ab":
        answer = client.get("/", headers=ANN)
        assert answer.headers["cache-control"] == "private, max-age=60"
        assert "authorization" in answer.headers["vary"].lower() or answer.headers["vary"] == "*"


@pytest.mark.parametrize("make", [make for make in READERS if make is not by_header])
def test_users_share_responses_if_the_program_says_so(shop, make):
    client = make(shop, shared=True)
    assert client.get("/", headers=ANN).text == client.get("/", headers=BOB).text == "Bearer ann 1"


def test_a_guard_refuses_whoever_it_refused_before(shop):
    client = by_guard_of_handler(shop, shared=True)
    assert client.get("/", headers=ANN).status_code == 200
    assert client.get("/").status_code == 401


@pytest.mark.parametrize("shared", [False, True])
def test_a_declared_header_is_an_argument(shop, shared):
    client = by_header(shop, shared=shared, http=True)
    assert client.get("/", headers=ANN).text == "Bearer ann 1"
    answer = client.get("/", headers=BOB)
    assert (answer.text, answer.headers["vary"]) == ("Bearer bob 2", "authorization")


def test_users_with_cookies_do_not_share_responses(shop):
    async def session(sid: Annotated[str, cookie("sid")]) -> None:
        CURRENT.append(sid)

    @get("/declared")
    @cache_endpoint
    async def declared(sid: Annotated[str, cookie("sid")]) -> str:
        return f"{sid} {shop.count()}"

    @get("/all")
    @cache_endpoint
    async def every(cookies: RequestCookies) -> str:
        return f"{cookies['sid']} {shop.count()}"

    @get("/dependency", dependencies={"session": Provide(session)})
    @cache_endpoint
    async def depending(session: NamedDependency[None]) -> str:
        return f"{CURRENT[-1]} {shop.count()}"

    client = shop.client(declared, every, depending)
    for path, first in ("/declared", 1), ("/all", 3), ("/dependency", 5):
        for name, count in ("ann", first), ("bob", first + 1), ("ann", first):
            assert client.get(path, headers={"cookie": f"sid={name}"}).text == f"{name} {count}"


def test_all_headers_count_unless_vary_names_those_that_do(shop):
    @get("/any")
    @cache_endpoint(http=True)
    async def every(headers: Headers) -> str:
        return f"{headers.get('x-variant')} {shop.count()}"

    @get("/named")
    @cache_endpoint(vary=["X-Variant"], http=True)
    async def named(headers: Headers) -> str:
        return f"{headers.get('x-variant')} {shop.count()}"

    client = shop.client(every, named)
    answers = [client.get("/any", headers={"x-variant": name}) for name in "aba"]
    assert [answer.text for answer in answers] == ["a 1", "b 2", "a 1"]
    assert answers[0].headers["vary"] == "*"
    answers = [client.get("/named", headers={"x-variant": name, "x-trace": name + "1"}) for name in "aba"]
    assert [answer.text for answer in answers] == ["a 3", "b 4", "a 3"]
    assert answers[0].headers["vary"] == "x-variant, authorization, cookie"
    assert client.get("/named", headers={"x-variant": "a", "x-trace": "2"}).text == "a 3"
    assert client.get("/named", headers={"x-variant": "a", **ANN}).text == "a 5"


def test_a_token_in_the_query_says_who_asks(shop):
    def admit(connection: ASGIConnection[Any, Any, Any, Any], _: Any) -> None:
        CURRENT.append(connection.query_params["api_key"])

    client = shop.client(get("/", guards=[admit])(guarded(shop)))
    assert client.get("/?api_key=ann&utm=1").text == client.get("/?api_key=ann&utm=2").text == "ann 1"
    assert client.get("/?api_key=bob").text == "bob 2"
    assert client.get("/?api%5Fkey=eve").text == "eve 3"
    assert client.get("/?api%5Fkey=ann").text == "ann 1"


@pytest.mark.parametrize(
    "identify", [lambda n: n, int, lambda n: uuid.UUID(int=int(n)), lambda n: {"sub": n}, type]
)
def test_users_are_told_apart_by_what_the_middleware_found(shop, identify):
    class ByAddress(AbstractAuthenticationMiddleware):
        async def authenticate_request(self, connection):
            number = connection.headers["x-number"]
            user = type("User", (), {"id": number})() if identify is type else identify(number)
            return AuthenticationResult(user=user, auth=None)

    client = shop.client(get("/")(guarded(shop)), middleware=[DefineMiddleware(ByAddress)])
    CURRENT.append("x")
    answers = [client.get("/", headers={"x-number": number}).text for number in "121"]
    assert answers == ["x 1", "x 2", "x 1"]


def test_who_needs_to_know_nobody_shares(shop):
    async def unused(request: Request[Any, Any, Any]) -> str:
        raise AssertionError

    @get("/")
    @cache_endpoint(http=True)
    async def item(q: FromQuery[int] = 1) -> str:
        return f"{shop.count()}"

    # A dependency that no handler asks for is not resolved.
    client = shop.client(item, dependencies={"unused": Provide(unused)})
    answers = [client.get("/", headers=headers) for headers in (ANN, BOB, {"cookie": "a=b"}, {})]
    assert [answer.text for answer in answers] == ["1"] * 4
    assert {answer.headers["cache-control"] for answer in answers} == {"public, no-cache"}
    assert "vary" not in answers[0].headers


def test_a_session_kept_in_the_scope_tells_no_users_apart(shop, monkeypatch):
    async def provide_session(scope: Scope) -> int:
        return scope.setdefault("session_", 1)

    name = provide_session.__module__ = "advanced_alchemy.extensions.litestar"
    monkeypatch.setitem(sys.modules, name, sys.modules[__name__])

    @get("/", dependencies={"db": Provide(provide_session)})
    @cache_endpoint
    async def item(db: NamedDependency[int]) -> str:
        return f"{db} {shop.count()}"

    client = shop.client(item)
    assert client.get("/", headers=ANN).text == client.get("/", headers=BOB).text == "1 1"


def test_who_logs_in_later_does_not_see_what_the_session_showed_before(shop):
    @post("/login")
    async def login(request: Request[Any, Any, Any], name: FromQuery[str]) -> None:
        request.session["name"] = name

    @get("/")
    @cache_endpoint
    async def item(request: Request[Any, Any, Any]) -> str:
        return f"{request.session['name']} {shop.count()}"

    client = shop.client(login, item, middleware=[ServerSideSessionConfig().middleware])
    for name, answer in ("ann", "ann 1"), ("bob", "bob 2"), ("ann", "ann 1"):
        client.post("/login", params={"name": name})
        assert len(client.cookies) == 1
        assert client.get("/").text == answer


class Tenant(Session):
    """A session of one tenant's database, which takes no part in keys."""

    name = ""


def session_of(name):
    session = Tenant()
    session.name = name
    return session


async def by_query(tenant: FromQuery[str]) -> Tenant:
    return session_of(tenant)


async def by_path(tenant: FromPath[str]) -> Tenant:
    return session_of(tenant)


async def by_request_of_dependency(request: Request[Any, Any, Any]) -> Tenant:
    return session_of(request.query_params["tenant"])


async def nested(inner: NamedDependency[Tenant]) -> Tenant:
    return inner


@pytest.mark.parametrize(
    ("path", "dependency", "asked"),
    [
        ("/", by_query, "/?tenant={}"),
        ("/{tenant:str}/items", by_path, "/{}/items"),
        ("/", by_request_of_dependency, "/?tenant={}"),
        ("/", nested, "/?tenant={}"),
    ],
)
def test_sessions_of_tenants_by_what_dependencies_read(shop, path, dependency, asked):
    inner = {"inner": Provide(by_query)} if dependency is nested else {}

    @get(path, dependencies={"session": Provide(dependency), **inner})
    @cache_endpoint
    async def items(session: NamedDependency[Tenant]) -> list[Any]:
        return [session.name, shop.count()]

    client = shop.client(items)
    assert [client.get(asked.format(name)).json() for name in "abab"] == [["a", 1], ["b", 2]] * 2


def test_a_session_of_a_tenant_beside_a_dependency_whose_value_counts(shop):
    async def size(tenant: FromQuery[str]) -> int:
        return len(tenant)

    @get("/", dependencies={"session": Provide(by_query), "size": Provide(size)})
    @cache_endpoint
    async def items(session: NamedDependency[Tenant], size: NamedDependency[int]) -> list[Any]:
        return [session.name, size]

    client = shop.client(items)
    assert [client.get(f"/?tenant={name}").json() for name in "ab"] == [["a", 1], ["b", 1]]

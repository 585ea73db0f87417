"""What an endpoint declares to read of a request's headers is told to browsers and proxies."""

from typing import Annotated

import pytest
from fastapi import Cookie, Header

from zoocache.contrib.fastapi import HttpCaching, cache_endpoint

CACHING = HttpCaching(max_age=60, shared_max_age=600)


@pytest.mark.parametrize("name", ["Authorization", "Cookie"])
def test_a_response_made_of_a_credential_is_private(shop, name):
    @shop.app.get("/")
    @cache_endpoint(http=CACHING)
    async def item(
        authorization: Annotated[str | None, Header()] = None, sid: Annotated[str | None, Cookie()] = None
    ):
        return [authorization, sid]

    answer = shop.get("/", headers={name: "sid=ann"})
    assert answer.headers["cache-control"] == "private, max-age=60"
    assert answer.headers["vary"] == "authorization, cookie"


@pytest.mark.parametrize("shared", [False, True])
def test_a_response_made_of_another_header_varies_with_it(shop, shared):
    @shop.app.get("/")
    @cache_endpoint(http=CACHING, shared=shared)
    async def item(accept_language: Annotated[str, Header()]):
        return accept_language

    answer = shop.get("/", headers={"Accept-Language": "de"})
    assert answer.headers["cache-control"] == "public, max-age=60, s-maxage=600"
    assert answer.headers["vary"] == "accept-language"

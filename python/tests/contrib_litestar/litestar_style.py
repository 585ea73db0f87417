"""What has other names in old versions of Litestar: how handlers declare parameters, and more."""

from typing import Annotated, TypeVar

from litestar import params

T = TypeVar("T")

try:
    from litestar.datastructures import Headers
    from litestar.di import NamedDependency
    from litestar.params import FromPath, FromQuery, JSONBody, RawBody, RequestCookies
    from litestar.plugins.pydantic import PydanticDTO

    def header(name):
        return params.HeaderParameter(name=name)

    def cookie(name):
        return params.CookieParameter(name=name)

except ImportError:
    from litestar.contrib.pydantic import PydanticDTO

    RawBody = bytes
    Headers = RequestCookies = dict[str, str]
    NamedDependency = Annotated[T, params.Dependency()]
    FromPath = FromQuery = Annotated[T, params.Parameter()]
    JSONBody = Annotated[T, params.Body()]

    def header(name):
        return params.Parameter(header=name)

    def cookie(name):
        return params.Parameter(cookie=name)


__all__ = [
    "FromPath",
    "FromQuery",
    "Headers",
    "JSONBody",
    "NamedDependency",
    "PydanticDTO",
    "RawBody",
    "RequestCookies",
    "cookie",
    "header",
]

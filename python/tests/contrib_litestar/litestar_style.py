"""How handlers declare parameters and dependencies: other names in old versions of Litestar."""

from typing import Annotated, TypeVar

from litestar import params

T = TypeVar("T")

try:
    from litestar.di import NamedDependency
    from litestar.params import FromPath, FromQuery, JSONBody

    def header(name):
        return params.HeaderParameter(name=name)

    def cookie(name):
        return params.CookieParameter(name=name)

except ImportError:
    NamedDependency = Annotated[T, params.Dependency()]
    FromPath = FromQuery = Annotated[T, params.Parameter()]
    JSONBody = Annotated[T, params.Body()]

    def header(name):
        return params.Parameter(header=name)

    def cookie(name):
        return params.Parameter(cookie=name)


__all__ = ["FromPath", "FromQuery", "JSONBody", "NamedDependency", "cookie", "header"]

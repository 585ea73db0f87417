"""The page: files of the package, read once."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

#: What may be asked for is what is there: no path of a request is looked up in the file system.
_KINDS = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def page_routes() -> list[Route]:
    """The addresses of the page and its parts."""
    contents = {
        file.name: (file.read_bytes(), kind)
        for file in files(__package__).joinpath("page").iterdir()
        for suffix, kind in _KINDS.items()
        if file.name.endswith(suffix)
    }

    async def index(_request: Request) -> Response:
        return _answer(*contents["index.html"])

    async def part(request: Request) -> Response:
        found = contents.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404, "there is no such file")
        return _answer(*found)

    return [Route("/", index), Route("/page/{name}", part)]


def _answer(content: bytes, kind: str) -> Response:
    return Response(content, media_type=kind)

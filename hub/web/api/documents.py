"""What the API says of itself; open to everyone, since it holds no facts of this installation."""

from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

from aiohttp import web

from hub.web.openapi import asyncapi, event_schemas, openapi
from hub.web.problems import SECURITY_HEADERS, not_found
from hub.web.routes import Call, Nothing, RouteTable

table = RouteTable()
TAG = "Documents"

_PAGE_HEADERS = {
    **SECURITY_HEADERS,
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_FILES: Mapping[str, str] = {
    "docs.html": "text/html",
    "docs.css": "text/css",
    "docs.js": "text/javascript",
    "docs.svg": "image/svg+xml",
}


@table.add("GET", "/v1/openapi.json", tag=TAG, scope=None, answer=dict, tagged=True)
async def get_openapi(call: Call[Nothing, Nothing]) -> dict[str, Any]:
    """Read this description, as OpenAPI 3.1."""
    return openapi(call.services.routes)


@table.add("GET", "/v1/asyncapi.json", tag=TAG, scope=None, answer=dict, tagged=True)
async def get_asyncapi(_call: Call[Nothing, Nothing]) -> dict[str, Any]:
    """Read the description of the webhooks, as AsyncAPI 3."""
    return asyncapi()


@table.add("GET", "/v1/schemas/{type}", tag=TAG, scope=None, answer=dict, problems=(404,))
async def get_event_schema(call: Call[Nothing, Nothing]) -> dict[str, Any]:
    """Read the JSON Schema of one type of event.

    Of the whole body of a webhook, for example `/v1/schemas/message.received`.
    """
    found: dict[str, Any] | None = event_schemas().get(call.path["type"])
    if found is None:
        raise not_found()
    return found


def _file(name: str) -> web.Response:
    content = resources.files("hub.web").joinpath("static", name).read_bytes()
    return web.Response(
        body=content, content_type=_FILES[name], charset="utf-8", headers=_PAGE_HEADERS
    )


@table.add(
    "GET",
    "/v1/docs",
    tag=TAG,
    scope=None,
    answer=str,
    produces="text/html",
)
async def show_docs(_call: Call[Nothing, Nothing]) -> web.Response:
    """Read the API as a page."""
    return _file("docs.html")


@table.add(
    "GET",
    "/v1/docs/{file}",
    tag=TAG,
    scope=None,
    answer=Literal["text/css", "text/javascript", "image/svg+xml"],
    problems=(404,),
)
async def show_docs_file(call: Call[Nothing, Nothing]) -> web.Response:
    """Fetch the style, the script and the sign of that page."""
    if call.path["file"] not in _FILES:
        raise not_found()
    return _file(call.path["file"])

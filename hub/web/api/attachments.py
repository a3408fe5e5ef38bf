"""Attachments: upload a file to send, and fetch one by a link that expires."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated
from urllib.parse import quote

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Meta, Struct

from hub.fetch import TooLarge
from hub.media import Infected
from hub.signing import check_link, sign_link
from hub.store import api as rows
from hub.web.body import BodyRefused
from hub.web.problems import SECURITY_HEADERS, Problem, invalid, not_found
from hub.web.routes import Answer, Call, Nothing, RouteTable
from hub.web.shapes import Attachment, own_id

table = RouteTable()
TAG = "Attachments"

PIECE_S = 10.0
UPLOAD_S = 300.0
LINK_S = 300
MAX_UPLOADS = 16
_BROKEN = (
    HttpProcessingError,
    web.RequestPayloadError,
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
)


Reader = Callable[[], Awaitable[bytes | bytearray]]


class UploadQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What a bare body cannot say."""

    filename: Annotated[
        str | None, Meta(description="Name of the file, when the body is the file itself")
    ] = None


@table.add(
    "POST",
    "/v1/attachments",
    tag=TAG,
    scope="reply",
    query=UploadQuery,
    answer=Attachment,
    status=201,
    consumes=("multipart/form-data", "application/octet-stream"),
    problems=(400, 408, 413, 415, 422, 503),
)
async def upload_attachment(call: Call[UploadQuery, Nothing]) -> Answer:
    """Upload a file to send.

    As the field `file` of a form, or as the body itself with its `Content-Type` and `?filename=`. The
    id goes into `attachments` of a reply made with the same token. What it is, is found by looking at
    it, not by its name.
    """
    request, services = call.request, call.services
    if (request.content_length or 0) > call.core.settings.hub.max_attachment_bytes + 4096:
        raise Problem(413, "too-large", "the file is too large")
    if services.uploads.locked():
        raise Problem(503, "busy", "too many uploads at once", headers={"Retry-After": "2"})
    async with services.uploads:
        filename, mime_type, pieces = await _file(call)
        try:
            made = await call.core.media.upload(
                pieces,
                filename=filename,
                mime_type=mime_type,
                token_id=call.caller.token_id,
                at=call.core.clock(),
            )
        except TooLarge as error:
            raise BodyRefused(413, "the file is too large") from error
        except Infected as error:
            raise Problem(422, "infected", error.detail) from error
    public = made.id or ""
    base = (call.core.settings.hub.public_url or "").rstrip("/")
    shown = Attachment(
        id=public,
        kind=made.kind,
        mime_type=made.mime_type,
        filename=made.filename,
        size_bytes=made.size_bytes,
        sha256=made.sha256,
        state=made.state,
        url=f"{base}/v1/attachments/{public}",
    )
    return Answer(shown, 201, {"Location": f"/v1/attachments/{public}"})


async def _file(
    call: Call[UploadQuery, Nothing],
) -> tuple[str | None, str | None, AsyncIterator[bytes]]:
    request = call.request
    if "Content-Encoding" in request.headers:
        raise Problem(415, "encoded", "the body must not be compressed")
    if not request.content_type.startswith("multipart/"):
        if "Content-Type" not in request.headers:
            raise Problem(
                415, "no-type", "wants multipart/form-data, or the file with its Content-Type"
            )
        return call.query.filename, request.content_type, _pieces(request.content.readany)
    form, part = await _part(request)

    async def read() -> bytes | bytearray:
        piece = await part.read_chunk()
        if not piece and await form.next() is not None:
            raise ValueError("one file at a time")
        return piece

    return part.filename, part.headers.get("Content-Type"), _pieces(read)


async def _part(request: web.Request) -> tuple[MultipartReader, BodyPartReader]:
    """The form and its first part, which has to be the file."""
    try:
        async with asyncio.timeout(PIECE_S):
            form = await request.multipart()
            part = await form.next()
    except TimeoutError:
        raise BodyRefused(408, "the body is too slow") from None
    except (*_BROKEN, AssertionError) as error:
        raise BodyRefused(400, "the form is broken") from error
    if not isinstance(part, BodyPartReader) or part.name != "file":
        raise invalid("wants a form whose first field is called file", pointer="/file")
    return form, part


async def _pieces(read: Reader) -> AsyncIterator[bytes]:
    """What *read* gives until it gives nothing, with limits of time; its errors are the sender's."""
    deadline = asyncio.get_running_loop().time() + UPLOAD_S
    while True:
        try:
            now = asyncio.get_running_loop().time()
            async with asyncio.timeout_at(min(deadline, now + PIECE_S)):
                piece = await read()
        except TimeoutError:
            raise BodyRefused(408, "the body is too slow") from None
        except (*_BROKEN, AssertionError) as error:
            raise BodyRefused(400, "the body is broken") from error
        if not piece:
            return
        yield bytes(piece)


@table.add(
    "GET",
    "/v1/attachments/{id}",
    tag=TAG,
    scope="read",
    answer=Attachment,
    status=302,
    problems=(404, 409, 410),
)
async def get_attachment(call: Call[Nothing, Nothing]) -> Answer:
    """Fetch a file.

    This URL is stable; it leads to a link that works for 5 minutes without a token. 409: the file is
    still on its way, try again later; 410: it cannot be had, and the detail says why.
    """
    own = own_id("att", call.path["id"])
    row = await rows.attachment(call.core.db, call.queues, call.caller.token_id, own)
    if row is None:
        raise not_found()
    if row["state"] == "pending":
        raise Problem(409, "pending", "the file is being fetched", headers={"Retry-After": "5"})
    if row["state"] != "stored":
        raise Problem(410, f"file-{row['state']}", row["error"] or f"the file is {row['state']}")
    path = f"/v1/attachments/{quote(call.path['id'])}/content"
    expires = int(call.core.clock().timestamp()) + LINK_S
    link = sign_link(call.services.link_key(), path, expires)
    return Answer(None, 302, {"Location": link})


class LinkQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The proof that the hub made the link."""

    expires: str
    signature: str


@table.add(
    "GET",
    "/v1/attachments/{id}/content",
    tag=TAG,
    scope=None,
    query=LinkQuery,
    answer=None,
    produces="*/*",
    problems=(403, 404, 410),
)
async def get_attachment_content(call: Call[LinkQuery, Nothing]) -> web.StreamResponse:
    """Fetch a file by its short-lived link.

    The link is made by `GET /v1/attachments/{id}`. The file comes as a download that no browser runs.
    """
    asked, shown = call.query, call.path["id"]
    own = own_id("att", shown)
    path = f"/v1/attachments/{quote(shown)}/content"
    now = call.core.clock().timestamp()
    if not check_link(call.services.link_key(), path, asked.expires, asked.signature, now):
        raise Problem(403, "link", "this link is not good, or no longer")
    served = await call.core.media.open_attachment(own)
    if served is None:
        raise Problem(410, "file-gone", "the file is no longer kept")
    headers = {**SECURITY_HEADERS, **served.headers}
    if served.file.path is not None:
        return web.FileResponse(served.file.path, headers=headers)
    answer = web.StreamResponse(headers=headers)
    answer.content_length = served.file.size_bytes
    await answer.prepare(call.request)
    if call.request.method != "HEAD":
        async for piece in served.file.pieces:
            await answer.write(piece)
    await answer.write_eof()
    return answer

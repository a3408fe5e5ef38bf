"""Messages: read them, and say something."""

import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from hub import idempotency, telemetry
from hub.errors import SendError
from hub.replies import (
    Accepted,
    Asked,
    AskedIn,
    Author,
    InvalidReply,
    NotNow,
    RoutedReply,
    UnderKey,
    UnknownMessage,
    accept,
    cancel,
    choose,
    plain,
    resend,
)
from hub.store import Transaction
from hub.store import api as rows
from hub.web.api.conversations import Cursor, Limit
from hub.web.cursors import Place, read_cursor, show_cursor
from hub.web.problems import SECURITY_HEADERS, Problem, invalid, not_found
from hub.web.routes import Call, Nothing, RouteTable
from hub.web.shapes import Message, MessagePage, message_views, own_id, page_size

table = RouteTable()
TAG = "Messages"
MAX_SEQ = 10**18 - 1


class MessageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which page is wanted."""

    order: Annotated[Literal["newest", "oldest"], Meta(description="Which messages come first")] = (
        "newest"
    )
    after_seq: (
        Annotated[int, Meta(ge=0, le=MAX_SEQ, description="Only messages with a higher number")]
        | None
    ) = None
    after: Cursor | None = None
    limit: Limit = 50


@table.add(
    "GET",
    "/v1/conversations/{id}/messages",
    tag=TAG,
    scope="read",
    query=MessageQuery,
    answer=MessagePage,
    problems=(404,),
)
async def list_messages(call: Call[MessageQuery, Nothing]) -> dict[str, Any]:
    """List the messages of a conversation.

    By their number `seq`, the newest first unless asked otherwise.
    """
    asked, db = call.query, call.core.db
    conversation = own_id("cnv", call.path["id"])
    if await rows.conversation(db, call.queues, conversation) is None:
        raise not_found()
    newest_first = asked.order == "newest"
    place = None if asked.after is None else _seq(asked.after)
    found = await rows.messages(
        db,
        call.queues,
        conversation,
        after=asked.after_seq if newest_first else max(asked.after_seq or 0, place or 0),
        before=place if newest_first else None,
        newest_first=newest_first,
        limit=page_size(asked.limit),
    )
    page, more = found[: asked.limit], len(found) > asked.limit
    following = show_cursor(Place(str(page[-1]["seq"]))) if more else None
    return {"items": await message_views(db, page), "next": following}


def _seq(cursor: str) -> int:
    text = read_cursor(cursor, Place, "after").id
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise invalid("is no cursor of this list", parameter="after")
    return int(text)


class StatusQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which replies are wanted."""

    status: Annotated[
        Literal["queued", "sending", "held", "unknown", "failed"],
        Meta(description="Only replies in this state"),
    ]
    account: Annotated[str | None, Meta(description="Only of this account")] = None
    after: Cursor | None = None
    limit: Limit = 50


@table.add("GET", "/v1/messages", tag=TAG, scope="read", query=StatusQuery, answer=MessagePage)
async def list_replies(call: Call[StatusQuery, Nothing]) -> dict[str, Any]:
    """List the replies in a state, such as those that wait for a person's word.

    The newest comes first.
    """
    asked, db = call.query, call.core.db
    before = None if asked.after is None else _place(asked.after)
    found = await rows.replies(
        db, call.queues, asked.status, asked.account, before, page_size(asked.limit)
    )
    page, more = found[: asked.limit], len(found) > asked.limit
    following = show_cursor(Place(page[-1]["id"].hex)) if more else None
    return {"items": await message_views(db, page), "next": following}


def _place(cursor: str) -> UUID:
    try:
        return UUID(hex=read_cursor(cursor, Place, "after").id)
    except ValueError as error:
        raise invalid("is no cursor of this list", parameter="after") from error


@table.add(
    "GET", "/v1/messages/{id}", tag=TAG, scope="read", answer=Message, problems=(404,), tagged=True
)
async def get_message(call: Call[Nothing, Nothing]) -> Any:
    """Read one message."""
    found = await rows.message(call.core.db, call.queues, own_id("msg", call.path["id"]))
    if found is None:
        raise not_found()
    return (await message_views(call.core.db, [found]))[0]


# --- saying something -------------------------------------------------------------------------------

KEY_HEADERS = {
    "Idempotency-Key": Annotated[
        str,
        Meta(
            min_length=1,
            max_length=255,
            pattern="^[ -~]*$",
            description="Of your own; within 24 hours a repeat with the same body gets the same answer, with "
            "`Idempotency-Replayed: true`, and nothing is said twice",
        ),
    ]
}


@table.add(
    "POST",
    "/v1/conversations/{id}/messages",
    tag=TAG,
    scope="reply",
    body=RoutedReply,
    answer=Message,
    status=202,
    problems=(404, 409),
    headers=KEY_HEADERS,
)
async def send_message(call: Call[Nothing, RoutedReply]) -> web.Response:
    """Reply.

    202: the reply is on disk with its platform calls, and goes out in the order of its conversation;
    `message.status` events tell what becomes of it. A window that is closed is told at once: the reply
    is `held` for the customer, or refused with 422, as the account is set up. Send an
    `Idempotency-Key`; 409 means that a request with that key still runs.

    With `via` it goes to the same contact on another way: in the conversation that fits the account, the
    channel or the address that you name, of those that the token sees. Then `conversation` in the answer is
    that one, and `extra.asked_in` is this one.
    """
    conversation = own_id("cnv", call.path["id"])
    author = Author(call.caller.name, call.caller.token_id, call.queues)
    request = plain(call.body)
    if call.body.via is None:
        asked = Asked(conversation, request, author, call.queues, _under_key(call))
        began = time.time()
        if shown := await call.services.together.accept(asked):
            return _answered(call, idempotency.Answer(202, shown), began)

    async def work(tx: Transaction) -> Accepted:
        chosen = conversation
        if call.body.via is not None:
            if await rows.conversation(tx, call.queues, conversation) is None:
                raise not_found()
            chosen = await choose(tx, conversation, call.body, call.queues)
        found = await rows.lock_conversation(tx, call.queues, chosen)
        if found is None:
            raise not_found()
        asked_in = AskedIn(conversation, "chosen") if chosen != conversation else None
        return await accept(call.core, tx, found, request, author=author, asked_in=asked_in)

    return await said(call, work)


async def said(
    call: Call[Any, Any], work: Callable[[Transaction], Awaitable[Accepted]]
) -> web.Response:
    """The answer to a request that says something by *work*, once for each idempotency key."""
    accepted: list[Accepted] = []
    began = time.time()

    async def answered(tx: Transaction) -> idempotency.Answer:
        made = await work(tx)
        accepted[:] = [made]
        return idempotency.Answer(202, msgspec.json.encode(made.message))

    try:
        answer = await _once(call, answered)
    except InvalidReply as error:
        raise invalid(error.detail, pointer=error.pointer) from error
    except SendError as error:
        raise _refused(error) from error
    if not answer.replayed:
        for one in accepted:
            one.ring(call.core)
    return _answered(call, answer, began)


def _answered(call: Call[Any, Any], answer: idempotency.Answer, began: float) -> web.Response:
    if telemetry.is_on() and not answer.replayed:
        _tell(call, answer.body, began)
    headers = {**SECURITY_HEADERS}
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    return web.Response(
        status=answer.status, body=answer.body, content_type="application/json", headers=headers
    )


class _Shown(Struct):
    id: str
    account: str
    channel: str


def _tell(call: Call[Any, Any], body: bytes, began: float) -> None:
    """The first span of a reply; it names the trace of whoever asked for it, if they have one."""
    shown = msgspec.json.decode(body, type=_Shown)
    message = own_id("msg", shown.id)
    telemetry.tell(
        telemetry.Span(
            "reply",
            message,
            telemetry.root_of(message),
            None,
            began,
            time.time(),
            "server",
            {"hub.account": shown.account, "hub.channel": shown.channel},
            link=call.request.headers.get("traceparent"),
        )
    )


def _under_key(call: Call[Any, Any]) -> UnderKey | None:
    """The key that the request is made under, and the hash of what it asks for."""
    keys = call.request.headers.getall("Idempotency-Key", [])
    if not keys:
        return None
    if len(keys) > 1 or not 0 < len(keys[0]) <= 255 or not keys[0].isprintable():
        raise Problem(400, "idempotency-key", "wants one Idempotency-Key of 1 to 255 characters")
    said = b"\n".join(
        (call.request.method.encode(), call.request.path.encode(), msgspec.json.encode(call.body))
    )
    return UnderKey(call.caller.token_id, keys[0], hashlib.sha256(said).hexdigest())


async def _once(
    call: Call[Any, Any], work: Callable[[Transaction], Awaitable[idempotency.Answer]]
) -> idempotency.Answer:
    db = call.core.db
    under = _under_key(call)
    if under is None:
        return await db.transaction(work)
    try:
        return await idempotency.once(db, *under, work, clock=call.core.clock)
    except idempotency.IdempotencyMismatch as error:
        raise Problem(422, "idempotency-mismatch", error.sentence) from error
    except idempotency.StillRunning as error:
        raise Problem(409, "still-running", error.sentence, headers={"Retry-After": "1"}) from error


def _refused(error: SendError) -> Problem:
    """The channel cannot say it, or not now: `code` is the last part of the type."""
    detail = f"{error.sentence} {error.detail}".strip()
    return Problem(422, error.code.replace("_", "-"), detail)


@table.add(
    "POST",
    "/v1/messages/{id}/resend",
    tag=TAG,
    scope="reply",
    body=Nothing,
    answer=Message,
    problems=(404, 409),
)
async def resend_message(call: Call[Nothing, Nothing]) -> Any:
    """Send a reply that is unknown, held or queued.

    A person's word: what is `unknown` may arrive twice.
    """
    return await _decided(call, resend)


@table.add(
    "POST",
    "/v1/messages/{id}/cancel",
    tag=TAG,
    scope="reply",
    body=Nothing,
    answer=Message,
    problems=(404, 409),
)
async def cancel_message(call: Call[Nothing, Nothing]) -> Any:
    """Give up a reply that is unknown, held or queued.

    It becomes `failed` with the reason `cancelled`; what has gone out of it stays said.
    """
    return await _decided(call, cancel)


async def _decided(
    call: Call[Nothing, Nothing],
    decide: Callable[[Any, UUID], Awaitable[Mapping[str, Any]]],
) -> Any:
    message = own_id("msg", call.path["id"])
    if await rows.outbound_queue(call.core.db, call.queues, message) is None:
        raise not_found()
    try:
        await decide(call.core, message)
    except UnknownMessage as error:
        raise not_found() from error
    except NotNow as error:
        raise Problem(409, "not-now", error.detail) from error
    found = await rows.message(call.core.db, call.queues, message)
    if found is None:
        raise not_found()
    return (await message_views(call.core.db, [found]))[0]

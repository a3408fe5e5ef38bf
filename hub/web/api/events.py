"""The feed of events: by cursor, gap-free, and as a stream."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from hub.destination import EVENT_TYPES
from hub.ids import first_id, show_id
from hub.store import AWAY
from hub.store import api as rows
from hub.web.cursors import FeedCursor, read_cursor, show_cursor
from hub.web.problems import SECURITY_HEADERS, Problem, invalid
from hub.web.routes import Call, Nothing, RouteTable

table = RouteTable()
TAG = "Events"

GOOD_FOR = timedelta(days=30)
LATE = timedelta(minutes=5)
"""An event is visible at the latest so long after it was made."""
AT_LEAST = timedelta(hours=1)
"""From the oldest on there is so much time to read before it is removed."""
MAX_WAIT_S = 30
MAX_STREAMS = 200
BEAT_S = 15.0
BATCH = 100
Place = tuple[int, int]


class _Read(NamedTuple):
    """An event that was read: its place, when it was made, and its JSON."""

    place: Place
    made_at: datetime
    body: bytes


class FeedEvent(Struct, frozen=True):
    """An event as webhooks carry it, with its *id* (the ``webhook-id``) beside it."""

    id: str
    type: str
    timestamp: datetime
    data: dict[str, Any]


class FeedPage(Struct, frozen=True):
    """A page of the feed. Keep *next* and ask again with it; *more*: there is more to read at once."""

    items: tuple[FeedEvent, ...]
    next: str
    more: bool


class FeedQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to go on, and what to leave out."""

    after: Annotated[
        str,
        Meta(max_length=200, description="`next` of the page before; or `oldest`, or `latest`"),
    ] = "oldest"
    limit: Annotated[int, Meta(ge=1, le=500)] = 100
    wait: Annotated[
        int, Meta(ge=0, le=MAX_WAIT_S, description="Seconds to wait when there is nothing yet")
    ] = 0
    types: Annotated[str | None, Meta(description="Only these types, with commas between")] = None


class StreamQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to start when there is no ``Last-Event-ID``, and what to leave out."""

    after: Annotated[str, Meta(max_length=200, description="A cursor, `oldest` or `latest`")] = (
        "latest"
    )
    types: Annotated[str | None, Meta(description="Only these types, with commas between")] = None


def _types(text: str | None) -> list[str] | None:
    if text is None:
        return None
    found = [one.strip() for one in text.split(",") if one.strip()]
    if unknown := [one for one in found if one not in EVENT_TYPES]:
        raise invalid(f"unknown type {unknown[0][:40]}", parameter="types")
    return found


def _good_for(call: Call[Any, Any]) -> timedelta:
    """How long after an event was made it is surely there to be read."""
    kept = timedelta(days=call.core.settings.hub.retention_days)
    return min(GOOD_FOR, kept - LATE)


async def _start(call: Call[Any, Any], text: str, parameter: str) -> Place:
    """The place that a cursor stands for.

    Raises:
        Problem: 422 for no cursor, 410 for one after which something may have been removed.
    """
    if text == "latest":
        return await rows.feed_head(call.core.db)
    if text == "oldest":
        return (await _oldest(call))[0]
    cursor = read_cursor(text, FeedCursor, parameter)
    if not 0 <= cursor.xid < 1 << 63 or not 0 <= cursor.position < 1 << 63:
        raise invalid("is no cursor of this list", parameter=parameter)
    if call.core.clock() - cursor.until > _good_for(call):
        raise Problem(
            410,
            "cursor-too-old",
            "what came after it is no longer kept; go on from the oldest, and read what you missed otherwise",
            oldest=_cursor(*await _oldest(call)),
        )
    return cursor.xid, cursor.position


async def _oldest(call: Call[Any, Any]) -> tuple[Place, datetime]:
    """Where to begin so that nothing is removed before it can be read, and how old that may be."""
    since = call.core.clock() - _good_for(call) + AT_LEAST
    return await rows.feed_oldest(call.core.db, first_id(since)), since


def _cursor(place: Place, until: datetime) -> str:
    return show_cursor(FeedCursor(place[0], place[1], until))


async def _page(
    call: Call[Any, Any], types: Sequence[str] | None, place: Place, limit: int
) -> tuple[list[_Read], tuple[Place, datetime], bool]:
    """Visible events after *place*, how far the reading got, and whether there may be more."""
    began = call.core.clock()
    found = await rows.feed_page(call.core.db, call.queues, types, place, limit)
    events = [
        _Read(_place_of(row), row["created_at"], _with_id(row["id"], row["body"]))
        for row in found
        if row["visible"]
    ]
    scanned = limit if call.queues is None and types is None else rows.SCAN
    more = len(events) >= limit or len(found) >= scanned
    end = _place_of(found[-1]) if found else place
    return events, (end, found[-1]["created_at"] if more else began), more


def _place_of(row: Any) -> Place:
    return int(row["xid"]), row["position"]


def _with_id(event_id: UUID, body: bytes) -> bytes:
    """The event's frozen body, an object, with its id as the first field."""
    return b'{"id":"%s",' % show_id("evt", event_id).encode() + bytes(body)[1:]


@table.add(
    "GET", "/v1/events", tag=TAG, scope="read", query=FeedQuery, answer=FeedPage, problems=(410,)
)
async def read_events(call: Call[FeedQuery, Nothing]) -> dict[str, Any]:
    """Read the feed.

    Nothing is ever skipped: an event appears only when no other can appear before it any more. Keep
    `next` and ask with it; it is good for 30 days (less where messages are kept for less), an older one
    gets 410 with the oldest. With `wait` the answer is held until there is something. Events of queues
    that the token may not see are left out.
    """
    asked = call.query
    types = _types(asked.types)
    place = await _start(call, asked.after, "after")
    deadline = asyncio.get_running_loop().time() + asked.wait
    while True:
        events, (place, until), more = await _page(call, types, place, asked.limit)
        left = deadline - asyncio.get_running_loop().time()
        if events or more or left <= 0 or not await call.services.feed.beyond(place, left):
            break
        if not await call.services.still_good(call.request):
            break  # the token has ended meanwhile; whoever asks again is told
    return {
        "items": [msgspec.Raw(one.body) for one in events],
        "next": _cursor(place, until),
        "more": more,
    }


@table.add(
    "GET",
    "/v1/events/stream",
    tag=TAG,
    scope="read",
    query=StreamQuery,
    answer=str,
    produces="text/event-stream",
    problems=(410, 503),
    headers={
        "Last-Event-ID": Annotated[
            str, Meta(description="The `id` of the last event that was received")
        ]
    },
)
async def stream_events(call: Call[StreamQuery, Nothing]) -> web.StreamResponse:
    """Follow the feed by server-sent events.

    Each event has the type as `event`, the JSON as `data`, and a cursor as `id`: a client that
    reconnects sends it as `Last-Event-ID` and misses nothing. At the beginning, and when there is no event
    for 15 s, a comment comes with such an `id`.
    """
    feed = call.services.feed
    types = _types(call.query.types)
    place = await _start(
        call, call.request.headers.get("Last-Event-ID") or call.query.after, "after"
    )
    if feed.streams >= MAX_STREAMS:
        raise Problem(503, "busy", "too many streams are open", headers={"Retry-After": "10"})
    headers = {**SECURITY_HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    feed.streams += 1
    try:
        await response.prepare(call.request)
        await _follow(call, response, types, place)
    except ConnectionError:
        pass
    finally:
        feed.streams -= 1
    return response


async def _follow(
    call: Call[StreamQuery, Nothing],
    response: web.StreamResponse,
    types: Sequence[str] | None,
    place: Place,
) -> None:
    """Send events until the token, the peer or the process ends; a database that is away is waited for."""
    await response.write(b"retry: 2000\n\n")
    loop = asyncio.get_running_loop()
    due = loop.time()
    while not call.services.feed.stopping:
        try:
            if not await call.services.still_good(call.request):
                return
            events, (place, until), more = await _page(call, types, place, BATCH)
        except AWAY:
            await asyncio.sleep(1)
            continue
        for one in events:
            await response.write(_frame(one))
        if is_quiet := not events and loop.time() >= due:
            await response.write(b": still here\nid: %s\n\n" % _cursor(place, until).encode())
        if events or is_quiet:
            due = loop.time() + BEAT_S
        if not more:
            await call.services.feed.beyond(place, due - loop.time())


def _frame(one: _Read) -> bytes:
    kind = msgspec.json.decode(one.body, type=_Typed).type.encode()
    cursor = _cursor(one.place, one.made_at).encode()
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (cursor, kind, one.body)


class _Typed(Struct):
    type: str

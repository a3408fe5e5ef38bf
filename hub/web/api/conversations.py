"""Conversations: list, read, and move between queues and states."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from hub.conversations import change as write_change
from hub.core import Core
from hub.ids import id_pattern, read_id
from hub.store import Transaction
from hub.store import api as rows
from hub.web.cursors import Recent, read_cursor, show_cursor
from hub.web.etags import etag, matches
from hub.web.problems import Problem, invalid, not_found
from hub.web.routes import Answer, Call, Nothing, RouteTable
from hub.web.shapes import (
    Conversation,
    ConversationPage,
    ConversationState,
    conversation_views,
    own_id,
    page_size,
)

table = RouteTable()
TAG = "Conversations"

Limit = Annotated[int, Meta(ge=1, le=200, description="How many on a page")]
Cursor = Annotated[
    str,
    Meta(
        max_length=200,
        description="`next` of the page before",
        extra_json_schema={"pattern": "^[A-Za-z0-9_-]+$"},
    ),
]
Tag = Annotated[str, Meta(min_length=1, max_length=64)]


class ConversationQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which conversations are wanted."""

    state: Annotated[ConversationState | None, Meta(description="Only these")] = None
    queue: Annotated[str | None, Meta(description="Only of this queue")] = None
    account: Annotated[str | None, Meta(description="Only of this account")] = None
    tag: Annotated[str | None, Meta(description="Only with this tag")] = None
    contact: (
        Annotated[
            str,
            Meta(
                description="Only of this contact, over all channels",
                extra_json_schema={"pattern": id_pattern("cnt")},
            ),
        ]
        | None
    ) = None
    after: Cursor | None = None
    limit: Limit = 50


@table.add(
    "GET",
    "/v1/conversations",
    tag=TAG,
    scope="read",
    query=ConversationQuery,
    answer=ConversationPage,
)
async def list_conversations(call: Call[ConversationQuery, Nothing]) -> ConversationPage:
    """List conversations.

    The one that changed last comes first.
    """
    asked = call.query
    before = None
    if asked.after is not None:
        place = read_cursor(asked.after, Recent, "after")
        before = (place.at, _uuid(place.id))
    contact = None if asked.contact is None else read_id("cnt", asked.contact)
    if asked.contact is not None and contact is None:
        raise invalid("wants an id such as cnt_…", parameter="contact")
    wanted = rows.ConversationFilter(
        asked.state, asked.queue, asked.account, asked.tag, before, contact
    )
    found = await rows.conversations(call.core.db, call.queues, wanted, page_size(asked.limit))
    page, more = found[: asked.limit], len(found) > asked.limit
    following = show_cursor(Recent(page[-1]["updated_at"], page[-1]["id"].hex)) if more else None
    return ConversationPage(
        await conversation_views(call.core.db, page, call.core.clock()), following
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(hex=text)
    except ValueError as error:
        raise invalid("is no cursor of this list", parameter="after") from error


@table.add(
    "GET",
    "/v1/conversations/{id}",
    tag=TAG,
    scope="read",
    answer=Conversation,
    problems=(404,),
    tagged=True,
)
async def get_conversation(call: Call[Nothing, Nothing]) -> Conversation:
    """Read one conversation."""
    found = await rows.conversation(call.core.db, call.queues, own_id("cnv", call.path["id"]))
    if found is None:
        raise not_found()
    return (await conversation_views(call.core.db, [found], call.core.clock()))[0]


class ConversationChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    queue: Annotated[str, Meta(description="The queue that goes on with it")] | UnsetType = UNSET
    state: ConversationState | UnsetType = UNSET
    tags: Annotated[tuple[Tag, ...], Meta(max_length=50)] | UnsetType = UNSET
    assignee: (
        Annotated[str, Meta(min_length=1, max_length=255, description="Who answers; null: nobody")]
        | UnsetType
        | None
    ) = UNSET


@table.add(
    "PATCH",
    "/v1/conversations/{id}",
    tag=TAG,
    scope="reply",
    body=ConversationChange,
    answer=Conversation,
    problems=(404, 412),
    headers={
        "If-Match": Annotated[
            str, Meta(description="The `ETag` that was read: 412 when it has changed since")
        ]
    },
    tagged=True,
)
async def change_conversation(call: Call[Nothing, ConversationChange]) -> Answer:
    """Change queue, state, tags or assignee.

    Publishes `conversation.updated` in the same transaction, to whoever serves the new queue. A token
    that may not see the new queue sees the conversation no more. With `If-Match` nobody's change is
    overwritten unseen.
    """
    core, change = call.core, call.body
    if change.queue is not UNSET and change.queue not in core.settings.queues:
        raise invalid(
            f"known queues are {', '.join(sorted(core.settings.queues))}", pointer="/queue"
        )
    wanted = own_id("cnv", call.path["id"])

    async def work(tx: Transaction) -> tuple[Conversation, frozenset[str]]:
        return await _change(
            core, tx, call.queues, wanted, change, call.request.headers.get("If-Match")
        )

    changed, rung = await core.db.transaction(work)
    if rung:
        core.bells.ring("deliver")
    return Answer(changed)


async def _change(
    core: Core,
    tx: Transaction,
    queues: tuple[str, ...] | None,
    wanted: UUID,
    change: ConversationChange,
    seen: str | None,
) -> tuple[Conversation, frozenset[str]]:
    row = await rows.lock_conversation(tx, queues, wanted)
    if row is None:
        raise not_found()
    now = core.clock()
    if seen is not None:
        (shown,) = await conversation_views(tx, [row], now)
        if not matches(seen, etag(msgspec.json.encode(shown))):
            raise Problem(412, "changed", "the conversation has changed since that ETag was read")
    given = {name: getattr(change, name) for name in change.__struct_fields__}
    changes = {name: value for name, value in given.items() if value is not UNSET}
    if "tags" in changes:
        changes["tags"] = list(dict.fromkeys(changes["tags"]))
    rung = await write_change(tx, core.settings, wanted, changes, now)
    changed = await rows.lock_conversation(tx, None, wanted)
    return (await conversation_views(tx, [changed], now))[0], rung

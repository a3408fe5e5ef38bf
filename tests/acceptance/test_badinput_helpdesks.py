"""Hostile callbacks of connected helpdesks: never a 5xx, and nothing is said."""

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from adapters.helpdesks.chatwoot import DESTINATION as CHATWOOT
from adapters.helpdesks.django_helpdesk import DESTINATION as DJANGO
from adapters.helpdesks.freescout import DESTINATION as FREESCOUT
from adapters.helpdesks.zammad import DESTINATION as ZAMMAD
from hub.model import Secret
from outbound.helpdesks.chatwoot import ChatwootSettings
from outbound.helpdesks.django_helpdesk import DjangoHelpdeskSettings
from outbound.helpdesks.freescout import FreeScoutSettings
from outbound.helpdesks.zammad import ZammadSettings
from tests.support.desks import desk_world, plan_of

COMMON: dict[str, Any] = {"base_url": "http://127.0.0.1:1", "callback_secret": Secret("c" * 24)}
PLANS = [
    plan_of(
        CHATWOOT, ChatwootSettings(account_id=1, inbox_id=7, api_token=Secret("t"), **COMMON), "cw"
    ),
    plan_of(DJANGO, DjangoHelpdeskSettings(username="hub", password=Secret("p"), **COMMON), "dh"),
    plan_of(
        FREESCOUT,
        FreeScoutSettings(api_key=Secret("k"), mailbox_id=2, hub_user_id=14, **COMMON),
        "fs",
    ),
    plan_of(ZAMMAD, ZammadSettings(api_token=Secret("t"), group="g", **COMMON), "zm"),
]


def said(**message: Any) -> bytes:
    """One public reply of an agent in the shapes of all four, with *message* put over it."""
    entry = {"id": 9, "user": 5, "public": True, "comment": "hi", "body": "hi", "type": "message"}
    entry |= {"state": "published", "sender": "Agent", "internal": False, **message}
    thread = {"threads": [entry | {"createdBy": {"id": 9, "type": "user"}}]}
    body = {
        "event": "message_created",
        "message_type": "outgoing",
        "private": False,
        "content": "hi",
        "inbox_id": 7,
        "inbox": {"id": 7},
        "conversation": {"id": "1", "inbox_id": 7},
        "ticket": {"id": "1", "followup_set": [entry], "status": 1},
        "article": entry,
        "_embedded": thread,
        "id": "1",
        **message,
    }
    return json.dumps(body).encode()


HOSTILE = {
    "nothing": b"",
    "no JSON": b"{",
    "not UTF-8": b"\xff\xfe{}",
    "a list": b"[]",
    "null": b"null",
    "deep": b"[" * 50_000,
    "numbers that no row can hold": said(id=10**30),
    "a negative id": said(id=-1),
    "an id that is text": said(id="x"),
    "an id with NUL": said(id="1\u0000"),
    "a ticket with NUL": said(
        ticket={"id": "1\u0000", "followup_set": []}, conversation={"id": "1\u0000"}
    ),
    "text with NUL": said(comment="a\u0000b", content="a\u0000b", body="a\u0000b"),
    "half a surrogate": said(content="\ud800", comment="\ud800"),
    "entries that are none": said(ticket={"id": 1, "followup_set": 5}, _embedded=5, article=5),
    "everything null": json.dumps(
        dict.fromkeys(("ticket", "conversation", "id", "event"))
    ).encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_callback(database_url: str, name: str) -> None:
    """With the right path, which is all the proof that an unsigned one has."""
    async with desk_world(database_url, PLANS) as world, ClientSession() as http:
        await world.say({"id": "1", "text": "hello"})
        for plan in PLANS:
            await world.core.db.fetch(
                "INSERT INTO tickets (destination, conversation_id, case_number, ref, active_at, look_at, "
                "created_at) SELECT $1, id, 1, '1', now(), 'infinity', now() FROM conversations",
                plan.target.name,
            )
            url = world.callback_url(plan.target.name)
            async with http.post(url, data=HOSTILE[name]) as answer:
                assert answer.status in (200, 400), (plan.target.name, await answer.text())
            for wrong in (url[:-1], url + "x", url.rsplit("/", 1)[0], url + "/more"):
                async with http.post(wrong, data=HOSTILE[name]) as answer:
                    assert answer.status == 404
        assert await world.said() == []
        rows = await world.core.db.fetch("SELECT 1 FROM desk_messages WHERE state = 'waiting'")
        assert rows == [], "an unsigned callback is a hint at most"

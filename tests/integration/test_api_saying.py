"""Saying something by the API: replies, idempotency keys, a person's word."""

import asyncio
from typing import Any

import msgspec
import pytest

from hub.channel import Capabilities
from hub.model import Address, ConversationRef
from tests import corekit
from tests.apikit import CHANNEL, Api, Client, api

HELLO = {"id": "m1", "from": "ann", "text": "hello"}


async def place(made: Api, client: Client) -> str:
    """The path of the messages of a conversation in which somebody has written."""
    await made.say(HELLO)
    found = (await client.get("/v1/conversations")).json["items"][0]
    return f"/v1/conversations/{found['id']}/messages"


async def count(made: Api) -> int:
    rows = await made.core.db.fetch(
        "SELECT count(*) AS n FROM messages WHERE direction = 'outbound'"
    )
    return int(rows[0]["n"])


async def test_a_reply_is_accepted_with_its_drafts(database_url: str) -> None:
    """202 with the message; the platform call and the lane's work are on disk."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        answer = await client.post(await place(made, client), {"text": "你好"})
        assert (answer.status, answer.json["status"], answer.json["seq"]) == (202, "queued", 2)
        assert answer.json["sender"]["name"] == "desk"
        trace = (await client.get(f"/v1/messages/{answer.json['id']}/trace")).json
        assert "draft" in {entry["kind"] for entry in trace["entries"]}
        lanes = await made.core.db.fetch(
            "SELECT wanted - handled AS n FROM lanes WHERE kind = 'reply'"
        )
        assert [row["n"] for row in lanes] == [1]


async def test_a_key_says_it_once(database_url: str) -> None:
    """A repeat gets the same bytes, also when both run at the same moment."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        path = await place(made, client)
        first, second = await asyncio.gather(
            *(client.post(path, {"text": "once"}, Idempotency_Key="k1") for _ in range(2))
        )
        third = await client.post(path, {"text": "once"}, Idempotency_Key="k1")
        assert first.text == second.text == third.text
        assert third.headers["Idempotency-Replayed"] == "true"
        assert await count(made) == 1


async def test_a_key_is_for_one_request(database_url: str) -> None:
    """422 for another body; another token has its own keys."""
    async with api(database_url) as made:
        client, other = await made.client("read", "reply"), await made.client("read", "reply")
        path = await place(made, client)
        assert (await client.post(path, {"text": "a"}, Idempotency_Key="k1")).status == 202
        answer = await client.post(path, {"text": "b"}, Idempotency_Key="k1")
        assert (answer.status, answer.json["type"]) == (422, "urn:hub:problem:idempotency-mismatch")
        assert (await other.post(path, {"text": "b"}, Idempotency_Key="k1")).status == 202


async def test_a_refused_request_leaves_its_key_free(database_url: str) -> None:
    """The same key may be used for the corrected request."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        path = await place(made, client)
        assert (await client.post(path, {"text": "song"}, Idempotency_Key="k1")).status == 422
        assert (await client.post(path, {"text": "fine"}, Idempotency_Key="k1")).status == 202


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_an_unfit_key_is_refused(database_url: str, key: str) -> None:
    """1 to 255 characters."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        path = await place(made, client)
        assert (await client.post(path, {"text": "a"}, Idempotency_Key=key)).status == 400


@pytest.mark.parametrize(
    "body, pointer",
    [
        ({"text": "x", "to": "bob"}, "/to"),
        ({"text": "x", "menu": {"title": "t", "choices": [], "color": 1}}, "/menu/color"),
        ({"menu": {"title": "t", "choices": [{"id": "1"}]}}, "/menu/choices/0"),
        ({"text": 5}, "/text"),
        ({"text": "x", "attachments": [{"id": "a", "path": "/etc"}]}, "/attachments/0/path"),
        ({"text": "x", "attachments": [{}]}, "/attachments/0"),
        ({"text": "x", "in_reply_to": "msg_x"}, "/in_reply_to"),
        ({}, ""),
    ],
)
async def test_a_wrong_field_is_named(database_url: str, body: Any, pointer: str) -> None:
    """422 with a pointer to it, and nothing is stored."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        answer = await client.post(await place(made, client), body)
        assert answer.status == 422
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert answer.json["errors"][0].get("pointer", "") == pointer
        assert await count(made) == 0


async def test_what_the_channel_cannot_say_is_refused_with_its_reason(database_url: str) -> None:
    """The type tells the error class."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        answer = await client.post(await place(made, client), {"text": "song"})
        assert (answer.status, answer.json["type"]) == (422, "urn:hub:problem:unsupported")
        assert "cannot sing" in answer.json["detail"]


async def test_a_closed_window_holds_and_a_person_decides(database_url: str) -> None:
    """Held by the account's plan; cancelled by a person, once."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        answer = await client.post(await place(made, client), {"text": "closed"})
        assert (answer.status, answer.json["status"]) == (202, "held")
        path = f"/v1/messages/{answer.json['id']}"
        cancelled = await client.post(f"{path}/cancel")
        assert (cancelled.json["status"], cancelled.json["error"]["code"]) == (
            "failed",
            "cancelled",
        )
        assert (await client.post(f"{path}/resend")).status == 409
        assert (await client.get(path)).json["status"] == "failed"


async def test_an_inbound_message_is_not_sent_again(database_url: str) -> None:
    """404: it is no reply."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        path = await place(made, client)
        message = (await client.get(path)).json["items"][0]
        assert (await client.post(f"/v1/messages/{message['id']}/resend")).status == 404


async def test_text_that_the_database_cannot_hold_is_cleaned(database_url: str) -> None:
    """NUL becomes U+FFFD, and no error."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        answer = await client.post(await place(made, client), {"text": "a\x00b"})
        assert (answer.status, answer.json["text"]) == (202, "a\ufffdb")


# --- writing first ----------------------------------------------------------------------------------

FIRST = {"account": "shop", "to": {"scheme": "test", "value": "zoe"}, "text": "we are open again"}


def proactive() -> Any:
    """Settings whose account may write first."""
    channel = msgspec.structs.replace(CHANNEL, capabilities=Capabilities(proactive=True))
    return corekit.settings_for(channel=channel, queues=("inbox", "sales"))


async def test_who_has_not_written_can_be_written_to(database_url: str) -> None:
    """The conversation is made and told of; the next message goes into the same one."""
    async with api(database_url, proactive()) as made:
        client = await made.client("read", "reply")
        first = await client.post("/v1/messages", {**FIRST, "queue": "sales"})
        assert (first.status, first.json["seq"]) == (202, 1)
        second = await client.post("/v1/messages", FIRST)
        assert second.json["conversation"] == first.json["conversation"]
        events = (await client.get("/v1/events")).json["items"]
        kinds = [one["type"] for one in events]
        assert kinds == ["conversation.created", "message.status", "message.status"]
        await made.say({"id": "m9", "from": "zoe", "text": "great"})
        (found,) = (await client.get("/v1/conversations")).json["items"]
        assert (found["last_seq"], found["queue"]) == (3, "sales")


async def test_two_at_once_make_one_conversation(database_url: str) -> None:
    """Nobody gets two threads."""
    async with api(database_url, proactive()) as made:
        client = await made.client("read", "reply")
        answers = await asyncio.gather(*(client.post("/v1/messages", FIRST) for _ in range(4)))
        assert [one.status for one in answers] == [202] * 4
        assert len((await client.get("/v1/conversations")).json["items"]) == 1
        assert sorted(one.json["seq"] for one in answers) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "change, pointer",
    [
        ({"account": "other"}, "/account"),
        ({"queue": "nowhere"}, "/queue"),
        ({"to": {}}, "/to"),
        ({"to": {"scheme": "test", "value": "zoe", "scope": "another"}}, "/to/scope"),
        ({"via": {"account": "shop"}}, "/via"),
    ],
)
async def test_an_opening_names_what_is_wrong(
    database_url: str, change: dict[str, Any], pointer: str
) -> None:
    """422 with a pointer."""
    async with api(database_url, proactive()) as made:
        client = await made.client("reply")
        answer = await client.post("/v1/messages", {**FIRST, **change})
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, pointer)


async def test_a_wrong_address_makes_no_stranger(database_url: str) -> None:
    """Somebody who is known stays one person: another scope or scheme would be a contact of its own."""
    settings = proactive()
    plan = settings.accounts["shop"]

    def opens(to: Address, account: Any) -> tuple[Address, ConversationRef]:
        return Address("test", "corp", to.value.lower()), ConversationRef(
            thread_key=to.value.lower()
        )

    channel = msgspec.structs.replace(plan.channel, opens=opens)
    async with api(database_url, settings) as made:
        accounts: Any = {"shop": plan._replace(channel=channel)}
        made.core.settings = made.core.settings._replace(accounts=accounts)
        client = await made.client("read", "reply")
        for wrong in ({"scheme": "mail"}, {"scope": "corp2"}):
            to = {"scheme": "test", "value": "Zoe", **wrong}
            answer = await client.post("/v1/messages", {**FIRST, "to": to})
            assert answer.json["errors"][0]["pointer"] == f"/to/{next(iter(wrong))}"
        assert await made.core.db.fetch("SELECT FROM contacts") == []
        for right in ({}, {"scope": "corp"}):
            to = {"scheme": "test", "value": "Zoe", **right}
            assert (await client.post("/v1/messages", {**FIRST, "to": to})).status == 202
        (found,) = (await client.get("/v1/conversations")).json["items"]
        assert found["address"] == {"scheme": "test", "scope": "corp", "value": "zoe"}


async def test_a_channel_may_not_allow_it(database_url: str) -> None:
    """422: on this channel the customer begins."""
    async with api(database_url) as made:
        client = await made.client("reply")
        answer = await client.post("/v1/messages", FIRST)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/account")


async def test_an_opening_stays_within_the_tokens_queues(database_url: str) -> None:
    """Neither into a foreign queue nor into a foreign conversation."""
    async with api(database_url, proactive()) as made:
        client = await made.client("reply", queues=("sales",))
        assert (await client.post("/v1/messages", FIRST)).status == 422
        await made.say({"id": "m1", "from": "zoe", "text": "hello"})
        assert (await client.post("/v1/messages", {**FIRST, "queue": "sales"})).status == 404

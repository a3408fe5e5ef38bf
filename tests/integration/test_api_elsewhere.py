"""A reply on another way to the same contact, because whoever answers says so."""

import asyncio
from typing import Any

import pytest

from tests.apikit import Answered, Api, Client, api
from tests.corekit import settings_for


async def known_twice(made: Api) -> tuple[dict[str, Any], dict[str, Any]]:
    """One person's conversations with ``shop`` and ``mail``; a stranger has one too."""
    await made.say({"id": "1", "from": "ann", "text": "hello"})
    await made.say({"id": "2", "from": "ann@home", "text": "it is me"}, account="mail")
    await made.say({"id": "3", "from": "bob", "text": "hi"}, account="mail")
    admin = await made.client()
    found = (await admin.get("/v1/conversations")).json["items"]
    by_value = {one["address"]["value"]: one for one in found}
    shop, mail = by_value["ann"], by_value["ann@home"]
    merge = {"other": mail["contact"]["id"], "evidence": "she told me"}
    await admin.post(f"/v1/contacts/{shop['contact']['id']}/merge", merge)
    return shop, mail


def served(database_url: str) -> Any:
    settings = settings_for(
        "http://127.0.0.1:9/hook", accounts=("shop", "mail"), queues=("inbox", "sales")
    )
    return api(database_url, settings)


async def say(client: Client, conversation: dict[str, Any], via: Any, **more: Any) -> Answered:
    body = {"text": "hello again", "via": via, **more}
    return await client.post(f"/v1/conversations/{conversation['id']}/messages", body)


@pytest.mark.parametrize(
    "via",
    [
        {"account": "mail"},
        {"address": {"scheme": "test", "scope": "", "value": "ann@home"}},
        {"account": "mail", "channel": "test"},
    ],
)
async def test_the_agent_names_the_way(database_url: str, via: dict[str, Any]) -> None:
    """By account or address: it is a message of that conversation; the trace says where it was asked for."""
    async with served(database_url) as made:
        shop, mail = await known_twice(made)
        client = await made.client("read", "reply")
        said = await say(client, shop, via)
        assert (said.status, said.json["account"]) == (202, "mail")
        assert said.json["conversation"]["id"] == mail["id"]
        asked_in = {"conversation": shop["id"], "reason": "chosen"}
        assert said.json["extra"]["asked_in"] == asked_in
        trace = (await client.get(f"/v1/messages/{said.json['id']}/trace")).json
        accepted = next(one for one in trace["entries"] if one["kind"] == "accepted")
        assert accepted["facts"]["asked_in"] == shop["id"]
        assert "chose" in accepted["facts"]["because"]
        events = (await client.get("/v1/events", types="message.status")).json["items"]
        assert events[-1]["data"]["message"]["extra"]["asked_in"] == asked_in
        rows = await made.core.db.fetch(
            "SELECT conversation_id FROM drafts d JOIN messages m ON m.id = d.message_id"
        )
        assert len(rows) == 1


async def test_its_own_way_is_a_way(database_url: str) -> None:
    """Whoever names the conversation's own account gets what they would have got."""
    async with served(database_url) as made:
        shop, _ = await known_twice(made)
        said = await say(await made.client("reply"), shop, {"account": "shop"})
        assert said.json["conversation"]["id"] == shop["id"]
        assert "asked_in" not in said.json["extra"]


@pytest.mark.parametrize(
    "via, pointer",
    [
        ({}, "/via"),
        ({"account": ""}, "/via"),
        ({"account": "nowhere"}, "/via"),
        ({"channel": "fax"}, "/via"),
        (
            {"account": "shop", "address": {"scheme": "test", "scope": "", "value": "ann@home"}},
            "/via",
        ),
        ({"address": {"scheme": "test", "scope": "", "value": "bob"}}, "/via"),
        ({"address": {"value": "bob"}}, "/via/address"),
        ({"account": 5}, "/via/account"),
        ({"mailbox": "x"}, "/via/mailbox"),
        ("mail", "/via"),
    ],
)
async def test_a_way_that_is_none_is_refused(database_url: str, via: Any, pointer: str) -> None:
    """422 with a pointer, for a stranger's address too, and nothing is said."""
    async with served(database_url) as made:
        shop, _ = await known_twice(made)
        answer = await say(await made.client("reply"), shop, via)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, pointer)
        assert await made.core.db.fetch("SELECT FROM messages WHERE direction = 'outbound'") == []


async def test_a_way_leads_into_no_foreign_queue(database_url: str) -> None:
    """What the token does not see is not there: the same answer as for no way at all."""
    async with served(database_url) as made:
        shop, mail = await known_twice(made)
        admin = await made.client()
        client = await made.client("reply", queues=("inbox",))
        await admin.call("PATCH", f"/v1/conversations/{mail['id']}", {"queue": "sales"})
        foreign = await say(client, shop, {"account": "mail"})
        nowhere = await say(client, shop, {"account": "nowhere"})
        assert (foreign.status, foreign.text) == (422, nowhere.text)
        assert (await say(client, mail, {"account": "shop"})).status == 404
        assert (await say(admin, shop, {"account": "mail"})).status == 202


async def test_a_group_has_no_other_way(database_url: str) -> None:
    """What is for many is not sent to one of them."""
    async with served(database_url) as made:
        await made.say({"id": "1", "from": "ann", "text": "hello", "thread": "g", "group": True})
        client = await made.client()
        group = (await client.get("/v1/conversations")).json["items"][0]
        assert (await say(client, group, {"account": "shop"})).status == 422


async def test_a_key_is_for_one_way(database_url: str) -> None:
    """The same key with the same way: the same answer; with another: 422."""
    async with served(database_url) as made:
        shop, _ = await known_twice(made)
        client = await made.client("reply")
        path = f"/v1/conversations/{shop['id']}/messages"
        body = {"text": "hello", "via": {"account": "mail"}}
        first, again = [await client.post(path, body, Idempotency_Key="k") for _ in range(2)]
        assert first.json == again.json
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (await client.post(path, {"text": "hello"}, Idempotency_Key="k")).status == 422


async def test_crossing_ways_do_not_block_one_another(database_url: str) -> None:
    """Replies from each conversation into the other, at once: all are said."""
    async with served(database_url) as made:
        shop, mail = await known_twice(made)
        client = await made.client("reply")
        answers = await asyncio.gather(
            *(say(client, shop, {"account": "mail"}) for _ in range(8)),
            *(say(client, mail, {"account": "shop"}) for _ in range(8)),
        )
        assert {one.status for one in answers} == {202}


async def test_what_is_quoted_is_of_the_way(database_url: str) -> None:
    """A message of the other conversation cannot be quoted there."""
    async with served(database_url) as made:
        shop, mail = await known_twice(made)
        client = await made.client("read", "reply")

        async def first_of(conversation: dict[str, Any]) -> str:
            path = f"/v1/conversations/{conversation['id']}/messages"
            return str((await client.get(path)).json["items"][0]["id"])

        via = {"account": "mail"}
        here = await say(client, shop, via, in_reply_to=await first_of(shop))
        assert here.json["errors"][0]["pointer"] == "/in_reply_to"
        assert (await say(client, shop, via, in_reply_to=await first_of(mail))).status == 202

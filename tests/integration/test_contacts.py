"""Contacts by the API: merged with evidence, undone, and their conversations over all channels."""

import asyncio
import json
from typing import Any

import jsonschema

from hub.identity import follow_claims
from hub.store import identity
from hub.store.identity import Claim
from hub.web.openapi import event_schemas
from tests.apikit import Api, api
from tests.corekit import Address, settings_for


async def two(hub: Api) -> tuple[dict[str, Any], dict[str, Any]]:
    """Conversations of two strangers, the older first."""
    await hub.say({"id": "1", "from": "ann", "name": "Ann", "text": "hello"})
    await hub.say({"id": "2", "from": "ann@home", "text": "it is me again"}, account="mail")
    admin = await hub.client()
    found = (await admin.get("/v1/conversations")).json["items"]
    second, first = found
    return first, second


async def test_merge_and_undo(database_url: str) -> None:
    """Both conversations are one person's; undone, each has its own again, also what came since."""
    settings = settings_for("http://127.0.0.1:9/hook", accounts=("shop", "mail"))
    async with api(database_url, settings) as hub:
        first, second = await two(hub)
        admin = await hub.client()
        older, younger = first["contact"]["id"], second["contact"]["id"]
        body = {"other": older, "evidence": "she told me"}
        merged = (await admin.post(f"/v1/contacts/{younger}/merge", body)).json
        assert (merged["id"], merged["name"]) == (older, "Ann")
        assert [one["value"] for one in merged["addresses"]] == ["ann", "ann@home"]
        (merge,) = merged["merges"]
        assert (merge["by"], merge["evidence"]) == ("token desk", "she told me")
        listed = (await admin.get("/v1/conversations", contact=older)).json["items"]
        assert {one["account"] for one in listed} == {"shop", "mail"}
        events = await hub.core.db.fetch(
            "SELECT body FROM events WHERE type = 'conversation.updated'"
        )
        told = json.loads(events[-1]["body"])["data"]["conversation"]
        assert (told["id"], told["contact"]["id"]) == (second["id"], older)

        await hub.say(
            {"id": "3", "from": "ann@home", "thread": "new", "text": "more"}, account="mail"
        )
        asked = {"merge": merge["id"]}
        alone = (await admin.post(f"/v1/contacts/{older}/unmerge", asked)).json
        assert [one["value"] for one in alone["addresses"]] == ["ann"]
        again = (await admin.get("/v1/conversations", contact=younger)).json["items"]
        assert len(again) == 2
        assert (await admin.post(f"/v1/contacts/{older}/unmerge", asked)).status == 409

        async def claim(tx: Any) -> None:
            address = Address("test", "", "ann")
            await identity.claim(tx, [Claim("shop", address, Address("test", "", "ann@home"))])

        await hub.core.db.transaction(claim)
        (own,) = await identity.waiting(hub.core.db)
        follow = await hub.core.db.transaction(
            lambda tx: identity.follow(tx, own, hub.core.clock())
        )
        assert follow is None, "what a person has undone stays undone"


async def test_a_merge_and_its_undo_are_told(database_url: str) -> None:
    """One event each, by a person's word and by a platform's; of the contacts only the ids."""
    settings = settings_for("http://127.0.0.1:9/hook", accounts=("shop", "mail"))
    async with api(database_url, settings) as hub:
        first, second = await two(hub)
        admin = await hub.client()
        older, younger = first["contact"]["id"], second["contact"]["id"]
        body = {"other": older, "evidence": "secret words"}
        (merge,) = (await admin.post(f"/v1/contacts/{younger}/merge", body)).json["merges"]
        await admin.post(f"/v1/contacts/{older}/unmerge", {"merge": merge["id"]})
        await hub.say({"id": "9", "from": "zoe", "text": "hello"})
        notice = {"id": "n", "from": "zoe", "type": "notice"}
        await hub.say(
            {**notice, "same": ["z"]}, {**notice, "id": "o", "from": "ann", "same": ["z"]}
        )
        assert await follow_claims(hub.core) == 1
        events = (await admin.get("/v1/events")).json["items"]
        told = [one for one in events if one["type"].startswith("contact.")]
        kinds = ["contact.merged", "contact.unmerged", "contact.merged"]
        assert [one["type"] for one in told] == kinds
        facts = [one["data"]["merge"] for one in told]
        assert facts[0] == {
            "id": merge["id"],
            "kept": older,
            "gone": younger,
            "at": merge["at"],
            "undone_at": None,
        }
        assert facts[1]["undone_at"] is not None
        assert "secret words" not in str(told)
        for one in told:
            jsonschema.validate(one, event_schemas()[one["type"]])
        moved = [one["type"] for one in events[-3:]]
        assert moved[-2:] == ["contact.merged", "conversation.updated"]


async def test_a_merge_is_told_where_both_are_seen(database_url: str) -> None:
    """In the one queue of all their conversations; where there are several, to everybody."""
    async with api(database_url) as hub:
        await hub.say({"id": "1", "from": "a", "text": "x"}, {"id": "2", "from": "b", "text": "y"})
        admin, sales = await hub.client(), await hub.client("read", queues=("sales",))
        one, other = (
            each["contact"]["id"] for each in (await admin.get("/v1/conversations")).json["items"]
        )
        await admin.post(f"/v1/contacts/{one}/merge", {"other": other, "evidence": "said so"})
        assert (await sales.get("/v1/events")).json["items"] == []


async def test_merging_needs_sight_of_everything(database_url: str) -> None:
    """A token of one queue neither sees nor changes whom another queue talks to."""
    async with api(database_url) as hub:
        await hub.say({"id": "1", "from": "ann", "text": "hello"})
        await hub.say({"id": "2", "from": "bob", "text": "hello"})
        admin = await hub.client()
        ann, bob = (
            one["contact"]["id"] for one in (await admin.get("/v1/conversations")).json["items"]
        )
        foreign = await hub.client("reply", "read", queues=["sales"])
        assert (await foreign.get(f"/v1/contacts/{ann}")).status == 404
        body = {"other": bob, "evidence": "x"}
        assert (await foreign.post(f"/v1/contacts/{ann}/merge", body)).status == 404
        await hub.core.db.fetch("UPDATE conversations SET queue = 'sales' WHERE thread_key = 'bob'")
        for one, other in ((ann, bob), (bob, ann)):
            asked = {"other": other, "evidence": "x"}
            assert (await foreign.post(f"/v1/contacts/{one}/merge", asked)).status == 404
        same = {"other": ann, "evidence": "x"}
        assert (await admin.post(f"/v1/contacts/{ann}/merge", same)).status == 422


async def test_a_token_sees_the_addresses_of_its_queues(database_url: str) -> None:
    """Where else a person is reached is not the business of a helpdesk that serves one queue."""
    async with api(database_url) as hub:
        await hub.say({"id": "1", "from": "ann", "text": "hello"})
        await hub.say({"id": "2", "from": "ann@home", "text": "hello"})
        admin = await hub.client()
        second, first = (await admin.get("/v1/conversations")).json["items"]
        body = {"other": first["contact"]["id"], "evidence": "ann@home told me"}
        path = f"/v1/contacts/{second['contact']['id']}"
        kept = (await admin.post(f"{path}/merge", body)).json
        await hub.core.db.fetch("UPDATE conversations SET queue = 'sales' WHERE thread_key = 'ann'")
        sales = await hub.client("read", queues=["sales"])
        seen = (await sales.get(f"/v1/contacts/{kept['id']}")).json
        assert [one["value"] for one in seen["addresses"]] == ["ann"]
        assert (seen["merges"], len(kept["merges"])) == ([], 1)


async def test_who_has_gone_into_another_is_not_merged_again(database_url: str) -> None:
    """Neither by a request that comes twice, also at once, nor with a third; the one merge can be undone."""
    async with api(database_url) as hub:
        for who in ("ann", "bob", "cid"):
            await hub.say({"id": who, "from": who, "text": "hello"})
        admin = await hub.client()
        listed = (await admin.get("/v1/conversations")).json["items"]
        third, younger, older = (one["contact"]["id"] for one in listed)
        asked = (
            admin.post(f"/v1/contacts/{one}/merge", {"other": other, "evidence": "x"})
            for one, other in ((older, younger), (younger, older), (older, younger))
        )
        assert sorted([one.status for one in await asyncio.gather(*asked)]) == [200, 409, 409]
        again = {"other": younger, "evidence": "x"}
        answer = await admin.post(f"/v1/contacts/{third}/merge", again)
        assert (answer.status, answer.json["type"]) == (409, "urn:hub:problem:cannot-merge")
        assert "gone into another" in answer.json["detail"]
        (merge,) = (await admin.get(f"/v1/contacts/{older}")).json["merges"]
        undone = await admin.post(f"/v1/contacts/{older}/unmerge", {"merge": merge["id"]})
        assert [one["value"] for one in undone.json["addresses"]] == ["ann"]
        assert (await admin.post(f"/v1/contacts/{third}/merge", again)).status == 200


async def test_undone_each_has_its_own_name(database_url: str) -> None:
    """Nobody goes on under the name of somebody else; two who are called the same still are."""
    async with api(database_url) as hub:
        await hub.say({"id": "1", "from": "bob", "text": "hello"})
        await hub.say({"id": "2", "from": "ann", "name": "Ann", "text": "hello"})
        await hub.say({"id": "3", "from": "ann@home", "name": "Ann", "text": "hello"})
        admin = await hub.client()
        listed = (await admin.get("/v1/conversations")).json["items"]
        home, ann, bob = (one["contact"]["id"] for one in listed)
        for kept, gone, name in ((ann, home, "Ann"), (bob, ann, None)):
            body = {"other": gone, "evidence": "x"}
            merged = (await admin.post(f"/v1/contacts/{kept}/merge", body)).json
            assert merged["name"] == "Ann"
            undo = {"merge": merged["merges"][0]["id"]}
            undone = (await admin.post(f"/v1/contacts/{kept}/unmerge", undo)).json
            assert undone["name"] == name
            assert (await admin.get(f"/v1/contacts/{gone}")).json["name"] == "Ann"


async def test_a_group_is_never_merged(database_url: str) -> None:
    """It is no person."""
    async with api(database_url) as hub:
        await hub.say({"id": "1", "from": "ann", "text": "hello"})
        await hub.say({"id": "2", "from": "bob", "thread": "team", "group": True, "text": "hello"})
        admin = await hub.client()
        ids = [one["contact"]["id"] for one in (await admin.get("/v1/conversations")).json["items"]]
        body = {"other": ids[1], "evidence": "x"}
        assert (await admin.post(f"/v1/contacts/{ids[0]}/merge", body)).status == 409

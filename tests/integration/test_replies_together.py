"""Many replies at the same moment: stored together, each as if it had come alone."""

import asyncio
from collections import Counter
from typing import Any

from hub.store import Transaction
from tests.apikit import Answered, Api, Client, api, served

PEOPLE = ("ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal")


async def places(made: Api, client: Client) -> dict[str, str]:
    """The paths of the messages of conversations, by who has written there."""
    for name in PEOPLE:
        await made.say({"id": f"m-{name}", "from": name, "text": "hello"})
    found = (await client.get("/v1/conversations")).json["items"]
    return {one["thread_key"]: f"/v1/conversations/{one['id']}/messages" for one in found}


async def stored(made: Api) -> list[Any]:
    return await made.core.db.fetch(
        "SELECT m.seq, m.status, c.thread_key, m.body->>'text' AS text, "
        "(SELECT count(*) FROM drafts d WHERE d.message_id = m.id) AS drafts, "
        "(SELECT count(*) FROM events e WHERE e.message_id = m.id AND e.type = 'message.status') AS told "
        "FROM messages m JOIN conversations c ON c.id = m.conversation_id "
        "WHERE m.direction = 'outbound' ORDER BY c.thread_key, m.seq"
    )


async def test_each_is_stored_once_with_its_call_and_its_place(database_url: str) -> None:
    """96 in eight conversations: numbers without gaps, a draft and an event each, lanes raised."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        paths = await places(made, client)
        answers = await asyncio.gather(
            *(
                client.post(path, {"text": f"{n}"}, Idempotency_Key=f"{who}-{n}")
                for n in range(12)
                for who, path in paths.items()
            )
        )
        assert Counter(one.status for one in answers) == {202: 96}
        rows = await stored(made)
        assert [(row["thread_key"], row["seq"]) for row in rows] == [
            (who, seq) for who in PEOPLE for seq in range(2, 14)
        ]
        assert {(row["drafts"], row["told"], row["status"]) for row in rows} == {(1, 1, "queued")}
        assert {one.json["text"] for one in answers} == {row["text"] for row in rows}
        lanes = await made.core.db.fetch("SELECT wanted FROM lanes WHERE kind = 'reply'")
        assert [row["wanted"] for row in lanes] == [12] * 8


async def test_it_takes_few_statements(database_url: str) -> None:
    """Less than two for each reply, where a reply alone takes more than ten."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        paths = await places(made, client)
        await client.post(paths["ann"], {"text": "the token is known now"})
        before = made.core.db.statements
        await asyncio.gather(
            *(
                client.post(path, {"text": f"{n}"}, Idempotency_Key=f"{who}-{n}")
                for n in range(8)
                for who, path in paths.items()
            )
        )
        assert made.core.db.statements - before < 2 * 64


async def test_who_is_refused_harms_nobody(database_url: str) -> None:
    """What cannot be said, what must wait, and what nobody may see come at once with what is fine."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        stranger = await made.client("read", "reply", queues=("sales",), name="other")
        paths = await places(made, client)
        said = {"ann": "song", "bob": "closed", "cid": "fine", "dan": "fine", "eve": "  "}
        answers = await asyncio.gather(
            *(client.post(paths[who], {"text": text}) for who, text in said.items()),
            stranger.post(paths["fay"], {"text": "fine"}),
        )
        assert [one.status for one in answers] == [422, 202, 202, 202, 422, 404]
        found = {row["thread_key"]: row["status"] for row in await stored(made)}
        assert found == {"bob": "held", "cid": "queued", "dan": "queued"}


async def test_nothing_overtakes_what_waits_for_the_customer(database_url: str) -> None:
    """With a held reply before it, a plain one waits too."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        paths = await places(made, client)
        await client.post(paths["ann"], {"text": "closed"})
        answers = await asyncio.gather(
            *(client.post(paths[who], {"text": "fine"}) for who in ("ann", "bob"))
        )
        assert [one.json["status"] for one in answers] == ["held", "queued"]


async def test_twins_among_many_are_said_once(database_url: str) -> None:
    """Each key four times at the same moment, through two web processes."""
    async with api(database_url) as made, served(made.core) as other:
        client = await made.client("read", "reply")
        same = Client(other.http, other.base, client.token)
        paths = await places(made, client)

        async def say(one: Client, who: str) -> Answered:
            return await one.post(paths[who], {"text": f"to {who}"}, Idempotency_Key=who)

        answers = await asyncio.gather(
            *(say(one, who) for who in PEOPLE for one in (client, same, client, same))
        )
        assert Counter(one.status for one in answers) == {202: 32}
        assert len({one.text for one in answers}) == len(PEOPLE)
        assert len(await stored(made)) == len(PEOPLE)
        late = await say(same, "ann")
        assert late.headers["Idempotency-Replayed"] == "true"


async def test_a_locked_conversation_holds_up_no_other(database_url: str) -> None:
    """Somebody works on one conversation for long; replies to the others are accepted meanwhile."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        paths = await places(made, client)
        free = asyncio.Event()
        locked = asyncio.Event()

        async def work(tx: Transaction) -> None:
            await tx.fetch("SELECT FROM conversations WHERE thread_key = 'ann' FOR UPDATE")
            locked.set()
            await free.wait()

        holder = asyncio.create_task(made.core.db.transaction(work))
        await locked.wait()
        waits = asyncio.create_task(client.post(paths["ann"], {"text": "later"}))
        others = await asyncio.gather(
            *(client.post(paths[who], {"text": "now"}) for who in PEOPLE[1:])
        )
        assert {one.status for one in others} == {202}
        assert not waits.done()
        free.set()
        await holder
        assert (await waits).status == 202

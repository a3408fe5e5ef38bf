"""The feed: complete, in order, by cursor, by stream; and the dead letters."""

import asyncio
import itertools
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import msgspec
import pytest

from hub import apitokens
from hub.core import now
from hub.ids import new_id, read_id
from hub.store import api as rows
from hub.store.housekeeping import retire
from hub.web.api import events as feed
from hub.web.cursors import FeedCursor, show_cursor
from tests import corekit
from tests.apikit import Api, Client, api


def said(number: int) -> dict[str, Any]:
    return {"id": f"m{number}", "from": f"c{number % 3}", "text": str(number)}


async def drain(client: Client, after: str = "oldest", **query: Any) -> tuple[list[Any], str]:
    """Everything that can be read now, and the cursor after it."""
    found = []
    while True:
        page = (await client.get("/v1/events", after=after, **query)).json
        found += page["items"]
        after = page["next"]
        if not page["more"]:
            return found, after


def texts(events: list[Any]) -> list[str]:
    return [e["data"]["message"]["text"] for e in events if e["type"] == "message.received"]


async def test_the_feed_is_complete_and_goes_on(database_url: str) -> None:
    """Small pages together are everything, once; the cursor goes on where it ended."""
    async with api(database_url) as made:
        client = await made.client("read")
        await made.say(*map(said, range(10)))
        events, cursor = await drain(client, limit=3)
        assert sorted(texts(events), key=int) == [str(i) for i in range(10)]
        assert len({one["id"] for one in events}) == len(events)
        await made.say(said(10))
        assert texts((await drain(client, cursor))[0]) == ["10"]


async def test_an_open_transaction_holds_the_feed_back(database_url: str) -> None:
    """An event that commits late is never skipped: readers wait for the older transaction."""
    async with api(database_url) as made:
        client = await made.client("read")
        await made.say(said(0))
        _, cursor = await drain(client)
        url = database_url.replace("asyncpg://", "postgresql://")
        late = await asyncpg.connect(url)
        try:
            transaction = late.transaction()
            await transaction.start()
            await late.execute(
                "INSERT INTO events (id, type, body, created_at) VALUES (gen_random_uuid(), "
                '\'account.state\', \'{"type":"account.state","timestamp":"2026-01-01T00:00:00Z",'
                '"data":{}}\', now())'
            )
            await made.say(said(1))
            early, cursor = await drain(client, cursor)
            assert early == []
            await transaction.commit()
        finally:
            await late.close()
        events, _ = await drain(client, cursor)
        assert next(one["type"] for one in events) == "account.state"
        assert texts(events) == ["1"]


async def test_transactions_are_ordered_as_numbers(database_url: str) -> None:
    """9 comes before 10, also in one page and at the end of the feed."""
    async with api(database_url) as made:
        client = await made.client("read")
        await made.say(said(0), said(1))
        await made.core.db.fetch("UPDATE events SET xid = '9' WHERE type = 'conversation.created'")
        await made.core.db.fetch("UPDATE events SET xid = '10' WHERE type = 'message.received'")
        page = (await client.get("/v1/events", after=show_cursor(FeedCursor(3, 0, now())))).json
        kinds = [one["type"] for one in page["items"]]
        assert kinds == ["conversation.created"] * 2 + ["message.received"] * 2
        for after in (page["next"], "latest"):
            assert (await drain(client, after))[0] == []


async def test_types_and_queues_leave_out_without_stopping(database_url: str) -> None:
    """Events that are not wanted, or not the token's, move the cursor on."""
    async with api(database_url) as made:
        everyone, foreign = await made.client("read"), await made.client("read", queues=("sales",))
        await made.say(*map(said, range(5)))
        events, _ = await drain(everyone, types="conversation.created", limit=2)
        assert [one["type"] for one in events] == ["conversation.created"] * 3
        nothing, cursor = await drain(foreign, limit=1)
        assert (nothing, (await drain(foreign, cursor))[0]) == ([], [])


async def test_latest_starts_at_the_end(database_url: str) -> None:
    """For who wants news only."""
    async with api(database_url) as made:
        client = await made.client("read")
        await made.say(said(0))
        events, cursor = await drain(client, "latest")
        assert events == []
        await made.say(said(1))
        assert texts((await drain(client, cursor))[0]) == ["1"]


async def test_a_wait_ends_when_something_comes(database_url: str) -> None:
    """The answer is held until there is news."""
    async with api(database_url) as made:
        client = await made.client("read")
        waiting = asyncio.create_task(client.get("/v1/events", after="latest", wait=10))
        await asyncio.sleep(0.2)
        await made.say(said(0))
        async with asyncio.timeout(3):
            assert texts((await waiting).json["items"]) == ["0"]


async def end_of(made: Api, client: Client) -> None:
    """Revoke the token of *client*."""
    token = read_id("tok", "tok_" + (client.token or "").split("_")[2])
    assert token is not None
    assert await apitokens.revoke(made.core.db, token)


async def test_a_wait_tells_nothing_to_a_token_that_has_ended(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after its end is not for it, though it asked before."""
    monkeypatch.setattr(apitokens, "_CACHED_S", 0.0)
    async with api(database_url) as made:
        client = await made.client("read")
        waiting = asyncio.create_task(client.get("/v1/events", after="latest", wait=25))
        await asyncio.sleep(0.5)
        await end_of(made, client)
        await made.say(said(0))
        answer = await waiting
        assert (answer.status, answer.json.get("items", [])) in ((200, []), (401, []))
        assert (await client.get("/v1/events")).status == 401


async def test_an_old_cursor_is_gone_and_names_the_oldest(database_url: str) -> None:
    """410 with the cursor to go on from."""
    async with api(database_url) as made:
        client = await made.client("read")
        await made.say(said(0))
        old = show_cursor(FeedCursor(3, 0, now() - timedelta(days=31)))
        answer = await client.get("/v1/events", after=old)
        assert answer.status == 410
        assert texts((await drain(client, answer.json["oldest"]))[0]) == ["0"]


async def test_a_cursor_is_no_better_than_what_is_kept(database_url: str) -> None:
    """Where bodies are kept for a week, so is the feed: what is gone is not passed over in silence."""
    async with api(database_url) as made:
        kept = msgspec.structs.replace(made.core.settings.hub, retention_days=7)
        made.core.settings = made.core.settings._replace(hub=kept)
        client = await made.client("read")
        for days, status in ((6, 200), (8, 410)):
            cursor = show_cursor(FeedCursor(3, 0, now() - timedelta(days=days)))
            assert (await client.get("/v1/events", after=cursor)).status == status


async def test_the_oldest_is_before_all_that_began_together(database_url: str) -> None:
    """The first transactions of a hub run at the same moment: the one whose ids are younger may be
    the earlier one in the feed."""
    async with api(database_url) as made:
        client = await made.client("read")
        for xid, count in (("5", 1500), ("4", 1)):  # that one waited for a lock
            body = msgspec.json.encode(
                {"type": "account.state", "timestamp": now(), "data": {"n": xid}}
            )
            await made.core.db.fetch(
                "INSERT INTO events (id, type, body, created_at, xid) "
                "SELECT id, 'account.state', $2, now(), $3::text::xid8 FROM unnest($1::uuid[]) AS id",
                [new_id() for _ in range(count)],
                body,
                xid,
            )
        events, _ = await drain(client, limit=500)
        assert [one["data"]["n"] for one in events] == ["4", *["5"] * 1500]


async def aged(made: Api, days: float) -> None:
    """Everything that has been told becomes so much older, and what is too old is removed."""
    db, shift = made.core.db, timedelta(days=days)
    for row in await db.fetch("SELECT id FROM events ORDER BY xid, position"):
        older = UUID(int=row["id"].int - (int(shift.total_seconds() * 1000) << 80))
        await db.fetch("DELETE FROM deliveries WHERE event_id = $1", row["id"])
        await db.fetch(
            "UPDATE events SET id = $2, created_at = created_at - $3::interval WHERE id = $1",
            row["id"],
            older,
            shift,
        )
    await retire(db, made.core.settings.hub.retention_days)


async def test_a_cursor_is_as_old_as_what_it_leads_to(database_url: str) -> None:
    """Whoever stops in the middle of a backlog has as long as that is kept, not 30 days from then."""
    async with api(database_url) as made:
        client = await made.client("read")
        await made.say(*map(said, range(4)))
        await aged(made, 29)
        middle = (await client.get("/v1/events", limit=3)).json
        assert (len(middle["items"]), middle["more"]) == (3, True)
        end = (await drain(client, middle["next"]))[1]
        made.core.clock = lambda: now() + timedelta(days=2)
        for after, status in ((middle["next"], 410), (end, 200)):
            assert (await client.get("/v1/events", after=after)).status == status


async def test_there_is_time_to_go_on_from_the_oldest(database_url: str) -> None:
    """What it leads to is not removed while it is read, and the cursors on the way are good."""
    async with api(database_url) as made:
        client = await made.client("read")
        await made.say(said(0))
        await aged(made, 30)
        await made.say(said(1), said(2))
        assert texts((await drain(client, limit=1))[0]) == ["1", "2"]


@pytest.mark.parametrize("after", ["x", "WyJyIiwxXQ", "💣", show_cursor(FeedCursor(-1, 0, now()))])
async def test_a_forged_cursor_is_refused(database_url: str, after: str) -> None:
    """422, never an error of the database."""
    async with api(database_url) as made:
        client = await made.client("admin")
        for path in ("/v1/events", "/v1/conversations", "/v1/deliveries"):
            assert (await client.get(path, after=after)).status == 422


async def next_frame(response: aiohttp.ClientResponse) -> dict[str, str]:
    """The next event of a stream."""
    async with asyncio.timeout(30):
        frame: dict[str, str] = {}
        while True:
            line = (await response.content.readline()).decode().rstrip("\n")
            if not line and "data" in frame:
                return frame
            name, _, value = line.partition(": ")
            frame |= {name: value} if name and line else {}


async def test_a_stream_follows_and_goes_on_after_a_break(database_url: str) -> None:
    """Last-Event-ID continues exactly after the last event that was seen."""
    async with api(database_url) as made:
        client = await made.client("read")
        bearer = {"Authorization": f"Bearer {client.token}"}
        url = f"{made.base}/v1/events/stream?types=message.received"
        async with made.http.get(url, headers=bearer) as stream:
            assert stream.content_type == "text/event-stream"
            await made.say(said(0))
            frame = await next_frame(stream)
            assert frame["event"] == "message.received"
            assert texts([json.loads(frame["data"])]) == ["0"]
        await made.say(said(1), said(2))
        headers = bearer | {"Last-Event-ID": frame["id"]}
        async with made.http.get(url, headers=headers) as stream:
            seen = [json.loads((await next_frame(stream))["data"]) for _ in range(2)]
            assert sorted(texts(seen)) == ["1", "2"]


async def next_place(response: aiohttp.ClientResponse) -> str:
    """The next cursor of a stream that comes without an event."""
    async with asyncio.timeout(30):
        while not (await response.content.readline()).startswith(b": still here"):
            pass
        return (await response.content.readline()).decode().removeprefix("id: ").rstrip("\n")


async def test_a_stream_that_breaks_before_its_first_event_misses_nothing(
    database_url: str,
) -> None:
    """It says from the beginning where it stands."""
    async with api(database_url) as made:
        client = await made.client("read")
        bearer = {"Authorization": f"Bearer {client.token}"}
        url = f"{made.base}/v1/events/stream?types=message.received"
        await made.say(said(0))
        async with made.http.get(url, headers=bearer) as stream:
            place = await next_place(stream)
        await made.say(said(1))
        async with made.http.get(url, headers=bearer | {"Last-Event-ID": place}) as stream:
            assert texts([json.loads((await next_frame(stream))["data"])]) == ["1"]


async def test_a_stream_goes_on_where_it_stands_and_not_where_it_last_spoke(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While all that happens is for others it still says that it is there, and its place gets no older."""
    monkeypatch.setattr(feed, "BEAT_S", 1.0)
    async with api(database_url) as made:
        client = await made.client("read")
        bearer = {"Authorization": f"Bearer {client.token}"}
        url = f"{made.base}/v1/events/stream?types=message.received"

        async def others() -> None:
            for number in itertools.count():
                await made.core.db.fetch(
                    "INSERT INTO events (id, type, body, created_at) "
                    "VALUES ($1, 'account.state', $2, now())",
                    new_id(),
                    b'{"type":"account.state","data":{"n":%d}}' % number,
                )
                await asyncio.sleep(0.1)

        async with made.http.get(url, headers=bearer) as stream, corekit.background(others()):
            place = await next_place(stream)
            made.core.clock = lambda: now() + timedelta(days=31)
            await next_place(stream)
            later = await next_place(stream)
        for after, status in ((place, 410), (later, 200)):
            assert (await client.get("/v1/events", after=after)).status == status


async def test_whoever_has_a_cursor_is_not_looked_up_the_oldest(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads a thousand rows, and is for whoever begins or comes too late."""
    async with api(database_url) as made:
        client = await made.client("read")
        await made.say(said(0))
        _, cursor = await drain(client)
        monkeypatch.delattr(rows, "feed_oldest")
        assert (await client.get("/v1/events", after=cursor)).json["items"] == []


async def test_a_stream_ends_when_the_server_stops(database_url: str) -> None:
    """Nobody waits for a stream that never ends."""
    async with api(database_url) as made:
        client = await made.client("read")
        bearer = {"Authorization": f"Bearer {client.token}"}
        async with made.http.get(f"{made.base}/v1/events/stream", headers=bearer) as stream:
            await stream.content.readline()
            async with asyncio.timeout(5):
                await made.listening.stop()
                while not stream.content.at_eof():
                    await stream.content.readline()


async def test_a_stream_ends_with_its_token(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says nothing of what comes after that."""
    monkeypatch.setattr(apitokens, "_CACHED_S", 0.0)
    async with api(database_url) as made:
        client = await made.client("read")
        bearer = {"Authorization": f"Bearer {client.token}"}
        async with made.http.get(f"{made.base}/v1/events/stream", headers=bearer) as stream:
            await next_place(stream)  # it has looked, and waits
            await end_of(made, client)
            await made.say(said(0))
            async with asyncio.timeout(30):
                assert b"message.received" not in await stream.content.read()


async def dead(made: Api, client: Client) -> list[Any]:
    """The dead letters, after everything has died."""
    await made.core.db.fetch(
        "UPDATE deliveries SET state = 2, error = 'answered 500' WHERE state = 0"
    )
    return list((await client.get("/v1/deliveries", state="dead")).json["items"])


async def test_a_dead_letter_is_replayed_under_the_same_id(database_url: str) -> None:
    """At the end of its lane; a second time is a conflict."""
    async with api(database_url) as made:
        client = await made.client("admin")
        await made.say(said(0))
        letters = await dead(made, client)
        assert [one["error"] for one in letters] == ["answered 500"] * 2
        path = f"/v1/deliveries/{letters[0]['id']}/replay"
        assert (await client.post(path)).json["replayed"] == 1
        assert (await client.post(path)).status == 409
        waiting = (await client.get("/v1/deliveries", state="waiting")).json["items"]
        assert [one["webhook_id"] for one in waiting] == [letters[0]["webhook_id"]]
        assert waiting[0]["replayed"]
        assert waiting[0]["order"]["n"] == 3


async def test_dead_letters_are_replayed_by_filter(database_url: str) -> None:
    """All that fit; an empty filter is refused."""
    async with api(database_url) as made:
        client = await made.client("admin")
        await made.say(*map(said, range(4)))
        letters = await dead(made, client)
        assert (await client.post("/v1/deliveries/replay", {})).status == 422
        assert (await client.post("/v1/deliveries/replay", {"destination": "x"})).json[
            "replayed"
        ] == 0
        answer = await client.post(
            "/v1/deliveries/replay", {"type": "message.received", "limit": 3}
        )
        assert answer.json == {"replayed": 3, "more": True}
        rest = (await client.get("/v1/deliveries", state="dead")).json["items"]
        assert len(rest) == len(letters) - 3


async def test_a_destination_that_was_switched_off_is_restored(database_url: str) -> None:
    """By a person's word; only by who serves its queues."""
    async with api(database_url) as made:
        client = await made.client("admin")
        path = "/v1/destinations/desk/restore"
        assert not (await client.post(path)).json["restored"]
        await made.core.db.fetch("UPDATE destinations SET state = 'disabled'")
        assert (await client.post(path)).json["restored"]
        assert (await client.get("/v1/status")).json["destinations"][0]["breaker"] == "closed"
        assert (await client.post("/v1/destinations/nowhere/restore")).status == 404
    narrow = corekit.settings_for("http://127.0.0.1:9/hook", queues=("inbox", "sales"))
    plan = narrow.destinations["desk"]._replace(queues=("inbox",))
    async with api(database_url, narrow._replace(destinations={"desk": plan})) as made:
        foreign = await made.client("admin", queues=("sales",))
        assert (await foreign.post(path)).status == 404

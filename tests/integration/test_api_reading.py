"""Reading by the API: conversations, messages, traces, what is configured."""

from typing import Any

import jsonschema
import pytest

from hub.store.housekeeping import retire
from hub.web.openapi import openapi
from tests.apikit import Api, Client, api

HELLO = {"id": "m1", "from": "ann", "text": "hello", "name": "Ann"}


async def only(client: Client, path: str) -> dict[str, Any]:
    """The one item of a list."""
    answer = await client.get(path)
    assert answer.status == 200, answer.text
    (item,) = answer.json["items"]
    return dict(item)


def fits(made: Api, value: Any, name: str) -> None:
    """Raises when *value* is not what the OpenAPI document says of *name*."""
    document = openapi(made.web.routes)
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.validate(value, schema)


async def test_a_conversation_and_its_message_are_read(database_url: str) -> None:
    """What was filed is what the API shows, in the documented shape."""
    async with api(database_url) as made:
        await made.say(HELLO)
        client = await made.client("read")
        conversation = await only(client, "/v1/conversations")
        assert (conversation["state"], conversation["queue"]) == ("open", "inbox")
        assert conversation["contact"]["name"] == "Ann"
        assert conversation["reply"] == {"until": None, "remaining": None, "modes": ["free"]}
        fits(made, conversation, "Conversation")
        message = await only(client, f"/v1/conversations/{conversation['id']}/messages")
        assert (message["text"], message["seq"]) == ("hello", 1)
        fits(made, message, "Message")
        one = await client.get(f"/v1/messages/{message['id']}")
        assert one.json == message
        assert (await client.get(f"/v1/conversations/{conversation['id']}")).json == conversation


async def test_lists_go_on_by_cursor(database_url: str) -> None:
    """Pages together are the whole list, without repeats."""
    async with api(database_url) as made:
        await made.say(*({"id": f"m{i}", "from": f"c{i}", "text": "x"} for i in range(7)))
        client = await made.client("read")
        seen, after = [], None
        while True:
            query = {"limit": 3} | ({"after": after} if after else {})
            page = (await client.get("/v1/conversations", **query)).json
            seen += [one["id"] for one in page["items"]]
            if (after := page["next"]) is None:
                break
        assert len(seen) == len(set(seen)) == 7


@pytest.mark.parametrize(
    "order, expected", [("newest", [5, 4, 3, 2, 1]), ("oldest", [1, 2, 3, 4, 5])]
)
async def test_messages_come_in_either_order(
    database_url: str, order: str, expected: list[int]
) -> None:
    """By number, page after page."""
    async with api(database_url) as made:
        for i in range(5):
            await made.say({"id": f"m{i}", "from": "ann", "text": str(i)})
        client = await made.client("read")
        conversation = await only(client, "/v1/conversations")
        seen, after = [], None
        while True:
            query = {"limit": 2, "order": order} | ({"after": after} if after else {})
            path = f"/v1/conversations/{conversation['id']}/messages"
            page = (await client.get(path, **query)).json
            seen += [one["seq"] for one in page["items"]]
            if (after := page["next"]) is None:
                break
        assert seen == expected


async def test_conversations_are_filtered(database_url: str) -> None:
    """By state, queue, account and tag."""
    async with api(database_url) as made:
        await made.say(HELLO, {"id": "m2", "from": "bob", "text": "hi"})
        client = await made.client()
        first = (await client.get("/v1/conversations")).json["items"][0]
        change = {"state": "pending", "queue": "sales", "tags": ["vip", "vip"]}
        path = f"/v1/conversations/{first['id']}"
        changed = (await client.call("PATCH", path, change)).json
        assert changed["tags"] == ["vip"]
        for name, value in (("state", "pending"), ("queue", "sales"), ("tag", "vip")):
            found = (await client.get("/v1/conversations", **{name: value})).json["items"]
            assert [one["id"] for one in found] == [first["id"]]
        assert (await client.get("/v1/conversations", account="other")).json["items"] == []


async def test_a_change_is_told_once(database_url: str) -> None:
    """PATCH publishes in its transaction; one that changes nothing tells nothing."""
    async with api(database_url) as made:
        await made.say(HELLO)
        client = await made.client()
        conversation = await only(client, "/v1/conversations")
        path = f"/v1/conversations/{conversation['id']}"
        for _ in range(2):
            answer = await client.call("PATCH", path, {"state": "resolved"})
            assert answer.json["state"] == "resolved"
        events = (await client.get("/v1/events", types="conversation.updated")).json["items"]
        assert [one["data"]["conversation"]["state"] for one in events] == ["resolved"]


async def test_an_unknown_queue_is_refused(database_url: str) -> None:
    """A conversation cannot be moved where nobody works."""
    async with api(database_url) as made:
        await made.say(HELLO)
        client = await made.client()
        conversation = await only(client, "/v1/conversations")
        path = f"/v1/conversations/{conversation['id']}"
        answer = await client.call("PATCH", path, {"queue": "nowhere"})
        assert answer.status == 422
        assert answer.json["errors"][0]["pointer"] == "/queue"


async def test_a_trace_tells_the_whole_way(database_url: str) -> None:
    """From the raw event to the deliveries."""
    async with api(database_url) as made:
        await made.say(HELLO)
        client = await made.client("read")
        conversation = await only(client, "/v1/conversations")
        message = await only(client, f"/v1/conversations/{conversation['id']}/messages")
        answer = await client.get(f"/v1/messages/{message['id']}/trace")
        kinds = {entry["kind"] for entry in answer.json["entries"]}
        assert {"received", "filed", "event", "delivery"} <= kinds
        fits(made, answer.json, "Trace")


async def test_status_accounts_and_channels_are_told(database_url: str) -> None:
    """What is configured and how it is doing, in the documented shapes."""
    async with api(database_url) as made:
        await made.say(HELLO)
        client = await made.client("read")
        status = (await client.get("/v1/status")).json
        fits(made, status, "StatusReport")
        assert status["accounts"][0]["last_message_at"] is not None
        assert status["destinations"][0]["waiting"] == 2
        fits(made, (await client.get("/v1/accounts")).json, "AccountList")
        fits(made, (await client.get("/v1/channels")).json, "ChannelList")


async def test_ready_makes_a_commit(database_url: str) -> None:
    """On a database that may lose what it confirms it is red, and says why."""
    async with api(database_url) as made:
        answer = await made.nobody.get("/ready")
        findings = {one["name"]: one for one in answer.json["findings"]}
        assert "commit in" in findings["database"]["detail"]
        assert answer.status == (503 if made.core.db.unsafe else 200)
        made.core.db.unsafe = False
        made.web.health._looked = float("-inf")
        assert (await made.nobody.get("/ready")).status == 200


async def test_metrics_tell_what_the_database_knows(database_url: str) -> None:
    """Gauges come from the database, counters from this process."""
    async with api(database_url) as made:
        await made.say(HELLO)
        client = await made.client("read")
        text = (await client.get("/metrics")).text
        assert 'hub_deliveries_waiting{destination="desk"} 2.0' in text
        assert "hub_event_loop_lag_seconds" in text
        assert "process_resident_memory_bytes" in text


async def test_replies_that_wait_for_a_word_are_listed(database_url: str) -> None:
    """By state, the newest first, page by page, and only of the queues that the token may see."""
    async with api(database_url) as made:
        await made.say(HELLO)
        client = await made.client()
        conversation = (await only(client, "/v1/conversations"))["id"]
        path = f"/v1/conversations/{conversation}/messages"
        sent = [(await client.call("POST", path, {"text": str(n)})).json["id"] for n in range(3)]
        await made.core.db.fetch("UPDATE messages SET status = 'unknown' WHERE seq > 1")
        first = (await client.get("/v1/messages", status="unknown", limit=2)).json
        assert [one["id"] for one in first["items"]] == sent[:0:-1]
        last = (await client.get("/v1/messages", status="unknown", after=first["next"])).json
        assert ([one["id"] for one in last["items"]], last["next"]) == (sent[:1], None)
        assert (await client.get("/v1/messages", status="held")).json["items"] == []
        foreign = await made.client("read", queues=("sales",))
        assert (await foreign.get("/v1/messages", status="unknown")).json["items"] == []
        assert (await client.get("/v1/messages")).status == 422
        assert (await client.get("/v1/messages", status="unknown", after="x")).status == 422


async def test_what_is_too_old_to_be_kept_can_still_be_listed(database_url: str) -> None:
    """Who wrote when stays, what was said goes; a reply that waits is not touched."""
    async with api(database_url) as made:
        await made.say(HELLO)
        client = await made.client("read", "reply")
        conversation = await only(client, "/v1/conversations")
        path = f"/v1/conversations/{conversation['id']}/messages"
        assert (await client.post(path, {"text": "hi"})).status == 202
        await made.core.db.fetch("UPDATE messages SET created_at = now() - interval '1 year'")
        first = await retire(made.core.db, 180)
        assert (first["messages"], (await retire(made.core.db, 180))["messages"]) == (1, 0)
        listed = (await client.get(path)).json["items"]
        assert [one["text"] for one in listed] == ["hi", "[no longer kept]"]
        for one in listed:
            fits(made, one, "Message")


@pytest.mark.parametrize(
    "query, parameter",
    [
        ("/v1/deliveries?since=1700000000", "since"),
        ("/v1/deliveries?since=2026-01-02T03:04:05", "since"),
        ("/v1/conversations?state=null", "state"),
        ("/v1/conversations?limit=5.0", "limit"),
        ("/v1/conversations?limit=%2B5", "limit"),
        ("/v1/conversations?limit=5&limit=6", "limit"),
        ("/v1/conversations?limit=" + "9" * 5000, "limit"),
        ("/v1/conversations?Limit=5", "Limit"),
        ("/v1/conversations?contact=ann", "contact"),
        ("/v1/messages?status=failed&after=%00", "after"),
    ],
)
async def test_a_wrong_parameter_is_named(database_url: str, query: str, parameter: str) -> None:
    """A number is no time, null is no state, and nothing is guessed."""
    async with api(database_url) as made:
        answer = await (await made.client()).get(query)
        assert (answer.status, answer.json["errors"][0]["parameter"]) == (422, parameter)


async def test_a_queue_may_be_called_null(database_url: str) -> None:
    """A word in a query is that word: the filter is not off."""
    async with api(database_url) as made:
        await made.say(HELLO)
        answer = await (await made.client()).get("/v1/conversations?queue=null")
        assert answer.json["items"] == []

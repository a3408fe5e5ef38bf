"""Whoever holds a token may still be hostile: nothing they send is a 5xx, and nothing of others is seen."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.ids import new_id, show_id
from hub.web.cursors import FeedCursor, Place, Recent, show_cursor
from tests.apikit import Api, Client, api
from tests.corekit import START
from tests.webkit import raw


@pytest.fixture
async def made(database_url: str) -> AsyncIterator[Api]:
    async with api(database_url) as served:
        await served.say({"id": "m1", "from": "ann", "text": "hello"})
        yield served


def cursor(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


CURSORS = [
    cursor(["p", "-1"]),
    cursor(["p", "9" * 40]),
    cursor(["p", "١٢"]),
    cursor(["p", "\0"]),
    cursor(["p", "0" * 32]),
    cursor(["p", show_id("dlv", new_id())]),
    cursor(["p", 5]),
    cursor(["p"]),
    cursor(["p", "1", "2"]),
    cursor(["r", "9999-12-31T23:59:59.999999Z", "f" * 32]),
    cursor(["r", "0001-01-01T00:00:00Z", "0" * 32]),
    cursor(["r", "0001-01-01T00:00:00+23:59", "0" * 32]),
    cursor(["r", "2026-01-01T00:00:00", "0" * 32]),
    cursor(["r", START.isoformat(), "{" + "0" * 32 + "}"]),
    cursor(["r", START.isoformat(), "urn:uuid:" + "0" * 32]),
    cursor(["f", 1 << 64, 0, START.isoformat()]),
    cursor(["f", -1, -1, START.isoformat()]),
    cursor(["f", 0, 1 << 70, START.isoformat()]),
    cursor(["f", 1.5, 0, START.isoformat()]),
    cursor(["f", (1 << 63) - 1, (1 << 63) - 1, "9999-12-31T23:59:59Z"]),
    cursor(["f", 0, 0, "0001-01-01T00:00:00Z"]),
    cursor(["f", 0, 0, "2026-01-01T00:00:00"]),
    cursor(["f", 0, 0, "0001-01-01T00:00:00+23:59"]),
    cursor([[[[[[]]]]]]),
    cursor({}),
    show_cursor(Place("x")),
    show_cursor(Recent(START, "x")),
    show_cursor(FeedCursor(0, 0, START)),
    "A",
    "====",
    "%00",
    "\0",
    "é",
    "\ud83d\ude00",
    "-" * 200,
    "9" * 201,
]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/conversations",
        "/v1/conversations/{id}/messages",
        "/v1/conversations/{id}/messages?order=oldest",
        "/v1/messages?status=queued",
        "/v1/deliveries",
        "/v1/events",
    ],
)
async def test_forged_cursors(made: Api, path: str) -> None:
    """A list takes its own cursors and refuses all others; none is too large for the database."""
    client = await made.client(rate=0)
    own = (await client.get("/v1/conversations")).json["items"][0]["id"]
    for one in CURSORS:
        text = one.encode("utf-8", "replace").decode()
        answer = await client.get(path.replace("{id}", own), after=text)
        assert answer.status in (200, 410, 422), (one, answer.text)


IDS = [
    "",
    "cnv_",
    "cnv_" + "z" * 26,
    "cnv_" + "0" * 26,
    "%00",
    "..%2f..%2fetc",
    "cnv_%2e",
    "*",
    "'--",
    "é" * 9,
]


@pytest.mark.parametrize("kind", ["conversations", "messages", "contacts", "attachments"])
async def test_forged_ids(made: Api, kind: str) -> None:
    """They lead nowhere."""
    client = await made.client(rate=0)
    for one in IDS:
        if one:
            assert (await client.get(f"/v1/{kind}/{one}")).status == 404


DEEP = b'{"text":"x","template":{"id":"x","params":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}}"
BODIES: list[tuple[bytes, int]] = [
    (DEEP, 400),
    (b"[" * 100_000, 400),
    (b'{"text":"a","text":"b"}', 400),
    (b'{"text":"a","menu":{"title":"x","title":"y","choices":[]}}', 400),
    (b'{"text":"a"}{"text":"b"}', 400),
    (b'{"text":NaN}', 400),
    (b'{"text":1e999}', 400),
    (b'{"text":"\\ud800"}', 400),
    (b'{"text":"\xff"}', 400),
    (b"\xef\xbb\xbf" + b'{"text":"a"}', 400),
    (b"\xff\xfe{\x00}\x00", 400),
    (b"", 400),
    (b"null", 422),
    (b'"text"', 422),
    (b"[]", 422),
    (b'{"text":5}', 422),
    (b'{"__proto__":{"text":"a"},"text":"a"}', 422),
    (b'{"text":"a","location":{"latitude":1e308,"longitude":-1e308}}', 202),
    (b'{"text":"a","in_reply_to":"msg_' + b"9" * 100_000 + b'"}', 422),
    (b'{"text":"' + b"\\u0000" * 1000 + b'"}', 202),
    ('{"text":"\u202e\ufeff\u0000"}'.replace("\0", "\\u0000").encode(), 202),
    (b'{"text":"' + b"x" * ((1 << 20) - 20) + b'"}', 202),
    (b'{"text":"' + b"x" * (1 << 20) + b'"}', 413),
    (b'{"text":"a","via":{"account":"\\u0000"}}', 422),
    (
        b'{"text":"a","via":{"address":{"scheme":"' + b"s" * 9999 + b'","scope":"","value":"x"}}}',
        422,
    ),
]


@pytest.mark.parametrize("number", range(len(BODIES)))
async def test_forged_bodies(made: Api, number: int) -> None:
    """JSON that is none, twice, too deep, too large or of the wrong kind: told, never a 5xx."""
    body, status = BODIES[number]
    client = await made.client(rate=0)
    own = (await client.get("/v1/conversations")).json["items"][0]["id"]
    answer = await client.call("POST", f"/v1/conversations/{own}/messages", body)
    assert answer.status == status, answer.text[:300]


async def test_headers_cannot_be_injected(made: Api) -> None:
    """What a caller sends comes back in no header, and no line of it ends one."""
    client = await made.client(rate=0)
    token = (client.token or "").encode()
    for line in (
        b"Idempotency-Key: a\rX-Evil: 1",
        b"Idempotency-Key: \xff\xfe",
        b"Last-Event-ID: \x01",
        b"If-None-Match: \x00",
        b"traceparent: 00-\xff",
        b"Content-Type: application/json; charset=utf-7",
    ):
        request = (
            b"POST /v1/conversations/cnv_x/messages HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            b"Authorization: Bearer %s\r\nContent-Length: 2\r\n%s\r\n\r\n{}" % (token, line)
        )
        answer = await raw(made.listening.port, request)
        assert answer.split()[1].startswith(b"4"), line
        assert b"X-Evil" not in answer
    path = "/v1/nothing/%0d%0aSet-Cookie:%20a=b"
    answer = await raw(
        made.listening.port, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )
    assert b"\r\nSet-Cookie" not in answer


async def test_a_name_is_data_wherever_it_goes(made: Api) -> None:
    """Names of queues, accounts and tags that mean something to SQL, paths or a browser."""
    client = await made.client(rate=0)
    own = (await client.get("/v1/conversations")).json["items"][0]["id"]
    for name in (
        "'; DROP TABLE messages;--",
        "%",
        "_",
        "../../x",
        "<script>",
        "\u0000",
        "a" * 2000,
    ):
        for parameter in ("queue", "account", "tag"):
            answer = await client.get("/v1/conversations", **{parameter: name})
            assert (answer.status, answer.json["items"]) == (200, [])
        for path in (f"/v1/queues/{name}/pause", f"/v1/destinations/{name}/test"):
            assert (await client.post(path.replace("\0", "%00"))).status in (404, 414, 400)
        tagged = await client.call("PATCH", f"/v1/conversations/{own}", {"tags": [name]})
        assert tagged.status in (200, 422)


async def test_what_is_anothers_cannot_be_named(made: Api) -> None:
    """Ids of another queue in a body are as good as ids that never were."""
    admin, foreign = await made.client(rate=0), await made.client(queues=("sales",), rate=0)
    conversation = (await admin.get("/v1/conversations")).json["items"][0]
    own, contact = conversation["id"], conversation["contact"]["id"]
    message = (await admin.get(f"/v1/conversations/{own}/messages")).json["items"][0]["id"]
    file = await admin.call("POST", "/v1/attachments", b"x", {"Content-Type": "text/plain"})
    await made.core.db.fetch("UPDATE deliveries SET state = 2")
    dead = (await admin.get("/v1/deliveries")).json["items"][0]["id"]
    mine = await made.core.db.fetch("SELECT id FROM contacts")
    assert len(mine) == 1
    await made.say({"id": "s", "from": "sam", "text": "hi"})
    theirs = next(
        one
        for one in (await admin.get("/v1/conversations")).json["items"]
        if one["address"]["value"] == "sam"
    )
    await admin.call("PATCH", f"/v1/conversations/{theirs['id']}", {"queue": "sales"})
    place = f"/v1/conversations/{theirs['id']}/messages"
    assert (await foreign.post(place, {"text": "x", "in_reply_to": message})).status == 422
    borrowed = {"text": "x", "attachments": [{"id": file.json["id"]}]}
    assert (await foreign.post(place, borrowed)).status == 422
    asked = {"other": contact, "evidence": "x"}
    merge = await foreign.post(f"/v1/contacts/{theirs['contact']['id']}/merge", asked)
    assert merge.status == 404
    replay = await foreign.post("/v1/deliveries/replay", {"ids": [dead]})
    assert replay.json["replayed"] == 0
    assert (await foreign.get("/v1/conversations", contact=contact)).json["items"] == []
    assert (await foreign.get("/v1/conversations", queue="inbox")).json["items"] == []


async def test_many_at_once_with_one_key(made: Api) -> None:
    """Fifty twins: one reply, and every answer is that one or asks to come again."""
    client: Client = await made.client(rate=0)
    own = (await client.get("/v1/conversations")).json["items"][0]["id"]
    path = f"/v1/conversations/{own}/messages"
    answers = await asyncio.gather(
        *(client.post(path, {"text": "x"}, Idempotency_Key="k") for _ in range(50))
    )
    assert {one.status for one in answers} <= {202, 409}
    assert len({one.json["id"] for one in answers if one.status == 202}) == 1
    rows = await made.core.db.fetch("SELECT FROM messages WHERE direction = 'outbound'")
    assert len(rows) == 1


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
async def test_times_out_of_range(made: Api, time: str) -> None:
    """Real offsets, but no moment that can be kept: told, in a query and in a body."""
    client = await made.client(rate=0)
    for name in ("since", "until"):
        answer = await client.get("/v1/deliveries", **{name: time})
        assert (answer.status, answer.json["errors"][0]["parameter"]) == (422, name)
        assert (await client.post("/v1/deliveries/replay", {name: time})).status == 422

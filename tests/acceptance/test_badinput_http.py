"""Hostile bytes over a real socket, at ``/in`` and at ``/v1``: refused fast, and never a 5xx."""

import asyncio
import base64
import json
import re
import time
from typing import Any

import pytest

from tests.apikit import Api, Client, api
from tests.support import shared_material as shared
from tests.webkit import Stage, running, stage

FOLDER = "corpora/badinput"
CORPUS = shared.SHARED / FOLDER
needs_corpus = shared.needs(FOLDER)
NOTHING_NEEDED = ("/restore", "/test", "/typing")
"""Ends of paths that an empty object is a body for."""
SECONDS = 2.0
HEAD = b"POST /in/echo/shop HTTP/1.1\r\nHost: a\r\n"

# One request that some servers read as two, or as another one than their proxy does.
SMUGGLED = {
    "length and chunked": HEAD
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"0\r\n\r\nGET /live HTTP/1.1\r\nHost: a\r\n\r\n",
    "chunked twice": HEAD
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "vertical tab": HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "length with plus": HEAD + b"Content-Length: +5\r\n\r\nhello",
    "length with underscore": HEAD + b"Content-Length: 1_0\r\n\r\nhellohello",
    "two lengths in one": HEAD + b"Content-Length: 5, 6\r\n\r\nhello!",
    "chunk size with sign": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    "chunk size with 0x": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size overflow": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nx\r\n0\r\n\r\n",
    "chunk without its end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
    "bare line feeds": b"POST /in/echo/shop HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello",
    "many headers": HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(200)) + b"\r\n",
    "long header": HEAD + b"X: " + b"a" * 9000 + b"\r\n\r\n",
    "no colon": HEAD + b"Nothing\r\n\r\n",
    "odd method": b"G\x01T /in/echo/shop HTTP/1.1\r\nHost: a\r\n\r\n",
    "odd version": b"GET /in/echo/shop HTTP/9.9\r\nHost: a\r\n\r\n",
    "absolute form": b"GET http://other/in/echo/shop HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "connect": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "latin path": b"GET /in/echo/sh\xff\xfep HTTP/1.1\r\nHost: a\r\n\r\n",
    "gzip bomb": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
    "upgrade": HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
}


def raw_cases() -> list[Any]:
    """The corpus's requests, led to an account that exists, and our own."""
    cases = [pytest.param(data, id=name) for name, data in SMUGGLED.items()]
    index = CORPUS / "authored" / "http_raw.share.json"
    if index.exists():
        for case in json.loads(index.read_text(encoding="utf-8")):
            data = base64.b64decode(case["b64"]).replace(b"/in/x", b"/in/echo/shop")
            cases.append(pytest.param(data, id=case["case"]))
    return cases


async def send(port: int, data: bytes) -> bytes:
    """What comes back for *data*: until the server closes, or is silent for a while.

    An unfinished head is waited for, which is no hang; so is a body that is still to come.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(data)
        while part := await asyncio.wait_for(reader.read(65536), 0.2 if answer else SECONDS / 2):
            answer += part
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(one) for one in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


@pytest.mark.parametrize("data", raw_cases())
async def test_odd_http_is_one_request_at_most(
    data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused or closed, or taken once; no 5xx, no traceback, and the next one is served."""
    shop = running("shop")
    async with stage(shop) as made:
        found = statuses(await send(made.port, data))
        assert len(found) <= 1
        assert not any(status >= 500 for status in found)
        assert len(shop.adapter.requests) <= 1
        assert statuses(await send(made.port, HEAD + b"Content-Length: 1\r\n\r\nx"))[0] == 200
    assert "Traceback" not in "".join(capsys.readouterr())


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Two whole requests on one connection are two; the second is not lost."""
    shop = running("shop")
    async with stage(shop) as made:
        one = HEAD + b"Content-Length: 1\r\n\r\n"
        assert statuses(await send(made.port, one + b"a" + one + b"b")) == [200, 200]
        assert [each.body for each in shop.adapter.requests] == [b"a", b"b"]


def intake_request(body: bytes, content_type: str) -> bytes:
    head = HEAD + b"Content-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (content_type.encode(), len(body)) + body


async def fast(made: Stage, data: bytes) -> int:
    started = time.monotonic()
    found = statuses(await send(made.port, data))
    assert time.monotonic() - started < SECONDS
    assert len(found) == 1
    return found[0]


@needs_corpus
async def test_any_content_type_is_a_body_like_another() -> None:
    """Intake looks at bytes only."""
    index = CORPUS / "authored" / "content_types.share.json"
    async with stage(running("shop")) as made:
        for case in json.loads(index.read_text(encoding="utf-8")):
            assert (
                await fast(made, intake_request(case["body"].encode(), case["content_type"])) < 500
            )


@needs_corpus
async def test_no_json_breaks_intake() -> None:
    """Every file of the JSON test suite, as a body."""
    async with stage(running("shop")) as made:
        for path in sorted((CORPUS / "jsontestsuite").glob("*.json")):
            if path.name != "index.json":
                data = intake_request(path.read_bytes(), "application/json")
                assert await fast(made, data) < 500, path.name


async def targets(made: Api) -> tuple[Client, list[tuple[str, str]]]:
    """A caller, and every route that reads JSON."""
    client = await made.client()
    await made.say({"id": "m1", "from": "ann", "text": "hello"})
    conversation = (await client.get("/v1/conversations")).json["items"][0]["id"]
    ids = {"conversations": conversation, "messages": "msg_x", "deliveries": "dlv_x"}
    found = []
    for route in made.web.routes:
        if route.body is not None:
            kind = route.path.split("/")[2]
            path = route.path.replace("{id}", ids.get(kind, "x")).replace("{name}", "desk")
            found.append((route.method, path))
    return client, found


@needs_corpus
async def test_no_json_breaks_the_api(database_url: str) -> None:
    """What is no JSON is a 400, other JSON a 422 or 404; nothing is a 5xx, and nothing is said."""
    async with api(database_url) as made:
        client, routes = await targets(made)
        assert routes
        for path in sorted((CORPUS / "jsontestsuite").glob("*.json")):
            if path.name == "index.json":
                continue
            for method, target in routes:
                started = time.monotonic()
                answer = await client.call(method, target, path.read_bytes())
                while answer.status == 429:
                    await asyncio.sleep(0.2)
                    answer = await client.call(method, target, path.read_bytes())
                if path.name == "y_object_empty.json" and answer.status == 200:
                    assert method == "PATCH" or target.endswith(NOTHING_NEEDED)
                    continue
                assert 400 <= answer.status < 500, (path.name, target, answer.text)
                if path.name.startswith("n_"):
                    assert answer.status == 400, (path.name, target, answer.text)
                assert answer.headers["Content-Type"].startswith("application/problem+json")
                assert time.monotonic() - started < SECONDS + 1
        rows = await made.core.db.fetch(
            "SELECT count(*) AS n FROM messages WHERE direction = 'outbound'"
        )
        assert rows[0]["n"] == 0


@needs_corpus
async def test_other_content_types_are_refused_by_the_api(database_url: str) -> None:
    """415, before the body is looked at."""
    async with api(database_url) as made:
        client, routes = await targets(made)
        cases = json.loads((CORPUS / "authored" / "content_types.share.json").read_text("utf-8"))
        for case in cases:
            for method, target in routes:
                headers = {"Content-Type": case["content_type"]}
                answer = await client.call(method, target, case["body"].encode(), headers)
                assert answer.status == 415, case


@needs_corpus
async def test_naughty_strings_are_text_like_other_text(database_url: str) -> None:
    """Each goes in as it is and comes out as it is (but for what cannot be kept), or is refused."""
    strings = json.loads((CORPUS / "blns" / "blns.share.json").read_text("utf-8"))
    chosen = [one if isinstance(one, str) else next(iter(one.values())) for one in strings]
    async with api(database_url) as made:
        client, routes = await targets(made)
        path = next(target for _, target in routes if target.endswith("/messages"))
        for text in chosen[:150]:
            answer = await client.post(path, {"text": text})
            assert answer.status in (202, 422, 429), (text, answer.text)
            if answer.status == 202:
                assert answer.json["text"] == text.replace("\x00", "\ufffd")
            for query in ("state", "account", "after", "tag"):
                found = await client.get("/v1/conversations", **{query: text})
                assert found.status in (200, 422, 429), (query, text, found.text)


async def test_depth_and_size_have_limits(database_url: str) -> None:
    """Deeper than 32 is a 400, more than 1 MiB a 413, a field twice a 400."""
    async with api(database_url) as made:
        client, routes = await targets(made)
        path = next(target for _, target in routes if target.endswith("/messages"))
        deep = b'{"template":{"id":"t","params":' + b'{"a":' * 40 + b"1" + b"}" * 42
        assert (await client.call("POST", path, deep)).status == 400
        large = json.dumps({"text": "x" * (1 << 20)}).encode()
        assert (await client.call("POST", path, large)).status == 413
        assert (await client.call("POST", path, b'{"text":"a","text":"b"}')).status == 400

"""Files by the API: uploaded, sent, fetched by a link that ends."""

import asyncio
import io
from collections.abc import AsyncIterable, AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hub.blobs import FolderBlobs, Kept, Opened, StoreAway
from hub.ids import new_id, show_id
from tests.apikit import Answered, Api, Client, api

PICTURE = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


async def upload(client: Client, content: bytes = PICTURE, name: str = "猫.png") -> Answered:
    """Upload as a form does."""
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", io.BytesIO(content), filename=name, content_type="image/png")
    return await client.call("POST", "/v1/attachments", data=form)


async def linked(client: Client, attachment_id: str) -> str:
    """The short-lived link of a file."""
    answer = await client.get(f"/v1/attachments/{attachment_id}")
    assert answer.status == 302, answer.text
    return str(answer.headers["Location"])


async def conversation(made: Api, client: Client) -> str:
    await made.say({"id": "m1", "from": "ann", "text": "hello"})
    return str((await client.get("/v1/conversations")).json["items"][0]["id"])


async def test_what_is_uploaded_is_fetched_by_a_link(database_url: str) -> None:
    """The stable URL leads to a link that needs no token; the file comes as a download."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        answer = await upload(client)
        assert (answer.status, answer.json["kind"]) == (201, "image")
        assert answer.json["filename"] == "猫.png"
        link = await linked(client, answer.json["id"])
        async with made.http.get(made.base + link) as file:
            assert await file.read() == PICTURE
            assert file.headers["Content-Disposition"].startswith("attachment")
            assert file.headers["X-Content-Type-Options"] == "nosniff"
            assert "sandbox" in file.headers["Content-Security-Policy"]


class Elsewhere(FolderBlobs):
    """A store whose files are not on this machine, and which may be away."""

    away = False

    async def open(self, sha256: str) -> Opened | None:
        found = await super().open(sha256)
        return found._replace(path=None) if found else None

    async def keep_stream(self, pieces: AsyncIterable[bytes], max_bytes: int) -> Kept:
        if self.away:
            raise StoreAway("the bucket: no answer")
        return await super().keep_stream(pieces, max_bytes)


async def test_a_file_that_lies_elsewhere_is_passed_on(database_url: str, tmp_path: Path) -> None:
    """The hub serves it under its own rules, piece by piece."""
    async with api(database_url) as made:
        made.core.media.blobs = Elsewhere(tmp_path)
        client = await made.client("read", "reply")
        link = await linked(client, (await upload(client, PICTURE * 9000)).json["id"])
        async with made.http.get(made.base + link) as file:
            assert await file.read() == PICTURE * 9000
            assert file.headers["Content-Length"] == str(len(PICTURE * 9000))
            assert file.headers["Content-Disposition"].startswith("attachment")


class BreaksOff(Elsewhere):
    """A store that goes away while a file is read."""

    async def open(self, sha256: str) -> Opened | None:
        found = await super().open(sha256)
        return found._replace(pieces=_first(found.pieces)) if found else None


async def _first(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield piece[:1000]
        raise StoreAway("the bucket: no answer")


async def on_one_connection(made: Api, *requests: str) -> bytes:
    """All that comes back for *requests*, of which the last asks for the connection's end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", made.listening.port)
    sent = [f"{one} HTTP/1.1\r\nHost: hub\r\n" for one in requests]
    writer.write("\r\n".join([*sent[:-1], sent[-1] + "Connection: close\r\n\r\n"]).encode())
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


async def test_half_a_file_is_never_taken_for_a_whole_one(
    database_url: str, tmp_path: Path
) -> None:
    """The store goes away in the middle: the connection ends, and no other answer is put into the file."""
    async with api(database_url) as made:
        made.core.media.blobs = BreaksOff(tmp_path)
        client = await made.client("read", "reply")
        link = await linked(client, (await upload(client, PICTURE * 100)).json["id"])
        head, _, body = (await on_one_connection(made, f"GET {link}")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert body == (PICTURE * 100)[:1000]
        async with made.http.get(made.base + link) as file:
            with pytest.raises(aiohttp.ClientPayloadError):
                await file.read()


async def test_the_head_of_a_file_is_no_file(database_url: str, tmp_path: Path) -> None:
    """What follows on the same connection is the next answer."""
    async with api(database_url) as made:
        made.core.media.blobs = Elsewhere(tmp_path)
        client = await made.client("read", "reply")
        link = await linked(client, (await upload(client)).json["id"])
        answers = await on_one_connection(made, f"HEAD {link}", "GET /v1/nothing")
        first, _, second = answers.partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(PICTURE) in first
        assert second.startswith(b"HTTP/1.1 404")


async def test_an_upload_waits_for_a_store_that_is_away(database_url: str, tmp_path: Path) -> None:
    """503, so that the client tries again; nothing is half stored."""
    async with api(database_url) as made:
        made.core.media.blobs = blobs = Elsewhere(tmp_path)
        client = await made.client("read", "reply")
        blobs.away = True
        assert (await upload(client)).status == 503
        blobs.away = False
        assert (await upload(client)).status == 201


async def test_a_bare_body_is_a_file_too(database_url: str) -> None:
    """With its type, and its name in the query."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        answer = await client.call(
            "POST", "/v1/attachments?filename=a.txt", b"plain words", {"Content-Type": "text/plain"}
        )
        assert (answer.status, answer.json["size_bytes"]) == (201, 11)
        assert answer.json["filename"] == "a.txt"


@pytest.mark.parametrize("change", ["signature", "expires", "id"])
async def test_a_changed_link_is_no_good(database_url: str, change: str) -> None:
    """The signature is over the path and the end."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        first = (await upload(client)).json["id"]
        second = (await upload(client, PICTURE + b"2")).json["id"]
        link = await linked(client, first)
        expires = link.partition("expires=")[2].partition("&")[0]
        changed = {
            "signature": link[:-2] + "xx",
            "expires": link.replace(expires, str(int(expires) + 1)),
            "id": link.replace(first, second),
        }[change]
        assert (await made.nobody.call("GET", changed)).status == 403


async def test_a_link_ends(database_url: str) -> None:
    """After five minutes."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        link = await linked(client, (await upload(client)).json["id"])
        assert (await made.nobody.call("GET", link)).status == 200
        clock = made.core.clock
        made.core.clock = lambda: clock() + timedelta(minutes=6)
        assert (await made.nobody.call("GET", link)).status == 403


async def test_a_file_that_is_not_here_says_why(database_url: str) -> None:
    """409 while it is fetched, 410 when it cannot be had."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        own = (await upload(client)).json["id"]
        for state, status in (("pending", 409), ("expired", 410), ("refused", 410)):
            await made.core.db.fetch("UPDATE attachments SET state = $1, error = 'because'", state)
            answer = await client.get(f"/v1/attachments/{own}")
            assert answer.status == status
        assert answer.json["detail"] == "because"


async def test_an_upload_is_for_its_own_token_until_it_is_sent(database_url: str) -> None:
    """Then whoever sees the conversation sees the file."""
    async with api(database_url) as made:
        owner = await made.client("read", "reply", queues=("inbox",))
        other = await made.client("read", "reply", queues=("inbox",))
        own = (await upload(owner)).json["id"]
        assert (await other.get(f"/v1/attachments/{own}")).status == 404
        where = f"/v1/conversations/{await conversation(made, owner)}/messages"
        body: dict[str, Any] = {"text": "look", "attachments": [{"id": own}]}
        assert (await other.post(where, body)).status == 422
        sent = await owner.post(where, body)
        assert sent.json["attachments"][0]["id"] == own
        assert (await other.get(f"/v1/attachments/{own}")).status == 302


async def endless() -> AsyncIterator[bytes]:
    """A body whose length nobody knows."""
    for _ in range(65):
        yield b"x" * (1 << 14)


async def test_too_large_a_file_is_refused(database_url: str) -> None:
    """413, whether the length is told before or not."""
    async with api(database_url) as made:
        client = await made.client("reply")
        assert (await upload(client, b"x" * (1 << 20) + b"x")).status == 413
        answer = await client.call(
            "POST", "/v1/attachments", headers={"Content-Type": "text/plain"}, data=endless()
        )
        assert answer.status == 413


FORM = "multipart/form-data; boundary=b"
FILE = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx'


@pytest.mark.parametrize(
    "content_type, body, status",
    [
        ("multipart/form-data", b"", 400),
        (FORM, b"", 400),
        (FORM, b"--b\r\n", 422),
        ("multipart/form-data; boundary=" + "b" * 100, b"--b\r\n\r\nx", 400),
        (FORM, FILE.replace(b"file", b"other") + b"\r\n--b--", 422),
        (FORM, b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--", 422),
        (FORM, FILE, 400),
        (FORM, FILE + b"\r\n--b", 400),
        (FORM, FILE + b"\r\n" + FILE + b"\r\n--b--", 400),
        (FORM, FILE + b"\r\n--b--", 201),
    ],
)
async def test_a_broken_form_is_refused(
    database_url: str, content_type: str, body: bytes, status: int
) -> None:
    """Never a 5xx."""
    async with api(database_url) as made:
        client = await made.client("reply")
        answer = await client.call("POST", "/v1/attachments", body, {"Content-Type": content_type})
        assert answer.status == status, answer.text


async def test_a_file_that_never_was_is_not_found(database_url: str) -> None:
    """404 for any other id."""
    async with api(database_url) as made:
        client = await made.client("read")
        assert (await client.get(f"/v1/attachments/{show_id('att', new_id())}")).status == 404
        assert (await client.get("/v1/attachments/x%2F..%2Fy")).status == 404

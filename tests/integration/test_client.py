"""The Python client, against the served API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from hub import client as module
from hub.client import ApiError, HubClient
from tests.apikit import Api, api
from tests.corekit import background


@asynccontextmanager
async def talking(database_url: str) -> AsyncIterator[tuple[Api, HubClient]]:
    async with api(database_url) as made:
        token = (await made.client("read", "reply")).token
        async with HubClient(made.base, token) as hub:
            yield made, hub


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.01)


async def test_it_hears_and_answers(database_url: str) -> None:
    """An event of the feed, a reply with a file, and both as they stand then."""
    async with talking(database_url) as (made, hub):
        await made.say({"id": "m1", "from": "ann", "text": "hello"})
        async for seen in hub.events(after="oldest", types="message.received"):
            message = seen.event.data["message"]
            break
        place = message["conversation"]["id"]
        file = await hub.upload(b"\x89PNG\r\n\x1a\n...", filename="a.png", mime_type="image/png")
        said = await hub.reply(place, "hi Ann", attachments=(file.id,))
        assert (said.status, said.attachments[0].id) == ("queued", file.id)
        assert [one.text async for one in hub.messages(place)] == [said.text, "hello"]
        assert (await hub.message(said.id)).seq == 2
        assert (await hub.change(place, state="resolved")).state == "resolved"
        assert [one.id async for one in hub.conversations(state="resolved")] == [place]


async def heard(hub: HubClient, after: str, count: int) -> tuple[list[str], str]:
    """The texts of the next *count* messages, and the cursor of the last."""
    texts: list[str] = []
    async for seen in hub.events(after=after, types="message.received"):
        texts.append(seen.event.data["message"]["text"])
        after = seen.cursor
        if len(texts) == count:
            break
    return texts, after


async def test_whoever_begins_at_the_latest_misses_nothing_either(database_url: str) -> None:
    """What came together with the first event is told, though the reader ended after that one."""
    async with talking(database_url) as (made, hub):

        async def pairs() -> None:
            for number in range(1000):
                both = (f"{number} a", f"{number} b")
                await made.say(*({"id": one, "from": "ann", "text": one} for one in both))
                await asyncio.sleep(0.2)

        async with background(pairs()):
            (first,), cursor = await heard(hub, "latest", 1)
            then, _ = await heard(hub, cursor, 2)
        number = first.split()[0]
        assert (first, f"{number} b" in then) == (f"{number} a", True)


async def test_the_feed_goes_on_from_a_kept_cursor(database_url: str) -> None:
    """Nothing is left out, and what was done with is not told again but for a page that was begun."""
    async with talking(database_url) as (made, hub):
        await made.say(*({"id": f"m{n}", "from": "ann", "text": str(n)} for n in range(4)))
        texts, cursor = await heard(hub, "oldest", 2)
        assert texts == ["0", "1"]
        assert (await heard(hub, cursor, 1))[0] == ["1"]
        texts, cursor = await heard(hub, "oldest", 4)
        assert texts == ["0", "1", "2", "3"]
        await made.say({"id": "m4", "from": "ann", "text": "4"})
        assert (await heard(hub, cursor, 1))[0] == ["4"]


async def test_a_refusal_says_why(database_url: str) -> None:
    """With the problem's type, made for programs."""
    async with talking(database_url) as (made, hub):
        await made.say({"id": "m1", "from": "ann", "text": "hello"})
        (place,) = [one.id async for one in hub.conversations()]
        with pytest.raises(ApiError) as refused:
            await hub.reply(place, "song")
        assert (refused.value.kind, refused.value.problem.status) == ("unsupported", 422)
        with pytest.raises(ApiError) as absent:
            await hub.conversation("cnv_00000000000000000000000000")
        assert absent.value.kind == "not-found"


class Moody:
    """A hub behind a proxy, which fails a few times and may have done the work nevertheless."""

    def __init__(self, *failures: int) -> None:
        self.failures = list(failures)
        self.keys: list[str | None] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers.get("Idempotency-Key"))
        if not self.failures:
            return web.json_response(
                {"type": "urn:hub:problem:done", "title": "", "status": 418}, status=418
            )
        status = self.failures.pop(0)
        if status == 0 and request.transport is not None:
            request.transport.abort()
        return web.Response(status=status or 500, text="<html>")


@pytest.mark.parametrize("failures", [(503, 502, 500), (0, 0), (429,)])
async def test_what_passes_is_tried_again_with_the_same_key(
    failures: tuple[int, ...], aiohttp_server: Any
) -> None:
    """A repeat cannot become a second reply."""
    moody = Moody(*failures)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", moody.answer)
    server = await aiohttp_server(app)
    async with HubClient(str(server.make_url("")), "t") as hub:
        with pytest.raises(ApiError) as ended:
            await hub.reply("cnv_1", "hi")
    assert ended.value.kind == "done"
    assert len(moody.keys) == len(failures) + 1
    assert len(set(moody.keys)) == 1
    assert moody.keys[0]


async def test_it_gives_up_in_the_end(aiohttp_server: Any) -> None:
    """A proxy's page becomes a problem too."""
    moody = Moody(*[503] * 9)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", moody.answer)
    server = await aiohttp_server(app)
    async with HubClient(str(server.make_url("")), "t", tries=3) as hub:
        with pytest.raises(ApiError, match="<html>"):
            await hub.conversation("cnv_1")
    assert len(moody.keys) == 3

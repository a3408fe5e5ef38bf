"""Entity tags: what has not changed is not sent again, and nobody overwrites what they have not seen."""

import asyncio

import pytest

from tests.apikit import api
from tests.corekit import settings_for

HELLO = {"id": "m1", "from": "ann", "text": "hello"}


async def test_what_has_not_changed_is_not_sent_again(database_url: str) -> None:
    """304 without a body, until something is different."""
    async with api(database_url) as made:
        await made.say(HELLO)
        client = await made.client()
        own = (await client.get("/v1/conversations")).json["items"][0]["id"]
        path = f"/v1/conversations/{own}"
        tag = (await client.get(path)).headers["ETag"]
        for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            same = await client.call("GET", path, headers={"If-None-Match": given})
            assert (same.status, same.text, same.headers["ETag"]) == (304, "", tag)
        await made.say({"id": "m2", "from": "ann", "text": "more"})
        fresh = await client.call("GET", path, headers={"If-None-Match": tag})
        assert (fresh.status, fresh.json["last_seq"]) == (200, 2)
        assert fresh.headers["ETag"] != tag


@pytest.mark.parametrize("path", ["/v1/openapi.json", "/v1/asyncapi.json", "/v1/channels"])
async def test_large_documents_have_one(database_url: str, path: str) -> None:
    """They seldom change."""
    async with api(database_url, settings_for("http://127.0.0.1:9/hook")) as made:
        client = await made.client()
        tag = (await client.get(path)).headers["ETag"]
        assert (await client.call("GET", path, headers={"If-None-Match": tag})).status == 304


async def test_nobody_overwrites_unseen(database_url: str) -> None:
    """Of two who have read the same, one may change it; the other reads again."""
    async with api(database_url) as made:
        await made.say(HELLO)
        client = await made.client()
        own = (await client.get("/v1/conversations")).json["items"][0]["id"]
        path = f"/v1/conversations/{own}"
        seen = {"If-Match": (await client.get(path)).headers["ETag"]}
        answers = await asyncio.gather(
            *(client.call("PATCH", path, {"assignee": f"agent {n}"}, seen) for n in range(4))
        )
        assert sorted(one.status for one in answers) == [200, 412, 412, 412]
        changed = next(one for one in answers if one.status == 200)
        assert (await client.get(path)).headers["ETag"] == changed.headers["ETag"]
        refused = next(one for one in answers if one.status == 412)
        assert refused.json["type"] == "urn:hub:problem:changed"
        again = {"If-Match": changed.headers["ETag"]}
        assert (await client.call("PATCH", path, {"state": "resolved"}, again)).status == 200
        assert (
            await client.call("PATCH", path, {"state": "open"}, {"If-Match": "*"})
        ).status == 200

"""Every kind of webhook that we send, before two judges and the schema that we publish.

The judges are the reference library of Standard Webhooks, and Svix's package (which hands the arithmetic to
the former, and reads the headers itself).
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import jsonschema
import msgspec
import pytest
import standardwebhooks
import svix.webhooks
from aiohttp import web

from hub import delivery
from hub.accounts import Accounts
from hub.bells import Bells
from hub.delivery import Deliverer
from hub.destination import EVENT_TYPES, Target
from hub.ids import read_id
from hub.media import fetch_pending
from hub.model import Secret
from hub.seal import Sealer
from hub.settings import Settings
from hub.tokens import Tokens
from hub.web.openapi import event_schemas
from outbound.helpdesks.webhook import WebhookSettings
from tests.apikit import Api, api
from tests.corekit import SECRET, background, eventually, settings_for

OLD = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
JUDGES = (standardwebhooks.Webhook, svix.webhooks.Webhook)
FAULTS = (standardwebhooks.WebhookVerificationError, svix.webhooks.WebhookVerificationError)


class Receiver:
    """A helpdesk that keeps each request as it came; *refuses* says which it does not want."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.refused = ""
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.seen.append((body, dict(request.headers)))
        return web.Response(status=422 if self.refused and self.refused in body else 200)

    @property
    def types(self) -> set[str]:
        return {msgspec.json.decode(body)["type"] for body, _ in self.seen}


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield made
    finally:
        await runner.cleanup()


def rotating(url: str) -> Settings:
    """Settings in the middle of a change of secrets."""
    made = settings_for(url)
    plan = made.destinations["desk"]
    secrets = WebhookSettings(url=url, secret=Secret(SECRET), previous_secrets=(Secret(OLD),))
    target = Target("desk", "webhook", secrets)
    return made._replace(destinations={"desk": plan._replace(target=target)})


async def let_all_happen(made: Api) -> None:
    """One event of each type at least; the helpdesk refuses what says *bad*."""
    await made.say(
        {"id": "m1", "from": "ann", "text": "hello"},
        {"id": "m2", "from": "bob", "text": "bad"},
        {"id": "n1", "from": "ann", "type": "notice"},
    )
    client = await made.client()
    conversation = (await client.get("/v1/conversations")).json["items"][0]["id"]
    path = f"/v1/conversations/{conversation}"
    await client.call("PATCH", path, {"state": "pending"})
    file = {"url": "http://127.0.0.1:9/picture", "kind": "image"}
    said = await client.post(f"{path}/messages", {"text": "hi", "attachments": [file]})
    attachment = read_id("att", said.json["attachments"][0]["id"])
    assert attachment is not None
    await fetch_pending(made.core, attachment)
    people = [one["contact"]["id"] for one in (await client.get("/v1/conversations")).json["items"]]
    merge = {"other": people[1], "evidence": "said so"}
    merged = (await client.post(f"/v1/contacts/{people[0]}/merge", merge)).json
    undo = {"merge": merged["merges"][0]["id"]}
    assert (await client.post(f"/v1/contacts/{people[0]}/unmerge", undo)).status == 200
    sealer = Sealer(Secret("k" * 32))
    accounts = Accounts(
        made.core.db, Bells(None), sealer, Tokens(made.core.db, sealer, "t"), None, made.core.clock
    )
    await accounts.apply(made.core.settings)
    assert await accounts.stop_account("shop", "the secret is wrong")
    await accounts.close()


def verdicts(body: str, headers: dict[str, str], secret: str) -> Iterator[bool]:
    for judge in JUDGES:
        try:
            judge(secret).verify(body, headers)
        except FAULTS:
            yield False
        else:
            yield True


async def test_two_judges_accept_every_kind_of_event(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the new secret and, while it is changed, with the old one; and each fits its schema."""
    monkeypatch.setattr(delivery, "BETWEEN_TRIES_S", (0.0, 0.02, 0.02))
    async with receiving() as desk, api(database_url, rotating(desk.url)) as made:
        desk.refused = '"text":"bad"'
        await let_all_happen(made)
        async with background(Deliverer(made.core).run()):
            await eventually(lambda: desk.types == EVENT_TYPES, timeout=30)
    for body, headers in desk.seen:
        assert [*verdicts(body, headers, SECRET), *verdicts(body, headers, OLD)] == [True] * 4
        said: Any = msgspec.json.decode(body)
        jsonschema.validate(
            said,
            event_schemas()[said["type"]],
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
        )


async def test_two_judges_accept_the_sample(database_url: str) -> None:
    """What the test button sends; and the text that it shows is what the signature is over."""
    async with receiving() as desk, api(database_url, rotating(desk.url)) as made:
        shown = (await (await made.client()).post("/v1/destinations/desk/test")).json
    ((body, headers),) = desk.seen
    assert [*verdicts(body, headers, SECRET), *verdicts(body, headers, OLD)] == [True] * 4
    number, _, rest = shown["signed"].partition(".")
    assert (number, rest.partition(".")[2]) == (headers["webhook-id"], body)
    assert shown["headers"]["webhook-signature"] == headers["webhook-signature"]


@pytest.mark.parametrize("what", ["body", "webhook-id", "webhook-timestamp", "secret"])
async def test_the_judges_see_what_was_changed(database_url: str, what: str) -> None:
    """A byte of the body, the id, the time or the secret: both refuse."""
    async with receiving() as desk, api(database_url, rotating(desk.url)) as made:
        await (await made.client()).post("/v1/destinations/desk/test")
    ((body, headers),) = desk.seen
    if what == "body":
        body = body.replace("sample", "simple")
    elif what != "secret":
        headers[what] = headers[what][:-1] + ("1" if headers[what][-1] != "1" else "2")
    secret = "whsec_" + "A" * 32 if what == "secret" else SECRET
    assert list(verdicts(body, headers, secret)) == [False, False]

"""Destinations: who stands in, who is switched off, what a sample shows, and where they may lead."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from hub.delivery import Deliverer
from hub.delivery.sample import send_sample
from hub.destination import Target
from hub.errors import ConfigError
from hub.fetch import Fetcher, Forbidden
from hub.guard import forbidden_address, private_network
from hub.ids import show_id
from hub.model import Secret
from hub.settings import DestinationPlan, Route, Settings, load
from hub.tickets.desks import policy_of
from hub.trace import find
from outbound.helpdesks.webhook import DESTINATION, WebhookSettings
from tests.apikit import api
from tests.corekit import (
    SECRET,
    Desk,
    background,
    eventually,
    file_all,
    opened,
    running_desk,
    settings_for,
    store,
)

OLD = "whsec_" + "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk"


def with_stand_in(first: Desk, second: Desk) -> Settings:
    given = settings_for(first.url, fail_over="spare", timeout_s=1.0)
    target = Target("spare", "webhook", WebhookSettings(url=second.url, secret=Secret(SECRET)))
    spare = DestinationPlan(target, DESTINATION, True, (), (), 16, 5.0, True, None)
    return given._replace(destinations={**given.destinations, "spare": spare})


async def test_a_stand_in_takes_over_and_gives_back(database_url: str) -> None:
    """While the first is down the second gets its events, each once and in order; then the first again."""
    async with running_desk() as first, running_desk() as second:
        first.answer = lambda _said: 503
        async with opened(database_url, with_stand_in(first, second)) as core:
            for number in range(10):
                await store(core, {"id": f"{number}", "from": "ann", "text": f"{number}"})
            await file_all(core)
            async with background(Deliverer(core).run()):
                await eventually(lambda: len(second.messages) == 10, 30)
                assert second.messages == [str(number) for number in range(10)]
                first.seen.clear()
                first.answer = lambda _said: 200
                for number in range(10, 13):
                    await store(core, {"id": f"{number}", "from": "bob", "text": f"{number}"})
                await file_all(core)
                await eventually(lambda: len({*first.messages, *second.messages}) == 13, 30)

                number = 13
                async with asyncio.timeout(60):
                    while (
                        not first.messages
                    ):  # the breaker closes after a probe, or with nothing left
                        await store(core, {"id": f"{number}", "from": "cid", "text": f"{number}"})
                        await file_all(core)
                        number += 1
                        await asyncio.sleep(0.2)
                await eventually(lambda: len({*first.messages, *second.messages}) == number, 30)
        assert sorted(map(int, {*first.messages, *second.messages})) == list(range(number))
        assert len(second.messages) == len(set(second.messages))


async def test_five_days_of_failures_switch_it_off(database_url: str) -> None:
    """And it is not probed any more until a person restores it; what waits stays."""
    async with running_desk() as desk, opened(database_url, settings_for(desk.url)) as core:
        desk.answer = lambda _said: 500
        await store(core, {"id": "1", "text": "hello"})
        await file_all(core)
        await core.db.fetch(
            "UPDATE destinations SET state = 'open', opened_at = now() - interval '121 hours', "
            "next_probe_at = now()"
        )
        async with background(Deliverer(core).run()):

            async def is_off() -> bool:
                rows = await core.db.fetch("SELECT state, disabled_reason FROM destinations")
                return tuple(rows[0]) == ("disabled", "nothing but failures for 5 days")

            await eventually(is_off, 20)
            await asyncio.sleep(0.2)
        assert desk.seen == []
        assert await core.db.fetch("SELECT 1 FROM deliveries WHERE state = 0")


async def test_a_sample_shows_its_signature(database_url: str) -> None:
    """The reference library verifies it, with the new and with the old secret; nothing else is told."""
    async with running_desk() as desk, opened(database_url, settings_for(desk.url)) as core:
        settings = WebhookSettings(
            url=desk.url,
            secret=Secret(SECRET),
            previous_secrets=[Secret(OLD)],
            headers={"x-desk-key": Secret("open sesame")},
        )
        plan = core.settings.destinations["desk"]._replace(
            target=Target("desk", "webhook", settings)
        )
        sample = await send_sample(core, plan)
        assert (sample.ok, sample.status) == (True, 200)
        ((_, said, headers),) = desk.seen
        assert said["type"] == "hub.test"
        assert headers["x-desk-key"] == "open sesame"
        assert "open sesame" not in str(sample)
        for secret in (SECRET, OLD):
            Webhook(secret).verify(sample.body, dict(sample.headers))
        assert sample.signed.startswith(sample.headers["webhook-id"] + ".")
        desk.answer = lambda _said: 500
        assert not (await send_sample(core, plan)).ok


async def test_the_sample_in_the_api(database_url: str) -> None:
    """For an admin; a destination that does not answer is told, not an error of the hub."""
    async with api(database_url) as hub:
        admin = await hub.client()
        told = await admin.post("/v1/destinations/desk/test")
        assert (told.status, told.json["ok"], told.json["status"]) == (200, False, None)
        assert told.json["error"]
        assert (await admin.post("/v1/destinations/nobody/test")).status == 404


@pytest.mark.parametrize(
    "address, allowed",
    [
        ("10.1.2.3", True),
        ("10.1.3.3", False),
        ("127.0.0.1", False),
        ("::ffff:10.1.2.3", True),
        ("169.254.169.254", False),
        ("100.100.100.200", False),
        ("93.184.215.14", True),
    ],
)
def test_only_the_listed_addresses_are_open(address: str, allowed: bool) -> None:
    """Cloud metadata never is."""
    inside = (private_network("10.1.2.0/24"), private_network("100.64.0.0/10"))
    assert (forbidden_address(address, inside=inside) is None) == allowed


async def test_a_listed_address_is_reached_and_no_other(database_url: str) -> None:
    """Judged when it is connected to, whatever the name was."""
    async with running_desk() as desk:
        plan = settings_for(desk.url, allow_private=False).destinations["desk"]
        for listed, reached in ((("127.0.0.0/8",), True), (("10.0.0.0/8",), False), ((), False)):
            fetcher = Fetcher(policy_of(plan._replace(allow_addresses=listed)))
            url = desk.url.replace("127.0.0.1", "localhost") if listed else desk.url
            try:
                status, _, _ = await fetcher.post(url, b"{}", {"webhook-id": "x"})
                assert (status, reached) == (200, True)
            except Forbidden:
                assert not reached
            finally:
                await fetcher.close()


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "127.0.0.1.",
        "LOCALHOST",
    ],
)
async def test_no_spelling_of_this_machine_is_called(database_url: str, host: str) -> None:
    """Whoever may write the URL of a webhook cannot lead the hub to itself, however it is spelt."""
    async with running_desk() as desk:
        plan = settings_for(desk.url, allow_private=False).destinations["desk"]
        port = desk.url.rpartition(":")[2]
        for listed in ((), ("10.0.0.0/8",)):
            fetcher = Fetcher(policy_of(plan._replace(allow_addresses=listed)))
            for scheme in ("http", "https"):
                with pytest.raises(Forbidden):
                    await fetcher.post(f"{scheme}://{host}:{port}", b"{}", {"webhook-id": "x"})
            await fetcher.close()
        assert desk.seen == []


async def test_a_mirror_gets_the_same_and_a_filter_leaves_out(database_url: str) -> None:
    """Two destinations of one queue each get all of it, each with its own headers; a third only what it
    wants."""
    async with running_desk() as desk, running_desk() as mirror, running_desk() as sales:
        routes = [Route(queue="sales", text="buy")]
        settings = settings_for(desk.url, queues=("inbox", "sales"), routes=routes)
        plans = dict(settings.destinations)
        for name, other, wanted in (
            ("mirror", mirror, {"queues": ("*",), "events": ()}),
            ("sales", sales, {"queues": ("sales",), "events": ("message.received",)}),
        ):
            headers = {"X-Desk": Secret(name)}
            own = WebhookSettings(url=other.url, secret=Secret(SECRET), headers=headers)
            plans[name] = plans["desk"]._replace(target=Target(name, "webhook", own), **wanted)
        async with opened(database_url, settings._replace(destinations=plans)) as core:
            await store(core, {"id": "1", "from": "ann", "text": "hello"})
            await store(core, {"id": "2", "from": "bob", "text": "buy a tea"})
            await file_all(core)
            async with background(Deliverer(core).run()):
                await eventually(lambda: len(desk.seen) == len(mirror.seen) == 4)
                await eventually(lambda: sales.seen)
        assert sorted(desk.messages) == sorted(mirror.messages) == ["buy a tea", "hello"]
        assert {one for one, *_ in desk.seen} == {one for one, *_ in mirror.seen}
        assert sales.messages == ["buy a tea"]
        assert len(sales.seen) == 1
        assert {headers.get("x-desk") for *_, headers in desk.seen} == {None}
        assert {headers["x-desk"] for *_, headers in mirror.seen} == {"mirror"}


def test_mistakes_are_told(tmp_path: Path) -> None:
    """A public network on the list, a stand-in that is none, a queue without overflow."""
    path = tmp_path / "hub.toml"
    path.write_text(
        """
[queues.sales]
hours = ["mon-fri 9-18"]
[destinations.desk]
url = "https://desk.example.com/"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
allow_addresses = ["8.8.8.0/24"]
fail_over = "desk"
"""
    )
    with pytest.raises(ConfigError) as told:
        load(path, {})
    keys: Any = sorted(line.split(": ")[1] for line in told.value.mistakes)
    assert keys == [
        "destinations.desk.allow_addresses",
        "destinations.desk.fail_over",
        "queues.sales.hours",
        "queues.sales.overflow",
    ]


async def test_a_webhook_carries_the_trace_of_its_message(database_url: str) -> None:
    """The trace id leads back to the message; what is about no message has none."""
    async with running_desk() as desk, opened(database_url, settings_for(desk.url)) as core:
        await store(core, {"id": "1", "text": "hello"})
        await file_all(core)
        async with background(Deliverer(core).run()):
            await eventually(lambda: len(desk.seen) == 2, 20)
        by_type = {said["type"]: (said, headers) for _, said, headers in desk.seen}
        assert "traceparent" not in by_type["conversation.created"][1]
        said, headers = by_type["message.received"]
        found = await find(core.db, headers["traceparent"])
        assert found is not None
        assert show_id("msg", found) == said["data"]["message"]["id"]

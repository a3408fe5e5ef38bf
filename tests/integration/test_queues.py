"""Queues in the whole: rules as messages are filed, priorities, pause, and a dry run."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hub.cli.queues import _dry_run
from hub.delivery import Deliverer
from hub.ingest import Facts
from hub.routing import Loads, router_of
from hub.settings import QueueSettings, Route
from hub.status import status
from hub.store.queues import pause, paused
from tests import corekit
from tests.apikit import api
from tests.corekit import Desk, background, eventually, file_all, opened, running_desk, store

SUNDAY = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


async def queues_of(core: Any) -> dict[str, str]:
    rows = await core.db.fetch("SELECT thread_key, queue FROM conversations")
    return {row["thread_key"]: row["queue"] for row in rows}


async def test_rules_see_contact_tags_and_time(database_url: str) -> None:
    """A new contact, one who is known, a tag that a person has set, and closing time."""
    routes = [
        Route(queue="vip", tag="vip", sticky=False),
        Route(queue="welcome", contact="new"),
        Route(queue="sales"),
    ]
    given = corekit.settings_for(queues=("inbox", "vip", "welcome", "night"), routes=routes)
    closed = QueueSettings(hours=("mon-fri 09:00-18:00",), overflow="night")
    settings = given._replace(queues={**given.queues, "sales": closed})
    async with opened(database_url, settings) as core:
        core.clock = lambda: SUNDAY
        await store(core, {"id": "1", "from": "ann", "text": "hello"})
        await file_all(core)
        await store(core, {"id": "2", "from": "ann", "thread": "second", "text": "again"})
        await file_all(core)
        assert await queues_of(core) == {"ann": "welcome", "second": "night"}
        await core.db.fetch("UPDATE conversations SET tags = '[\"vip\"]' WHERE thread_key = 'ann'")
        await store(core, {"id": "3", "from": "ann", "text": "it is me"})
        await file_all(core)
        assert await queues_of(core) == {"ann": "vip", "second": "night"}


async def test_a_full_queue_is_known_from_the_database(database_url: str) -> None:
    """What is open is counted where a queue has a limit."""
    given = corekit.settings_for(queues=("inbox", "more"))
    full = QueueSettings(max_open=1, overflow="more")
    settings = given._replace(queues={**given.queues, "inbox": full})
    async with opened(database_url, settings) as core:
        loads = Loads(core.db)
        router = router_of(settings, loads)
        await store(core, {"id": "1", "from": "ann", "text": "hello"})
        await file_all(core)
        facts = Facts("test", "shop", "text", "", None, "bob", True, at=SUNDAY)
        assert router.choose(facts).queue == "inbox"
        await loads.look(settings)
        assert router.choose(facts).queue == "more"


async def settle(core: Any, desk: Desk, count: int) -> None:
    deliverer = Deliverer(core)
    async with background(deliverer.run()):
        await eventually(lambda: len(desk.messages) >= count, 20)


async def test_a_paused_queue_waits_and_keeps_its_order(database_url: str) -> None:
    """Others go on; resumed, everything comes in order."""
    routes = [Route(queue="sales", text="buy")]
    async with running_desk() as desk:
        settings = corekit.settings_for(desk.url, queues=("inbox", "sales"), routes=routes)
        async with opened(database_url, settings) as core:
            assert await pause(core.db, "sales", True, core.clock())
            assert not await pause(core.db, "sales", True, core.clock())
            for number in range(5):
                await store(core, {"id": f"b{number}", "from": "bob", "text": f"buy {number}"})
                await store(core, {"id": f"a{number}", "from": "ann", "text": f"talk {number}"})
            await file_all(core)
            deliverer = Deliverer(core)
            async with background(deliverer.run()):
                await eventually(lambda: len(desk.messages) >= 5, 20)
                await asyncio.sleep(0.3)
                assert desk.messages == [f"talk {number}" for number in range(5)]
                await pause(core.db, "sales", False, core.clock())
                await eventually(lambda: len(desk.messages) >= 10, 20)
            assert desk.messages[5:] == [f"buy {number}" for number in range(5)]
            assert await paused(core.db) == {}


async def test_a_queue_that_somebody_paused_is_not_forgotten(database_url: str) -> None:
    """The status is yellow and says how to go on; for a token of other queues nothing is different."""
    async with opened(database_url, corekit.settings_for(queues=("inbox", "sales"))) as core:
        since = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
        await pause(core.db, "sales", True, since)
        report = await status(core)
        (told,) = [one for one in report.warnings if "paused" in one]
        assert told.startswith("Queue sales is paused since 2026-01-02 03:04 UTC")
        assert told.endswith("hub queue resume sales")
        assert report.light != "green"
        assert not [one for one in (await status(core, ["night"])).warnings if "paused" in one]
        await pause(core.db, "sales", False, since)
        assert not [one for one in (await status(core)).warnings if "paused" in one]


async def test_interactive_goes_before_bulk(database_url: str) -> None:
    """Whoever waits for an answer does not wait behind a mailing, however long that waits already."""
    routes = [Route(queue="news", text="news")]
    async with running_desk() as desk:
        given = corekit.settings_for(desk.url, queues=("inbox",), routes=routes, max_in_flight=1)
        bulk = QueueSettings(priority="bulk")
        settings = given._replace(queues={**given.queues, "news": bulk})
        async with opened(database_url, settings) as core:
            for number in range(20):
                await store(core, {"id": f"n{number}", "from": f"n{number}", "text": "news"})
            await file_all(core)
            for number in range(5):
                await store(core, {"id": f"t{number}", "from": f"t{number}", "text": "talk"})
            await file_all(core)
            await settle(core, desk, 25)
        assert desk.messages == ["talk"] * 5 + ["news"] * 20


async def test_a_dry_run_says_what_would_move(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """Over stored messages, and changes nothing."""
    new = tmp_path / "new.toml"
    new.write_text('[queues.refunds]\n[[routes]]\ntext = "refund"\nqueue = "refunds"\n')
    async with opened(database_url, corekit.settings_for()) as core:
        for number in range(4):
            text = "refund please" if number % 2 else "hello"
            await store(core, {"id": str(number), "from": f"c{number}", "text": text})
        await file_all(core)
        given = type("Given", (), {"dry_run": str(new), "last": 10, "json": True})()
        assert await _dry_run(core, given) == 0
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert told["looked_at"] == 4
        assert [(one["before"], one["after"]) for one in told["moves"]] == [
            ("inbox", "refunds")
        ] * 2
        assert set((await queues_of(core)).values()) == {"inbox"}


async def test_queues_in_the_api(database_url: str) -> None:
    """Listed within the token's scope; paused by an admin only; shown in the metrics."""
    async with api(database_url) as hub:
        await hub.say({"id": "1", "text": "hello"})
        admin = await hub.client()
        desk = await hub.client("read", queues=["sales"])
        listed = (await admin.get("/v1/queues")).json["items"]
        assert [(one["name"], one["open"]) for one in listed] == [
            ("after-sales", 0),
            ("inbox", 1),
            ("sales", 0),
        ]
        assert [one["name"] for one in (await desk.get("/v1/queues")).json["items"]] == ["sales"]
        assert (await desk.post("/v1/queues/sales/pause")).status == 403
        assert (await admin.post("/v1/queues/nowhere/pause")).status == 404
        foreign = await hub.client("admin", queues=["sales"])
        assert (await foreign.post("/v1/queues/inbox/pause")).status == 404
        told = await admin.post("/v1/queues/inbox/pause")
        assert told.json["paused_at"] is not None
        metrics = (await admin.get("/metrics")).text
        assert 'hub_queue_paused{queue="inbox"} 1.0' in metrics
        assert 'hub_queue_open{queue="inbox"} 1.0' in metrics
        assert (await admin.post("/v1/queues/inbox/resume")).json["paused_at"] is None

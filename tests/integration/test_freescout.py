"""The FreeScout connector against a simulator made from its documentation, with the real core."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from adapters.helpdesks.freescout import DESTINATION
from hub.model import Secret
from outbound.helpdesks.freescout import FreeScoutSettings
from sandbox.desks import Fault
from sandbox.freescout import FreeScoutSimulator
from tests.corekit import eventually
from tests.support.desks import DeskWorld, desk_world, plan_of


@pytest.fixture
async def freescout() -> AsyncIterator[FreeScoutSimulator]:
    simulator = FreeScoutSimulator()
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def world(database_url: str, freescout: FreeScoutSimulator) -> AsyncIterator[DeskWorld]:
    settings = FreeScoutSettings(
        base_url=freescout.base_url,
        api_key=Secret(freescout.key),
        mailbox_id=freescout.mailbox_id,
        hub_user_id=freescout.hub_user_id,
        callback_secret=Secret("c" * 24),
        webhook_secret=Secret(freescout.secret),
    )
    async with desk_world(database_url, [plan_of(DESTINATION, settings)]) as made:
        freescout.webhook_url = made.callback_url()
        yield made


def only(freescout: FreeScoutSimulator) -> int:
    (found,) = freescout.conversations
    return found


def bodies(freescout: FreeScoutSimulator, kind: str = "customer") -> list[str]:
    threads = freescout.conversations[only(freescout)]["_embedded"]["threads"]
    return [one["body"].partition("<br><br>— ")[0] for one in threads[::-1] if one["type"] == kind]


async def heard(freescout: FreeScoutSimulator, count: int) -> None:
    await eventually(lambda: len(freescout.answers) >= count)


async def test_there_and_back(world: DeskWorld, freescout: FreeScoutSimulator) -> None:
    """Text as it was written, whatever is in it; replies once and in order, notes never."""
    await world.say({"id": "1", "from": "ann", "text": "在吗 <b>& {{x}}"})
    await world.say({"id": "2", "from": "ann", "text": "第二条"})
    await world.delivered()
    assert bodies(freescout) == ["在吗 &lt;b&gt;&amp; {{x}}", "第二条"]
    own = only(freescout)
    freescout.reply(own, "VIP", kind="note")
    freescout.lose_callbacks = True
    freescout.reply(own, "<p>您好，今天发出。</p>")
    freescout.lose_callbacks = False
    freescout.reply(own, "<p>还有吗？</p>")
    await heard(freescout, 4)
    await world.look_due()
    await world.look()
    assert [text for text, _ in await world.said()] == ["您好，今天发出。", "还有吗？"]


async def test_states_and_assignee(world: DeskWorld, freescout: FreeScoutSimulator) -> None:
    """Closed there, resolved here; the customer writes again, and it is active."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    own = only(freescout)
    freescout.take(own)
    freescout.close(own)
    await heard(freescout, 3)
    await world.look_due()
    assert await world.states() == ["resolved"]
    rows = await world.core.db.fetch("SELECT assignee FROM conversations")
    assert rows[0]["assignee"] == str(freescout.agent_id)
    await world.say({"id": "2", "text": "又来了"})
    await world.delivered()
    await world.look()
    assert (freescout.conversations[own]["status"], await world.states()) == ("active", ["open"])
    assert await world.said() == []


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("path", ["/conversations", "/threads"])
async def test_an_error_that_may_have_kept_it(
    world: DeskWorld, freescout: FreeScoutSimulator, path: str, kept: bool
) -> None:
    """Either way it is there once; the same words said twice by the customer stay two."""
    if path == "/threads":
        await world.say({"id": "0", "text": "在吗"})
        await world.delivered()
    await world.say({"id": "1", "text": "在吗"})
    freescout.faults.append(
        Fault(lambda asked: asked.method == "POST" and asked.path.endswith(path), kept=kept)
    )
    await world.delivered()
    assert bodies(freescout) == ["在吗"] * (2 if path == "/threads" else 1)


async def test_a_draft_is_sent_when_it_is(world: DeskWorld, freescout: FreeScoutSimulator) -> None:
    """It is seen while the agent still writes, and published later under the same id."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    own = only(freescout)
    freescout.lose_callbacks = True
    freescout.reply(own, "<p>您好</p>")
    draft = freescout.conversations[own]["_embedded"]["threads"][0]
    draft["state"] = "draft"
    await world.look()
    assert await world.said() == []
    draft["state"] = "published"
    await world.look()
    assert [text for text, _ in await world.said()] == ["您好"]


@pytest.mark.parametrize("status", [429, 500])
async def test_a_ticket_that_cannot_be_read_yet_is_made_once(
    world: DeskWorld, freescout: FreeScoutSimulator, status: int
) -> None:
    """What was made is known from the answer that made it."""
    freescout.faults.append(Fault(lambda asked: asked.method == "GET", status))
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    assert bodies(freescout) == ["在吗"]


async def test_a_forged_callback_is_refused(
    world: DeskWorld, freescout: FreeScoutSimulator
) -> None:
    """Also one that was signed for another body."""
    headers = {"X-FreeScout-Signature": "errMuxuZvV0OjLWL/H64hg4LV3w="}
    async with (
        ClientSession() as http,
        http.post(world.callback_url(), data=b'{"id":1}', headers=headers) as answer,
    ):
        assert answer.status == 403

"""The Zammad connector against a simulator made from its documented API, with the real core."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from adapters.helpdesks.zammad import DESTINATION
from hub.model import Secret
from outbound.helpdesks.zammad import ZammadSettings
from sandbox.desks import Fault
from sandbox.zammad import ZammadSimulator
from tests.corekit import eventually
from tests.support.desks import DeskWorld, desk_world, plan_of


@pytest.fixture
async def zammad() -> AsyncIterator[ZammadSimulator]:
    simulator = ZammadSimulator()
    await simulator.start()
    yield simulator
    await simulator.stop()


def settings_for(simulator: ZammadSimulator, **changes: Any) -> ZammadSettings:
    values: dict[str, Any] = {
        "base_url": simulator.base_url,
        "api_token": Secret(simulator.token),
        "group": "Messaging",
        "callback_secret": Secret("c" * 24),
        "webhook_secret": Secret(simulator.secret) if simulator.secret else None,
        "hub_user_id": simulator.hub_user_id,
    }
    return ZammadSettings(**values | changes)


@pytest.fixture
async def world(database_url: str, zammad: ZammadSimulator) -> AsyncIterator[DeskWorld]:
    async with desk_world(database_url, [plan_of(DESTINATION, settings_for(zammad))]) as made:
        zammad.webhook_url = made.callback_url()
        yield made


def ticket(zammad: ZammadSimulator) -> int:
    (found,) = zammad.tickets
    return found


def bodies(zammad: ZammadSimulator, sender: str = "Customer") -> list[str]:
    return [
        one["body"].partition("\n\n— ")[0]
        for one in zammad.articles.values()
        if one["sender"] == sender
    ]


async def heard(zammad: ZammadSimulator, count: int) -> None:
    await eventually(lambda: len(zammad.answers) >= count)


async def test_there_and_back(world: DeskWorld, zammad: ZammadSimulator) -> None:
    """Messages as the customer's articles; public notes come back as text, internal ones never."""
    await world.say({"id": "1", "from": "ann", "name": "安娜", "text": "在吗"})
    await world.say({"id": "2", "from": "ann", "text": "我的订单呢"})
    await world.delivered()
    assert bodies(zammad) == ["在吗", "我的订单呢"]
    (user,) = zammad.users.values()
    assert (user["firstname"], user["roles"]) == ("安娜", ["Customer"])
    assert {one["origin_by_id"] for one in zammad.articles.values()} == {user["id"]}
    own = ticket(zammad)
    zammad.reply(own, "VIP, careful", internal=True)
    zammad.reply(
        own,
        "您好，<b>今天</b>发出。<br>谢谢<blockquote type='cite'>在吗</blockquote>"
        "<div data-signature='true'>Emma</div>",
        files=(("a.txt", b"hello"),),
    )
    await heard(zammad, 1)
    await world.look_due()
    await world.look()
    assert await world.said() == [("您好，今天发出。\n谢谢\n[file] a.txt", "queued")]


async def test_states_and_owner(world: DeskWorld, zammad: ZammadSimulator) -> None:
    """Closed there, resolved here; the customer writes again, and the ticket is open."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    own = ticket(zammad)
    zammad.take(own)
    zammad.close(own)
    await heard(zammad, 2)
    await world.look_due()
    assert await world.states() == ["resolved"]
    rows = await world.core.db.fetch("SELECT assignee FROM conversations")
    assert rows[0]["assignee"] == str(zammad.agent_id)
    await world.say({"id": "2", "text": "又来了"})
    await world.delivered()
    await world.look()
    assert (zammad.tickets[own]["state"], await world.states()) == ("open", ["open"])
    assert bodies(zammad) == ["在吗", "又来了"]
    assert await world.said() == []


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("path", ["/users", "/tickets", "/ticket_articles"])
async def test_an_error_that_may_have_kept_it(
    world: DeskWorld, zammad: ZammadSimulator, path: str, kept: bool
) -> None:
    """Either way it is there once."""
    if path == "/ticket_articles":
        await world.say({"id": "0", "text": "before"})
        await world.delivered()
    await world.say({"id": "1", "text": "在吗"})
    zammad.faults.append(
        Fault(lambda asked: asked.method == "POST" and asked.path.endswith(path), 502, kept=kept)
    )
    await world.delivered()
    assert (len(zammad.users), len(zammad.tickets)) == (1, 1)
    assert bodies(zammad).count("在吗") == 1


async def test_a_search_that_is_behind(world: DeskWorld, zammad: ZammadSimulator) -> None:
    """It does not know yet of the customer who was just made, and whose ticket nobody confirmed."""
    zammad.faults.append(
        Fault(lambda asked: "/users/search" in asked.path, 200, body=b"[]", count=9)
    )
    zammad.faults.append(
        Fault(
            lambda asked: asked.method == "POST" and asked.path.endswith("/tickets"), 502, kept=True
        )
    )
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    assert (len(zammad.users), len(zammad.tickets), bodies(zammad)) == (1, 1, ["在吗"])
    assert await world.core.db.fetch("SELECT error FROM deliveries WHERE state = 2") == []


async def test_lost_and_forged_callbacks(world: DeskWorld, zammad: ZammadSimulator) -> None:
    """The poller finds the one; the other is refused."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    zammad.lose_callbacks = True
    zammad.reply(ticket(zammad), "on its way")
    headers = {"X-Hub-Signature": "sha1=" + "0" * 40}
    async with (
        ClientSession() as http,
        http.post(world.callback_url(), data=b'{"ticket":{"id":1}}', headers=headers) as answer,
    ):
        assert answer.status == 403
    await world.look()
    assert [text for text, _ in await world.said()] == ["on its way"]


async def test_hub_check_says_what_is_wrong(world: DeskWorld, zammad: ZammadSimulator) -> None:
    """The id to set, what to set up there, and a token that is none."""
    running = world.core.desks.get(world.core, "desk")
    assert running is not None
    found = [one async for one in running.desk.check(world.callback_url())]
    assert [one.ok for one in found] == [True, True]
    assert "id 12" in found[0].detail
    assert world.callback_url() in str(found[1].advice)
    zammad.token = "another"
    assert [one.ok async for one in running.desk.check(None)] == [False]

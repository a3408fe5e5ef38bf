"""What every connector promises, tried on each of them that has a simulator."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from adapters.helpdesks.chatwoot import DESTINATION as CHATWOOT
from adapters.helpdesks.freescout import DESTINATION as FREESCOUT
from adapters.helpdesks.zammad import DESTINATION as ZAMMAD
from hub.model import Secret
from hub.settings import DestinationPlan
from outbound.helpdesks.chatwoot import ChatwootSettings
from outbound.helpdesks.freescout import FreeScoutSettings
from outbound.helpdesks.zammad import ZammadSettings
from sandbox.chatwoot import ChatwootSimulator
from sandbox.desks import DeskSimulator
from sandbox.freescout import FreeScoutSimulator
from sandbox.zammad import ZammadSimulator
from tests.corekit import eventually
from tests.support.desks import DeskWorld, desk_world, plan_of

DOOR = Secret("c" * 24)


class Driver:
    """One simulated helpdesk with one ticket, as a test speaks to it."""

    simulator: Any
    agent: str

    def plan(self, name: str = "desk") -> DestinationPlan:
        raise NotImplementedError

    def assignee(self) -> str | None:
        raise NotImplementedError

    def take(self) -> None:
        """The agent takes the ticket."""
        raise NotImplementedError

    def reply(self, text: str) -> None:
        raise NotImplementedError

    def notes(self) -> list[str]:
        """What only agents see."""
        raise NotImplementedError

    def shown(self) -> str:
        """Everything that agents see beside the words."""
        raise NotImplementedError


class Chatwoot(Driver):
    def __init__(self) -> None:
        self.simulator = ChatwootSimulator()
        self.agent = str(self.simulator.agent["id"])

    def plan(self, name: str = "desk") -> DestinationPlan:
        made = ChatwootSettings(
            base_url=self.simulator.base_url,
            account_id=1,
            inbox_id=self.simulator.inbox_id,
            api_token=Secret(self.simulator.token),
            callback_secret=DOOR,
            webhook_secret=Secret(self.simulator.secret or ""),
            hub_user_id=9,
        )
        return plan_of(CHATWOOT, made, name)

    def _ticket(self) -> Any:
        (found,) = self.simulator.conversations.values()
        return found

    def assignee(self) -> str | None:
        found = self._ticket().assignee
        return str(found["id"]) if found else None

    def take(self) -> None:
        self.simulator.assign(self._ticket().id)

    def reply(self, text: str) -> None:
        self.simulator.reply(self._ticket().id, text)

    def notes(self) -> list[str]:
        return [one["content"] for one in self._ticket().messages if one["private"]]

    def shown(self) -> str:
        return str(self._ticket().attributes)


class Zammad(Driver):
    def __init__(self) -> None:
        self.simulator = ZammadSimulator()
        self.agent = str(self.simulator.agent_id)

    def plan(self, name: str = "desk") -> DestinationPlan:
        made = ZammadSettings(
            base_url=self.simulator.base_url,
            api_token=Secret(self.simulator.token),
            group="Messaging",
            callback_secret=DOOR,
            webhook_secret=Secret(self.simulator.secret or ""),
            hub_user_id=self.simulator.hub_user_id,
        )
        return plan_of(ZAMMAD, made, name)

    def _ticket(self) -> dict[str, Any]:
        (found,) = self.simulator.tickets.values()
        return found

    def assignee(self) -> str | None:
        owner = self._ticket()["owner_id"]
        return None if owner == 1 else str(owner)

    def take(self) -> None:
        self.simulator.take(self._ticket()["id"])

    def reply(self, text: str) -> None:
        self.simulator.reply(self._ticket()["id"], text)

    def notes(self) -> list[str]:
        return [one["body"] for one in self.simulator.articles.values() if one["internal"]]

    def shown(self) -> str:
        return str([one["body"] for one in self.simulator.articles.values()])


class FreeScout(Driver):
    def __init__(self) -> None:
        self.simulator = FreeScoutSimulator()
        self.agent = str(self.simulator.agent_id)

    def plan(self, name: str = "desk") -> DestinationPlan:
        made = FreeScoutSettings(
            base_url=self.simulator.base_url,
            api_key=Secret(self.simulator.key),
            mailbox_id=self.simulator.mailbox_id,
            hub_user_id=self.simulator.hub_user_id,
            callback_secret=DOOR,
            webhook_secret=Secret(self.simulator.secret),
        )
        return plan_of(FREESCOUT, made, name)

    def _ticket(self) -> dict[str, Any]:
        (found,) = self.simulator.conversations.values()
        return found

    def assignee(self) -> str | None:
        found = self._ticket()["assignee"]
        return str(found["id"]) if found else None

    def take(self) -> None:
        self.simulator.take(self._ticket()["id"])

    def reply(self, text: str) -> None:
        self.simulator.reply(self._ticket()["id"], text)

    def notes(self) -> list[str]:
        threads = self._ticket()["_embedded"]["threads"]
        return [one["body"] for one in threads if one["type"] == "note"]

    def shown(self) -> str:
        return str(self._ticket()["_embedded"]["threads"])


DRIVERS: dict[str, Callable[[], Driver]] = {
    "chatwoot": Chatwoot,
    "zammad": Zammad,
    "freescout": FreeScout,
}


@pytest.fixture(params=DRIVERS)
async def driver(request: pytest.FixtureRequest) -> AsyncIterator[Driver]:
    made = DRIVERS[request.param]()
    simulator: DeskSimulator = made.simulator
    await simulator.start()
    yield made
    await simulator.stop()


@pytest.fixture
async def world(database_url: str, driver: Driver) -> AsyncIterator[DeskWorld]:
    async with desk_world(database_url, [driver.plan()]) as made:
        driver.simulator.webhook_url = made.callback_url()
        yield made


async def events(world: DeskWorld, kind: str) -> int:
    rows = await world.core.db.fetch("SELECT 1 FROM events WHERE type = $1", kind)
    return len(rows)


async def test_assigned_by_the_api_assigned_there(world: DeskWorld, driver: Driver) -> None:
    """Once, and its echo changes nothing; who takes it there takes it here."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    await world.assign(driver.agent)
    await world.delivered()
    assert driver.assignee() == driver.agent
    told, calls = await events(world, "conversation.updated"), len(driver.simulator.calls)
    await eventually(lambda: len(driver.simulator.answers) >= 1)
    await world.look_due()
    await world.look()
    await world.delivered()
    assert await world.assignees() == [driver.agent]
    assert await events(world, "conversation.updated") == told
    assert not [one for one in driver.simulator.calls[calls:] if one[0] != "GET"]


async def test_who_was_assigned_before_gets_the_ticket(world: DeskWorld, driver: Driver) -> None:
    """A conversation may have somebody before the helpdesk has heard of it."""
    await world.say({"id": "1", "text": "在吗"})
    await world.assign(driver.agent)
    await world.delivered()
    assert driver.assignee() == driver.agent


async def test_an_older_assignment_does_not_win(world: DeskWorld, driver: Driver) -> None:
    """While the API's wish waited, an agent took it in the helpdesk: that stands."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    await world.assign("77")
    driver.take()
    await eventually(lambda: driver.simulator.is_quiet)
    await world.look_due()
    await world.delivered()
    await world.look()
    assert (driver.assignee(), await world.assignees()) == (driver.agent, [driver.agent])


async def test_an_assignee_that_is_none_is_told(world: DeskWorld, driver: Driver) -> None:
    """A name where the helpdesk has numbers: a note, and nothing stops."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    await world.assign("Emma")
    await world.say({"id": "2", "text": "noch da"})
    await world.delivered()
    assert driver.assignee() is None
    assert any("Not assigned to Emma" in note for note in driver.notes())
    assert "noch da" in driver.shown() or isinstance(driver, Chatwoot)


async def test_ids_of_another_helpdesk_are_not_ours(database_url: str, driver: Driver) -> None:
    """Two helpdesks mirror a queue: who takes it in the one is nobody in the other."""
    other = Zammad()
    await other.simulator.start()
    try:
        async with desk_world(database_url, [driver.plan(), other.plan("other")]) as world:
            await world.say({"id": "1", "text": "在吗"})
            await world.delivered()
            other.take()
            await world.look()
            await world.delivered()
            assert await world.assignees() == [other.agent]
            assert driver.assignee() is None
    finally:
        await other.simulator.stop()


async def test_a_customers_file_is_there_once(world: DeskWorld, driver: Driver) -> None:
    """With its name and its bytes."""
    await world.say({"id": "1", "text": "bild"})
    await world.attach(b"\x89PNG\r\n\x1a\n....", "发票.png")
    await world.delivered()
    kept = [one[1] if isinstance(one, tuple) else one for one in driver.simulator.files.values()]
    assert kept == [b"\x89PNG\r\n\x1a\n...."]
    assert "发票.png" in driver.shown() or "发票.png" in str(driver.simulator.files)


async def test_agents_see_channel_deadline_and_what_is_left(
    world: DeskWorld, driver: Driver
) -> None:
    """And a reply that could not go out, with the reason."""
    await world.say({"id": "1", "text": "在吗"})
    await world.say({"id": "2", "text": "hallo"})
    await world.delivered()
    assert "Test · shop" in driver.shown()
    driver.reply("song")
    await eventually(lambda: len(driver.simulator.answers) >= 1)
    await world.look_due()
    assert any("Not sent to the customer" in note for note in driver.notes())

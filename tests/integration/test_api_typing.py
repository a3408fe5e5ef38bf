"""Showing the customer by the API that somebody is writing."""

from types import SimpleNamespace
from typing import Any, cast

from hub.errors import Unreachable
from hub.ids import new_id, show_id
from hub.model import Address
from tests.apikit import Api, Client, TextSender, api


class TypingSender(TextSender):
    """A sender whose platform shows it, or cannot be reached."""

    def __init__(self, *, away: bool = False) -> None:
        self.shown: list[tuple[str, bool]] = []
        self._away = away

    async def typing(self, to: Address, *, on: bool) -> bool:
        if self._away:
            raise Unreachable("away")
        self.shown.append((to.value, on))
        return True


async def path_of(made: Api, client: Client) -> str:
    await made.say({"id": "m1", "from": "ann", "text": "hello"})
    found = (await client.get("/v1/conversations")).json["items"][0]
    return f"/v1/conversations/{found['id']}/typing"


class Accounts:
    """One account that sends by *sender*; *halted* are stopped."""

    def __init__(self, made: Api, sender: TextSender, *halted: str) -> None:
        self._account = SimpleNamespace(**vars(made.core.accounts.get("shop")) | {"sender": sender})
        self._halted = frozenset(halted)

    def get(self, _name: str) -> Any:
        return self._account

    async def stopped(self) -> frozenset[str]:
        return self._halted


async def test_it_is_shown_and_ended(database_url: str) -> None:
    """To the customer of that conversation; nothing is stored."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        path = await path_of(made, client)
        sender = TypingSender()
        made.core.accounts = cast("Any", Accounts(made, sender))
        assert (await client.post(path, {})).json == {"shown": True}
        assert (await client.post(path, {"on": False})).json == {"shown": True}
        assert sender.shown == [("ann", True), ("ann", False)]


async def test_where_it_cannot_be_shown(database_url: str) -> None:
    """A channel without it, a platform that is away, a stopped account: it is a courtesy."""
    async with api(database_url) as made:
        client = await made.client("read", "reply")
        path = await path_of(made, client)
        assert (await client.post(path, {})).json == {"shown": False}
        for sender, halted in ((TypingSender(away=True), ()), (TypingSender(), ("shop",))):
            made.core.accounts = cast("Any", Accounts(made, sender, *halted))
            assert (await client.post(path, {})).json == {"shown": False}
            assert sender.shown == []


async def test_who_may(database_url: str) -> None:
    """Whoever may reply, in a conversation that they see."""
    async with api(database_url) as made:
        reader, client = await made.client("read"), await made.client("read", "reply")
        path = await path_of(made, client)
        assert (await reader.post(path, {})).status == 403
        unknown = f"/v1/conversations/{show_id('cnv', new_id())}/typing"
        assert (await client.post(unknown, {})).status == 404
        assert (await client.post(path, {"off": True})).status == 422

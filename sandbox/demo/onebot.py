"""The QQ account of the demo."""

import time

from sandbox.demo.part import DemoPart, Place, account_toml
from sandbox.helpdesk import Helpdesk
from sandbox.onebot import OneBotCredentials, OneBotSimulator
from sandbox.onebot.app import QQApp

ACCOUNT = "qq_friends"
GREETING = "在吗？上周买的灯不亮了。"
ANSWER = "在的！请拍一下灯的底座，我们给您换一只。"


class OneBotPart(DemoPart):
    name = "QQ"

    def __init__(self, place: Place) -> None:
        credentials = place.secrets.record("onebot", OneBotCredentials)
        self._port = place.ports["onebot"]
        self._greeter = place.people[0]
        door = f"{place.hub_url}/in/onebot/{ACCOUNT}".replace("http", "ws", 1)
        self.simulator = OneBotSimulator(credentials, websocket_url=door)
        self.app: QQApp = QQApp(self.simulator, place.people)

    def settings_toml(self) -> str:
        made = self.simulator.credentials
        return account_toml(
            ACCOUNT,
            "onebot",
            self_id=made.self_id,
            secret=made.secret,
            access_token=made.access_token,
            groups="all",
        )

    async def start(self) -> None:
        await self.simulator.start(self._port)

    async def stop(self) -> None:
        await self.simulator.stop()

    async def greet(self, desk: Helpdesk, timeout: float) -> float:
        desk.answer_greeting(GREETING, ANSWER)
        await self.simulator.connected(timeout)
        number, started = int(self.app.address(self._greeter)), time.monotonic()
        said = self.simulator.phone(number)
        after = said[-1].number if said else 0
        await self.simulator.say(number, GREETING)
        await self.simulator.world.screens.wait_for(
            str(number), lambda one: one.author == "account" and one.number > after, timeout
        )
        return time.monotonic() - started

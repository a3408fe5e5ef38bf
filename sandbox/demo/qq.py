"""The QQ bot of the demo."""

import time

from sandbox.demo.part import DemoPart, Place, account_toml
from sandbox.helpdesk import Helpdesk
from sandbox.qq import QqCredentials, QqSimulator
from sandbox.qq.app import QqBotApp

ACCOUNT = "qq_bot"
GREETING = "你们周末营业吗？"
ANSWER = "周末照常营业，上午十点到晚上八点。"


class QqPart(DemoPart):
    name = "QQ bot"

    def __init__(self, place: Place) -> None:
        credentials = place.secrets.record("qq", QqCredentials)
        self._port = place.ports["qq"]
        self._greeter = place.people[0]
        door = f"{place.hub_url}/in/qq/{ACCOUNT}"
        self.simulator = QqSimulator(credentials, callback_url=door)
        self.app: QqBotApp = QqBotApp(self.simulator, place.people)

    def settings_toml(self) -> str:
        made = self.simulator.credentials
        api_base = f"http://127.0.0.1:{self._port}"
        return account_toml(
            ACCOUNT, "qq", app_id=made.app_id, secret=made.secret, api_base=api_base
        )

    async def start(self) -> None:
        await self.simulator.start(self._port)

    async def stop(self) -> None:
        await self.simulator.stop()

    async def greet(self, desk: Helpdesk, timeout: float) -> float:
        desk.answer_greeting(GREETING, ANSWER)
        key, started = f"c2c:{self.app.address(self._greeter)}", time.monotonic()
        after = self.simulator.screens.newest(key)
        pushed = await self.simulator.write(self._greeter.name, GREETING)
        if pushed is None or not pushed.acked:
            raise ConnectionError("the hub did not take the message of the QQ bot")
        await self.simulator.screens.wait_for_answer(key, after=after, timeout=timeout)
        return time.monotonic() - started

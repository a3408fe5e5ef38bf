"""The enterprise's own app in the demo."""

import time

from sandbox.demo.part import DemoPart, Place, account_toml
from sandbox.helpdesk import Helpdesk
from sandbox.wecom import CorpCredentials, WeComSimulator
from sandbox.wecom.app import WeComApp

ACCOUNT = "staff"
GREETING = "请问这个月的考勤在哪里看？"
ANSWER = "在企业微信的工作台里，打开“打卡”就能看到。"


class WeComPart(DemoPart):
    name = "WeCom"

    def __init__(self, place: Place) -> None:
        credentials = place.secrets.record("wecom", CorpCredentials)
        self._port = place.ports["wecom"]
        self._greeter = place.people[2]
        self.simulator = WeComSimulator(
            credentials, callback_url=f"{place.hub_url}/in/wecom/{ACCOUNT}"
        )
        self.app: WeComApp = WeComApp(self.simulator, place.people)
        for person in place.people:
            self.simulator.members.meet(self.app.address(person))

    def settings_toml(self) -> str:
        made = self.simulator.credentials
        return account_toml(
            ACCOUNT,
            "wecom",
            corp_id=made.corp_id,
            agent_id=made.agent_id,
            secret=made.secret,
            token=made.token,
            aes_key=made.aes_key,
            api_base=f"http://127.0.0.1:{self._port}",
        )

    async def start(self) -> None:
        await self.simulator.start(self._port)

    async def stop(self) -> None:
        await self.simulator.stop()

    async def greet(self, desk: Helpdesk, timeout: float) -> float:
        desk.answer_greeting(GREETING, ANSWER)
        userid, started = self.app.address(self._greeter), time.monotonic()
        seen = self.simulator.members.newest(userid)
        result = await self.simulator.push_text(userid, GREETING)
        if not result.acked:
            why = f"{result.outcome} {result.status} {result.errors}"
            raise ConnectionError(f"the hub did not take the message: {why}")
        await self.simulator.members.wait_for_answer(userid, after=seen, timeout=timeout)
        return time.monotonic() - started

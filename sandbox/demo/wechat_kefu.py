"""Customer service in the demo."""

import secrets
import time

from sandbox.demo.part import DemoPart, Place, account_toml
from sandbox.helpdesk import Helpdesk
from sandbox.wechat_kefu import KefuSimulator
from sandbox.wechat_kefu.app import KefuApp
from sandbox.wecom import CorpCredentials

ACCOUNT = "care"
GREETING = "你好，台灯坏了可以换吗？"
ANSWER = "可以的，七天内免费换新。"


class KefuPart(DemoPart):
    name = "WeChat customer service"

    def __init__(self, place: Place) -> None:
        credentials = place.secrets.record("wechat_kefu", CorpCredentials)
        self._port = place.ports["wechat_kefu"]
        self._greeter = place.people[0]
        self.simulator = KefuSimulator(
            credentials, callback_url=f"{place.hub_url}/in/wechat_kefu/{ACCOUNT}"
        )
        own = place.secrets.text("open_kfid", lambda: f"wk{secrets.token_urlsafe(20)}")
        self.desk = self.simulator.desks.open("灯火小铺", own, first=int(time.time() * 1000))
        self.app: KefuApp = KefuApp(self.simulator, place.people, self.desk)
        for person in place.people:
            own = self.app.address(person)
            self.simulator.meet(person.name, own, unionid=person.unionid)

    def settings_toml(self) -> str:
        made = self.simulator.credentials
        return account_toml(
            ACCOUNT,
            "wechat_kefu",
            corp_id=made.corp_id,
            secret=made.secret,
            token=made.token,
            aes_key=made.aes_key,
            open_kfids=[self.desk],
            poll_s=5,
            welcome_text="您好，欢迎光临灯火小铺！",
            goodbye_text="感谢您的来信，再见！",
            api_base=f"http://127.0.0.1:{self._port}",
        )

    async def start(self) -> None:
        """Whoever wrote to an earlier process may still be answered."""
        await self.simulator.start(self._port)
        for person in self.app.people:
            place = self.simulator.desks.get(self.desk)
            self.simulator.desks.customer_wrote(place, self.app.address(person))

    async def stop(self) -> None:
        await self.simulator.stop()

    async def greet(self, desk: Helpdesk, timeout: float) -> float:
        desk.answer_greeting(GREETING, ANSWER)
        customer, started = self.app.address(self._greeter), time.monotonic()
        seen = self.simulator.phones.newest(customer)
        self.simulator.write(self.desk, customer, content=GREETING)
        result = await self.simulator.ring(self.desk)
        if not result.acked:
            why = f"{result.outcome} {result.status} {result.errors}"
            raise ConnectionError(f"the hub did not take the bell: {why}")
        await self.simulator.phones.wait_for_answer(customer, after=seen, timeout=timeout)
        return time.monotonic() - started

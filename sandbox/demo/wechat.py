"""The official account of the demo."""

import time
from dataclasses import asdict

from sandbox.demo.part import DemoPart, Place, account_toml
from sandbox.helpdesk import Helpdesk
from sandbox.wechat import WeChatCredentials, WeChatSimulator
from sandbox.wechat.app import WeChatApp

ACCOUNT = "shop"
GREETING = "你好，请问今天几点关门？"
ANSWER = "您好！今天营业到晚上九点，欢迎光临。"


class WeChatPart(DemoPart):
    name = "WeChat"

    def __init__(self, place: Place) -> None:
        self._credentials = place.secrets.record("wechat", WeChatCredentials)
        self._port = place.ports["wechat"]
        self._greeter = place.people[0]
        self.simulator = WeChatSimulator(
            **asdict(self._credentials), callback_url=f"{place.hub_url}/in/wechat/{ACCOUNT}"
        )
        self.app: WeChatApp = WeChatApp(self.simulator, place.people)

    def settings_toml(self) -> str:
        api_base = f"http://127.0.0.1:{self._port}"
        return account_toml(
            ACCOUNT, "wechat", **asdict(self._credentials), mode="safe", api_base=api_base
        )

    async def start(self) -> None:
        await self.simulator.start(self._port)
        self.app.welcome_back()

    async def stop(self) -> None:
        await self.simulator.stop()

    async def greet(self, desk: Helpdesk, timeout: float) -> float:
        desk.answer_greeting(GREETING, ANSWER)
        openid, started = self.app.address(self._greeter), time.monotonic()
        seen = self.simulator.customers.newest(openid)
        result = await self.simulator.push_text(openid, GREETING)
        if not result.acked:
            why = f"{result.outcome} {result.status} {result.errors}"
            raise ConnectionError(f"the hub did not take the message: {why}")
        await self.simulator.wait_for_answer(openid, after=seen, timeout=timeout)
        return time.monotonic() - started

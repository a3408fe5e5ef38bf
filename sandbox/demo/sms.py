"""Two numbers of the demo: one with Twilio, one with Alibaba Cloud."""

import asyncio
import secrets
import time

from sandbox.demo.part import DemoPart, Place, account_toml, quoted
from sandbox.helpdesk import Helpdesk
from sandbox.phones import Screens
from sandbox.sms import AliyunSimulator, TwilioSimulator
from sandbox.sms.app import ALIYUN, TWILIO, SmsApp

TWILIO_ACCOUNT, ALIYUN_ACCOUNT = "texts", "sms"
GREETING = "Do you deliver on Saturdays?"
ANSWER = "Yes, from ten to four."
MAINLAND_GREETING = "台灯什么时候发货？"
MAINLAND_ANSWER = "您的订单A17已发货。"
TEMPLATES = {
    "shipped": ("SMS_100000001", "您的订单{order}已发货。", {}),
    "answer": ("SMS_100000002", "客服回复：{content}", {"content": "{text}"}),
    "elsewhere": (
        "SMS_100000003",
        "客服已回复您，编号{code}，请在公众号查看。",
        {"code": "{code}"},
    ),
}


class SmsPart(DemoPart):
    name = "SMS"

    def __init__(self, place: Place) -> None:
        self._ports = place.ports["twilio"], place.ports["aliyun"]
        self._hub_url = place.hub_url
        self._intake_secret = place.secrets.text("sms_intake_secret")
        screens = Screens(time.time)
        self.twilio = TwilioSimulator(
            callback_url=f"{place.hub_url}/in/sms_twilio/{TWILIO_ACCOUNT}#rc=3&rp=all",
            screens=screens,
            chat=TWILIO,
        )
        self.twilio.account_sid = place.secrets.text(
            "twilio_sid", lambda: f"AC{secrets.token_hex(16)}"
        )
        self.twilio.auth_token = place.secrets.text("twilio_token")
        self.aliyun = AliyunSimulator(
            callback_url=f"{place.hub_url}/in/sms_aliyun/{ALIYUN_ACCOUNT}/{self._intake_secret}",
            screens=screens,
            chat=ALIYUN,
        )
        self.aliyun.access_key_id = place.secrets.text("aliyun_key_id")
        self.aliyun.access_key_secret = place.secrets.text("aliyun_key_secret")
        self.aliyun.templates = {
            own: text.replace("{", "${") for own, text, _ in TEMPLATES.values()
        }
        self.app: SmsApp = SmsApp(screens, self.twilio, self.aliyun, place.people)
        self._greeters = place.people[1], place.people[0]

    def settings_toml(self) -> str:
        twilio = account_toml(
            TWILIO_ACCOUNT,
            "sms_twilio",
            account_sid=self.twilio.account_sid,
            auth_token=self.twilio.auth_token,
            from_number=self.twilio.number,
            public_url=self._hub_url,
            api_base=f"http://127.0.0.1:{self._ports[0]}",
        )
        aliyun = account_toml(
            ALIYUN_ACCOUNT,
            "sms_aliyun",
            access_key_id=self.aliyun.access_key_id,
            access_key_secret=self.aliyun.access_key_secret,
            sign_name=self.aliyun.sign_name,
            intake_secret=self._intake_secret,
            fallback_template="elsewhere",
            api_base=f"http://127.0.0.1:{self._ports[1]}",
        )
        return "\n".join([twilio, aliyun, *map(_template_toml, TEMPLATES)])

    async def start(self) -> None:
        await self.twilio.start(self._ports[0])
        await self.aliyun.start(self._ports[1])

    async def stop(self) -> None:
        await self.twilio.stop()
        await self.aliyun.stop()

    async def greet(self, desk: Helpdesk, timeout: float) -> float:
        """Both ways at once; the slower one counts."""
        desk.answer_greeting(GREETING, ANSWER)
        desk.answer_greeting(MAINLAND_GREETING, MAINLAND_ANSWER)
        started = time.monotonic()
        person, other = map(self.app.address, self._greeters)
        screens = self.twilio.screens
        keys = self.twilio.key_of(person), self.aliyun.key_of(other)
        seen = [screens.newest(key) for key in keys]
        pushed = await asyncio.gather(
            self.twilio.text(person, GREETING), self.aliyun.text(other, MAINLAND_GREETING)
        )
        if not all(one.acked for one in pushed):
            raise ConnectionError("the hub did not take a text")
        for key, after in zip(keys, seen, strict=True):
            await screens.wait_for_answer(key, after=after, timeout=timeout)
        return time.monotonic() - started


def _template_toml(name: str) -> str:
    own, text, params = TEMPLATES[name]
    filled = ", ".join(f"{key} = {quoted(value)}" for key, value in params.items())
    head = f"[accounts.{ALIYUN_ACCOUNT}.templates.{name}]"
    return f"{head}\nid = {quoted(own)}\ntext = {quoted(text)}\nparams = {{ {filled} }}\n"

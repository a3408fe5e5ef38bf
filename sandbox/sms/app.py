"""Texts on the phones of the demo: a number of Twilio's, and one of Alibaba Cloud's."""

from collections.abc import Mapping, Sequence
from typing import cast

from sandbox.faults import FaultKind
from sandbox.files import File
from sandbox.phones import (
    App,
    AppSpec,
    Chat,
    Field,
    Given,
    Person,
    Screens,
    Switch,
    SwitchBoard,
    Tool,
    Words,
    samples,
    writing,
)
from sandbox.sms.aliyun import AliyunSimulator
from sandbox.sms.platform import Reports, SmsPlatform
from sandbox.sms.twilio import TwilioSimulator

__all__ = ["SmsApp"]

TWILIO, ALIYUN = "twilio", "aliyun"
_REPORTS = (
    ("delivered", Words("Delivered", "送达")),
    ("failed", Words("Failed", "失败")),
    ("never", Words("No reports", "无回执")),
    ("reversed", Words("In the wrong order", "乱序")),
)
_HOWS = (
    ("drop_request", Words("Cut before it acts", "处理前断开")),
    ("drop_answer", Words("Act, then cut", "处理后断开")),
    ("bad_gateway", Words("Act, then answer 502", "处理后返回 502")),
)
_HOW = Field("how", Words("How", "方式"), "drop_answer", options=_HOWS)
_WHAT = Field("what", Words("Reports", "回执"), "failed", options=_REPORTS)


class SmsApp(App):
    """Everyone has one number, and a chat with each of the shop's two."""

    def __init__(
        self,
        screens: Screens,
        twilio: TwilioSimulator,
        aliyun: AliyunSimulator,
        people: Sequence[Person],
    ) -> None:
        self.twilio, self.aliyun = twilio, aliyun
        super().__init__(screens, people, _board((twilio, aliyun)))
        chats = (
            Chat(TWILIO, Words("Shop (Twilio)", "商店（Twilio）")),
            Chat(ALIYUN, Words("Shop (Alibaba Cloud)", "商店（阿里云）")),
        )
        tools = (
            Tool(
                "image",
                Words("Photo (MMS)", "照片（彩信）"),
                "picture",
                self._photo,
                (),
                "image/*",
                samples.PICTURE,
            ),
            Tool("stop", Words("Opt out", "退订"), "pause", self._stop),
            Tool("start", Words("Opt in", "恢复订阅"), "check", self._start),
        )
        self._spec = AppSpec(
            "sms",
            Words("Texts", "短信"),
            "phone",
            "#1f9d55",
            chats,
            writing(self._write),
            tools=tools,
        )

    @property
    def spec(self) -> AppSpec:
        return self._spec

    def address(self, person: Person) -> str:
        """A number of nobody's: the 138-0013-8xxx block is kept for samples."""
        return f"+8613800138{self.people.index(person):03}"

    def screen_key(self, person: Person, chat: Chat) -> str:
        platform: SmsPlatform = self.twilio if chat.key == TWILIO else self.aliyun
        return platform.key_of(self.address(person))

    def file(self, media_id: str) -> File:
        raise KeyError(media_id)

    async def _write(self, given: Given) -> None:
        await self._say(given, given.fields["text"])

    async def _say(self, given: Given, text: str) -> None:
        number = self.address(given.person)
        if given.chat == TWILIO:
            await self.twilio.text(number, text)
        else:
            await self.aliyun.text(number, text)

    async def _photo(self, given: Given) -> None:
        picked = given.picked
        number = self.address(given.person)
        await self.twilio.text(number, "", media=[(picked.mime_type, picked.content)])

    async def _stop(self, given: Given) -> None:
        await self._say(given, "STOP" if given.chat == TWILIO else "退订")

    async def _start(self, given: Given) -> None:
        await self._say(given, "START")


def _board(platforms: Sequence[SmsPlatform]) -> SwitchBoard:
    def reports(asked: Mapping[str, str]) -> None:
        for platform in platforms:
            platform.reports = cast("Reports", asked["what"])

    def fail(asked: Mapping[str, str]) -> None:
        for platform in platforms:
            platform.fail(cast("FaultKind", asked["how"]))

    def well_again(asked: Mapping[str, str]) -> None:
        for platform in platforms:
            platform.faults.clear()
            platform.reports = "delivered"

    def pending() -> list[str]:
        waiting = [one.kind for platform in platforms for one in platform.faults.waiting()]
        changed = {f"reports: {one.reports}" for one in platforms if one.reports != "delivered"}
        return [*waiting, *sorted(changed)]

    return SwitchBoard(
        (
            Switch(
                "reports",
                Words("Change the reports", "改变回执"),
                Words("What the networks say of the next texts.", "运营商对后续短信的回执。"),
                reports,
                (_WHAT,),
            ),
            Switch(
                "fail_call",
                Words("Fail the next call", "让下一次调用失败"),
                Words("At both providers, once each.", "两个服务商各一次。"),
                fail,
                (_HOW,),
            ),
            Switch(
                "well_again",
                Words("All well again", "恢复正常"),
                Words("Nothing more goes wrong by itself.", "不再出任何故障。"),
                well_again,
            ),
        ),
        pending,
    )

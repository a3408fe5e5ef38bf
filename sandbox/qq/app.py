"""The bot on the phones of the demo: a chat with it alone, and a group that it is in."""

from collections.abc import Sequence

from sandbox.files import File
from sandbox.phones import (
    App,
    AppSpec,
    Chat,
    Field,
    Given,
    Person,
    Tool,
    Words,
    choosing,
    samples,
    writing,
)
from sandbox.qq.simulator import QqSimulator
from sandbox.qq.switches import qq_board

__all__ = ["GROUP", "QqBotApp"]

BOT = Words("Lamp House bot", "灯火小铺机器人")
NEIGHBOURS = Words("Neighbours", "老街坊")
GROUP = "老街坊"
SAID = Field("text", Words("Text", "文字"), "今天几点开门？", "long")


class QqBotApp(App):
    """Writes alone and in the group, mentions the bot, taps buttons, switches its messages off."""

    def __init__(self, simulator: QqSimulator, people: Sequence[Person]) -> None:
        super().__init__(simulator.screens, people, qq_board(simulator))
        self._simulator = simulator
        self._spec = self._made()

    @property
    def spec(self) -> AppSpec:
        return self._spec

    def address(self, person: Person) -> str:
        return self._simulator.openid(person.name)

    def screen_key(self, person: Person, chat: Chat) -> str:
        if chat.is_group:
            return f"group:{self._simulator.openid(GROUP)}"
        return f"c2c:{self.address(person)}"

    def file(self, media_id: str) -> File:
        return self._simulator.files.get(media_id)

    # ---------------------------------------------------------------------

    def _made(self) -> AppSpec:
        tools = (
            Tool("mention", Words("Mention the bot", "@机器人"), "chat", self._mention, (SAID,)),
            Tool(
                "image",
                Words("Photo", "图片"),
                "picture",
                self._file,
                (),
                "image/*",
                samples.PICTURE,
            ),
            Tool("video", Words("Video", "视频"), "film", self._file, (), "video/*", samples.VIDEO),
            Tool("file", Words("File", "文件"), "file", self._file, (), "*/*", samples.DOCUMENT),
            Tool("reject", Words("Refuse messages", "关闭主动消息"), "undo", self._reject),
            Tool("receive", Words("Allow messages", "开启主动消息"), "heart", self._receive),
        )
        chats = (Chat("bot", BOT), Chat("group", NEIGHBOURS, is_group=True))
        return AppSpec(
            "qq",
            Words("QQ bot", "QQ 机器人"),
            "qq",
            "#0099ff",
            chats,
            writing(self._write),
            choosing(self._choose),
            tools,
        )

    def _group(self, given: Given) -> str:
        return GROUP if self.spec.chat(given.chat).is_group else ""

    async def _write(self, given: Given) -> None:
        name, said = given.person.name, given.fields["text"]
        if group := self._group(given):
            await self._simulator.write_in_group(group, name, said, mention=False)
        else:
            await self._simulator.write(name, said)

    async def _mention(self, given: Given) -> None:
        name, said = given.person.name, given.fields["text"]
        if group := self._group(given):
            await self._simulator.write_in_group(group, name, said)
        else:
            await self._simulator.write(name, said)

    async def _file(self, given: Given) -> None:
        name, group = given.person.name, self._group(given)
        await self._simulator.send_file(name, given.picked, group=group)

    async def _choose(self, given: Given) -> None:
        name, group = given.person.name, self._group(given)
        await self._simulator.tap(name, given.fields["choice"], group=group)

    async def _reject(self, given: Given) -> None:
        await self._switch(given, "REJECT")

    async def _receive(self, given: Given) -> None:
        await self._switch(given, "RECEIVE")

    async def _switch(self, given: Given, what: str) -> None:
        name = given.person.name
        if group := self._group(given):
            await self._simulator.change_group(group, name, f"GROUP_MSG_{what}")
        else:
            await self._simulator.befriend(name, f"C2C_MSG_{what}")

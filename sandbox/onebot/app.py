"""QQ on the phones of the demo: a chat with the shop's account, and a group that it is in."""

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.files import File
from sandbox.onebot.people import Group, Said
from sandbox.onebot.simulator import OneBotSimulator
from sandbox.onebot.switches import onebot_board
from sandbox.phones import (
    App,
    AppSpec,
    Chat,
    Field,
    Given,
    NotPossible,
    Person,
    Tool,
    Words,
    samples,
    writing,
)

__all__ = ["QQApp"]

SHOP = Words("Lamp House", "灯火小铺")
FRIENDS = Words("Friends of lamps", "灯友会")
GROUP_NUMBER = 20002000
FIRST_NUMBER = 12_345_678
SAID = Field("text", Words("Text", "文字"), "这盏灯还有货吗？", "long")
FACE = Field("id", Words("Number", "编号"), "14", "number")


class QQApp(App):
    """Writes in private and in the group, sends files, quotes, recalls and pokes."""

    def __init__(self, simulator: OneBotSimulator, people: Sequence[Person]) -> None:
        super().__init__(simulator.world.screens, people, onebot_board(simulator))
        self._simulator = simulator
        self._numbers = {person.key: FIRST_NUMBER + n for n, person in enumerate(people)}
        for person in people:
            simulator.world.befriend(self._numbers[person.key], person.name)
        members = {self._numbers[person.key]: person.name for person in people}
        self._group = simulator.world.found(GROUP_NUMBER, FRIENDS.zh, members)
        self._spec = self._made()

    @property
    def spec(self) -> AppSpec:
        return self._spec

    def address(self, person: Person) -> str:
        return str(self._numbers[person.key])

    def screen_key(self, person: Person, chat: Chat) -> str:
        return f"group:{GROUP_NUMBER}" if chat.is_group else self.address(person)

    def file(self, media_id: str) -> File:
        return self._simulator.world.files[media_id]

    # ---------------------------------------------------------------------

    def _made(self) -> AppSpec:
        photo, voice, video = samples.PICTURE, samples.VOICE, samples.VIDEO
        tools = (
            Tool("mention", Words("Mention the shop", "@商家"), "chat", self._mention, (SAID,)),
            Tool("quote", Words("Quote the last", "引用上一条"), "link", self._quote, (SAID,)),
            Tool("image", Words("Photo", "图片"), "picture", self._image, (), "image/*", photo),
            Tool("voice", Words("Voice", "语音"), "mic", self._voice, (), "audio/*", voice),
            Tool("video", Words("Video", "视频"), "film", self._video, (), "video/*", video),
            Tool(
                "file", Words("File", "文件"), "file", self._document, (), "*/*", samples.DOCUMENT
            ),
            Tool("face", Words("Face", "表情"), "smile", self._face, (FACE,)),
            Tool("recall", Words("Recall", "撤回"), "undo", self._recall),
            Tool("poke", Words("Poke", "戳一戳"), "heart", self._poke),
        )
        chats = (Chat("shop", SHOP), Chat("group", FRIENDS, is_group=True))
        return AppSpec(
            "onebot", Words("QQ", "QQ"), "qq", "#12b7f5", chats, writing(self._write), tools=tools
        )

    def _where(self, given: Given) -> Group | None:
        return self._group if self.spec.chat(given.chat).is_group else None

    async def _say(
        self, given: Given, content: str | Sequence[Mapping[str, Any]], *, mention: bool = False
    ) -> None:
        await self._simulator.say(
            int(self.address(given.person)), content, group=self._where(given), mention=mention
        )

    async def _write(self, given: Given) -> None:
        await self._say(given, given.fields["text"])

    async def _mention(self, given: Given) -> None:
        await self._say(given, given.fields["text"], mention=True)

    async def _quote(self, given: Given) -> None:
        quoted = self._last(given, own=False)
        text = {"type": "text", "data": {"text": given.fields["text"]}}
        await self._say(given, [{"type": "reply", "data": {"id": str(quoted.number)}}, text])

    async def _face(self, given: Given) -> None:
        await self._say(given, [{"type": "face", "data": {"id": given.fields["id"]}}])

    async def _image(self, given: Given) -> None:
        await self._send(given, "image")

    async def _voice(self, given: Given) -> None:
        await self._send(given, "record")

    async def _video(self, given: Given) -> None:
        await self._send(given, "video")

    async def _document(self, given: Given) -> None:
        await self._send(given, "file")

    async def _send(self, given: Given, kind: str) -> None:
        who = int(self.address(given.person))
        await self._simulator.send_file(who, kind, given.picked, group=self._where(given))

    async def _recall(self, given: Given) -> None:
        await self._simulator.recall(self._last(given, own=True))

    async def _poke(self, given: Given) -> None:
        group = self._where(given)
        who = {"user_id": int(self.address(given.person)), "sub_type": "poke"}
        target = {"target_id": self._simulator.credentials.self_id}
        place = {"group_id": group.number} if group else {}
        event = self._simulator.events.notice("notify", **who, **target, **place)
        await self._simulator.push(event)

    def _last(self, given: Given, *, own: bool) -> Said:
        """The last message here of this person, or of anybody."""
        who, group = int(self.address(given.person)), self._where(given)
        peer = group.number if group else who
        for said in reversed(self._simulator.world.history):
            here = (said.peer, said.is_group) == (peer, group is not None)
            if here and (not own or said.user_id == who):
                return said
        raise NotPossible("nothing has been said here")

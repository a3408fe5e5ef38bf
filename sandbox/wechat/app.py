"""The official account on the phones of the demo: every message and every tap of a follower."""

import base64
import hashlib
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
from sandbox.phones.fields import LABEL, LATITUDE, LONGITUDE, TITLE, URL
from sandbox.wechat import messages
from sandbox.wechat.messages import UserAction
from sandbox.wechat.simulator import WeChatSimulator

SHOP = Words("Lamp House", "灯火小铺")
HEARD = Field("heard", Words("What the platform heard", "语音识别结果"), "请问明天开门吗？")
MENU_KEY = Field("key", Words("Key", "菜单键值"), "ORDERS")
SCENE = Field("scene", Words("Scene", "场景值"), "poster")


class WeChatApp(App):
    """Follows, writes, sends files and places, taps the menus of the account."""

    def __init__(self, simulator: WeChatSimulator, people: Sequence[Person]) -> None:
        super().__init__(simulator.customers, people, simulator.board)
        self._simulator = simulator
        self._spec = self._made()
        for person in people:
            simulator.customers.meet(self.address(person)).unionid = person.unionid

    @property
    def spec(self) -> AppSpec:
        return self._spec

    def address(self, person: Person) -> str:
        """Always the same for an account, and different in every account, as on the platform."""
        app_id = self._simulator.credentials.app_id
        digest = hashlib.sha256(f"{app_id}:{person.key}".encode()).digest()
        return "o" + base64.urlsafe_b64encode(digest).decode()[:27]

    def may_write(self, person: Person, chat: Chat) -> bool:
        return self._simulator.customers.meet(self.address(person)).is_following

    def file(self, media_id: str) -> File:
        media = self._simulator.media.get(media_id)
        return File(media.filename, media.mime_type, media.content)

    def welcome_back(self) -> None:
        """The hub may remember conversations of an earlier start: their people are known again.

        Their reply window opens too, because its end went with the old process.
        """
        for person in self.people:
            customer = self._simulator.customers.meet(self.address(person))
            customer.open_allowance("message", self._simulator.clock())

    # ---------------------------------------------------------------------

    def _made(self) -> AppSpec:
        return AppSpec(
            "wechat",
            Words("WeChat", "微信"),
            "wechat",
            "#07c160",
            (Chat("shop", SHOP),),
            writing(self._write),
            choosing(self._choose),
            self._tools(),
            Words("Follow the account to write to it", "关注公众号后才能发消息"),
        )

    def _tools(self) -> tuple[Tool, ...]:
        photo, voice, video = samples.PICTURE, samples.VOICE, samples.VIDEO
        place, link = (LATITUDE, LONGITUDE, LABEL), (TITLE, URL)
        return (
            Tool("follow", Words("Follow", "关注"), "heart", self._follow, when="closed"),
            Tool("image", Words("Photo", "照片"), "picture", self._image, (), "image/*", photo),
            Tool("voice", Words("Voice", "语音"), "mic", self._voice, (HEARD,), "audio/*", voice),
            Tool("video", Words("Video", "视频"), "film", self._video, (), "video/*", video),
            Tool(
                "shortvideo",
                Words("Short video", "小视频"),
                "film",
                self._short,
                (),
                "video/*",
                video,
            ),
            Tool("location", Words("Location", "位置"), "pin", self._location, place),
            Tool("link", Words("Link", "链接"), "link", self._link, link),
            Tool("page", Words("Mini program", "小程序"), "code", self._page, (TITLE,)),
            Tool("sticker", Words("Sticker", "表情"), "smile", self._sticker),
            Tool("click", Words("Menu: click", "菜单：点击"), "menu", self._click, (MENU_KEY,)),
            Tool("view", Words("Menu: page", "菜单：网页"), "menu", self._view, (URL,)),
            Tool("scan", Words("Scan code", "扫一扫"), "scan", self._scan, (SCENE,)),
            Tool("unfollow", Words("Unfollow", "取消关注"), "heart", self._unfollow),
        )

    async def _push(self, action: UserAction) -> None:
        await self._simulator.push(action)

    async def _write(self, given: Given) -> None:
        await self._push(messages.text(self.address(given.person), given.fields["text"]))

    async def _choose(self, given: Given) -> None:
        who, fields = self.address(given.person), given.fields
        await self._push(messages.text(who, fields["label"], menu_choice=fields["choice"]))

    async def _image(self, given: Given) -> None:
        file = given.picked
        await self._simulator.push_image(self.address(given.person), file.content, file.filename)

    async def _voice(self, given: Given) -> None:
        who, heard = self.address(given.person), given.fields["heard"]
        await self._simulator.push_voice(who, given.picked.content, recognition=heard)

    async def _video(self, given: Given) -> None:
        await self._simulator.push_video(self.address(given.person), given.picked.content)

    async def _short(self, given: Given) -> None:
        who = self.address(given.person)
        await self._simulator.push_video(who, given.picked.content, kind="shortvideo")

    async def _location(self, given: Given) -> None:
        place = given.number("latitude"), given.number("longitude")
        await self._simulator.push_location(
            self.address(given.person), *place, given.fields["label"]
        )

    async def _link(self, given: Given) -> None:
        who, fields = self.address(given.person), given.fields
        await self._push(messages.link(who, fields["title"], "", fields["url"]))

    async def _page(self, given: Given) -> None:
        await self._simulator.push_mini_program(self.address(given.person), given.fields["title"])

    async def _sticker(self, given: Given) -> None:
        """The platform does not hand over stickers, only that there was one."""
        await self._push(messages.text(self.address(given.person), messages.NOT_SHOWN))

    async def _click(self, given: Given) -> None:
        await self._push(messages.click(self.address(given.person), given.fields["key"]))

    async def _view(self, given: Given) -> None:
        await self._push(messages.view(self.address(given.person), given.fields["url"]))

    async def _scan(self, given: Given) -> None:
        await self._simulator.push_scan(self.address(given.person), given.fields["scene"])

    async def _follow(self, given: Given) -> None:
        await self._push(messages.subscribe(self.address(given.person)))

    async def _unfollow(self, given: Given) -> None:
        await self._push(messages.unsubscribe(self.address(given.person)))

"""The app of an enterprise on the phones of the demo: what a member can send and tap."""

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
from sandbox.wecom.simulator import WeComSimulator

__all__ = ["WeComApp"]

MENU_KEY = Field("key", Words("Key", "菜单键值"), "LEAVE")


class WeComApp(App):
    """A colleague writes to the app; the userid is the person's key."""

    def __init__(self, simulator: WeComSimulator, people: Sequence[Person]) -> None:
        super().__init__(simulator.members, people, simulator.board)
        self._simulator = simulator
        self._spec = AppSpec(
            "wecom",
            Words("WeCom", "企业微信"),
            "people",
            "#2f7de1",
            (Chat("app", Words("Lamp House staff", "灯火小铺·员工助手")),),
            writing(self._write),
            choosing(self._choose),
            self._tools(),
        )

    @property
    def spec(self) -> AppSpec:
        return self._spec

    def address(self, person: Person) -> str:
        return person.key

    def file(self, media_id: str) -> File:
        media = self._simulator.media.get(media_id)
        return File(media.filename, media.mime_type, media.content)

    def _tools(self) -> tuple[Tool, ...]:
        photo, voice, video = samples.PICTURE, samples.VOICE, samples.VIDEO
        place, link = (LATITUDE, LONGITUDE, LABEL), (TITLE, URL)
        return (
            Tool("image", Words("Photo", "照片"), "picture", self._image, (), "image/*", photo),
            Tool("voice", Words("Voice", "语音"), "mic", self._voice, (), "audio/*", voice),
            Tool("video", Words("Video", "视频"), "film", self._video, (), "video/*", video),
            Tool("location", Words("Location", "位置"), "pin", self._location, place),
            Tool("link", Words("Link", "链接"), "link", self._link, link),
            Tool("enter", Words("Open the app", "进入应用"), "door", self._enter),
            Tool("click", Words("Menu: click", "菜单：点击"), "menu", self._click, (MENU_KEY,)),
            Tool("view", Words("Menu: page", "菜单：网页"), "menu", self._view, (URL,)),
        )

    async def _write(self, given: Given) -> None:
        await self._simulator.push_text(given.person.key, given.fields["text"])

    async def _choose(self, given: Given) -> None:
        """A button of a card: it answers the card's task."""
        choice = given.fields["choice"]
        card = self.offered(given.person, given.chat, choice)
        await self._simulator.tap(given.person.key, choice, str(card.details.get("task_id")))

    async def _image(self, given: Given) -> None:
        await self._simulator.push_image(given.person.key, given.picked.content)

    async def _voice(self, given: Given) -> None:
        await self._simulator.push_voice(given.person.key, given.picked.content)

    async def _video(self, given: Given) -> None:
        await self._simulator.push_video(given.person.key, given.picked.content)

    async def _location(self, given: Given) -> None:
        place = given.number("latitude"), given.number("longitude")
        await self._simulator.push_location(given.person.key, *place, given.fields["label"])

    async def _link(self, given: Given) -> None:
        await self._simulator.push(
            messages.link(given.person.key, given.fields["title"], "", given.fields["url"])
        )

    async def _enter(self, given: Given) -> None:
        await self._simulator.push_event(given.person.key, "enter_agent", EventKey="")

    async def _click(self, given: Given) -> None:
        key = given.fields["key"]
        await self._simulator.push_event(given.person.key, "click", EventKey=key)

    async def _view(self, given: Given) -> None:
        await self._simulator.push_event(given.person.key, "view", EventKey=given.fields["url"])

"""Customer service on the phones of the demo: every type of item, from inside WeChat."""

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sandbox.files import File
from sandbox.phones import (
    App,
    AppSpec,
    Chat,
    Given,
    Person,
    Tool,
    Words,
    choosing,
    samples,
    writing,
)
from sandbox.phones.fields import LABEL, LATITUDE, LONGITUDE, TITLE, URL
from sandbox.wechat_kefu.simulator import KefuSimulator

__all__ = ["KefuApp"]

Act = Callable[[Given], Awaitable[None]]

CARDS: tuple[tuple[str, Words, str, Mapping[str, Any]], ...] = (
    ("business_card", Words("Business card", "名片"), "card", {"userid": "lisi"}),
    (
        "miniprogram",
        Words("Mini program", "小程序"),
        "code",
        {
            "title": "灯火小铺",
            "appid": "wxsandbox00000001",
            "pagepath": "pages/lamp?id=7",
            "thumb_media_id": "MEDIA",
        },
    ),
    (
        "channels_shop_product",
        Words("Product", "商品"),
        "card",
        {
            "product_id": "P7",
            "head_img": "https://shop.example/lamp.jpg",
            "title": "小台灯",
            "sales_price": "12900",
            "shop_nickname": "灯火小铺",
            "shop_head_img": "https://shop.example/logo.jpg",
        },
    ),
    (
        "channels_shop_order",
        Words("Order", "订单"),
        "card",
        {
            "order_id": "20261121007",
            "product_titles": "小台灯",
            "price_wording": "¥129.00",
            "state": "待发货",
            "image_url": "https://shop.example/lamp.jpg",
            "shop_nickname": "灯火小铺",
        },
    ),
    (
        "channels",
        Words("Channels post", "视频号动态"),
        "film",
        {"sub_type": 1, "nickname": "灯火小铺", "title": "新灯上架"},
    ),
    (
        "merged_msg",
        Words("Chat record", "聊天记录"),
        "chat",
        {
            "title": "小雨和妈妈的聊天记录",
            "item": [
                {
                    "send_time": 1_790_000_000,
                    "msgtype": "text",
                    "sender_name": "妈妈",
                    "msg_content": json.dumps(
                        {"msgtype": "text", "text": {"content": "灯到了吗？"}}, ensure_ascii=False
                    ),
                }
            ],
        },
    ),
    ("note", Words("Note", "笔记"), "card", {"title": "灯具尺寸"}),
    ("meeting", Words("Meeting", "会议"), "people", {"title": "看灯"}),
    ("schedule", Words("Schedule", "日程"), "clock", {"title": "周五送货"}),
)
"""Items that stand for themselves: the type, its label, its icon and its content."""


class KefuApp(App):
    """A person in WeChat who writes to the customer-service account *desk*."""

    def __init__(self, simulator: KefuSimulator, people: Sequence[Person], desk: str) -> None:
        super().__init__(simulator.phones, people, simulator.board)
        self._simulator = simulator
        self._desk = desk
        self._spec = AppSpec(
            "wechat_kefu",
            Words("Service", "微信客服"),
            "heart",
            "#2aae67",
            (Chat("desk", Words("Lamp House service", "灯火小铺·客服")),),
            writing(self._write),
            choosing(self._choose),
            self._tools(),
        )

    @property
    def spec(self) -> AppSpec:
        return self._spec

    def address(self, person: Person) -> str:
        """Always the same in an enterprise, as on the platform."""
        corp_id = self._simulator.credentials.corp_id
        digest = hashlib.sha256(f"{corp_id}:{person.key}".encode()).digest()
        return "wm" + base64.urlsafe_b64encode(digest).decode()[:30]

    def file(self, media_id: str) -> File:
        media = self._simulator.media.get(media_id)
        return File(media.filename, media.mime_type, media.content)

    def _tools(self) -> tuple[Tool, ...]:
        photo, voice, video = samples.PICTURE, samples.VOICE, samples.VIDEO
        place, link = (LATITUDE, LONGITUDE, LABEL), (TITLE, URL)
        send, paper = self._send_file, samples.DOCUMENT
        return (
            Tool("image", Words("Photo", "照片"), "picture", send("image"), (), "image/*", photo),
            Tool("voice", Words("Voice", "语音"), "mic", send("voice"), (), "audio/*", voice),
            Tool("video", Words("Video", "视频"), "film", send("video"), (), "video/*", video),
            Tool("file", Words("File", "文件"), "file", send("file"), (), "*/*", paper),
            Tool("location", Words("Location", "位置"), "pin", self._location, place),
            Tool("link", Words("Link", "链接"), "link", self._link, link),
            *(Tool(kind, label, icon, self._card(kind, said)) for kind, label, icon, said in CARDS),
            Tool("enter", Words("Open the chat", "进入会话"), "door", self._enter),
            Tool("recall", Words("Recall the last", "撤回上一条"), "undo", self._recall),
        )

    async def _say(self, given: Given, kind: str, **content: Any) -> None:
        self._simulator.write(self._desk, self.address(given.person), kind, **content)
        await self._simulator.ring(self._desk)

    async def _write(self, given: Given) -> None:
        await self._say(given, "text", content=given.fields["text"])

    async def _choose(self, given: Given) -> None:
        fields = given.fields
        await self._say(given, "text", content=fields["label"], menu_id=fields["choice"])

    def _send_file(self, kind: str) -> Act:
        async def act(given: Given) -> None:
            file = given.picked
            media = self._simulator.media.put(kind, file.filename, file.content)
            await self._say(given, kind, media_id=media.media_id)

        return act

    def _card(self, kind: str, content: Mapping[str, Any]) -> Act:
        async def act(given: Given) -> None:
            await self._say(given, kind, **content)

        return act

    async def _location(self, given: Given) -> None:
        place = {"latitude": given.number("latitude"), "longitude": given.number("longitude")}
        await self._say(given, "location", **place, name=given.fields["label"], address="")

    async def _link(self, given: Given) -> None:
        fields = given.fields
        await self._say(given, "link", title=fields["title"], desc="", url=fields["url"])

    async def _enter(self, given: Given) -> None:
        who = self.address(given.person)
        self._simulator.phones.show(who, "system", "enter_session", "进入会话")
        self._simulator.enter(self._desk, who)
        await self._simulator.ring(self._desk)

    async def _recall(self, given: Given) -> None:
        self._simulator.recall_last(self._desk, self.address(given.person))
        await self._simulator.ring(self._desk)

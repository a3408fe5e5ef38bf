"""The API of a self-built app, as far as a message hub calls it.

Source: https://developer.work.weixin.qq.com/document/path/90236
"""

import json
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from aiohttp import web

from sandbox.journal import Clock
from sandbox.wechat.media import MediaStore
from sandbox.wecom.calls import Answer, Calls, asked_of, required
from sandbox.wecom.errors import PlatformError
from sandbox.wecom.members import Members

__all__ = ["WeComApi"]

MAX_TEXT_BYTES = 2048
MAX_ARTICLES = 8
DEFAULT_CHECK_SECONDS = 1800
LONGEST_CHECK_SECONDS = 4 * 3600


class WeComApi(Calls):
    """``/cgi-bin/*`` for one app."""

    def __init__(self, agent_id: int, *, members: Members, clock: Clock, **common: Any) -> None:
        super().__init__(**common)
        self._agent_id = agent_id
        self._members = members
        self._clock = clock
        self._said: dict[str, float] = {}
        self._tasks: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        """Everything that is answered."""
        return [
            *self.common_routes(),
            web.route("*", "/cgi-bin/message/send", self.call(self._send)),
            web.route("*", "/cgi-bin/agent/get", self.call(self._agent)),
        ]

    async def _agent(self, request: web.Request) -> Answer:
        if request.query.get("agentid") != str(self._agent_id):
            raise PlatformError(40056)
        return {"agentid": self._agent_id, "name": "sandbox app", "close": 0}

    async def _send(self, request: web.Request) -> Answer:
        """Say it to each member who may see the app; 0 also when some of them may not."""
        asked = await asked_of(request)
        named = [one for one in str(asked.get("touser") or "").split("|") if one]
        try:
            if asked.get("agentid") != self._agent_id:
                raise PlatformError(40056)
            kind, shown = _checked(asked, self._media)
            if not named:
                raise PlatformError(82001)
            reached = [one for one in named if self._members.may_see(one)]
            if not reached:
                raise PlatformError(81013)
            repeated = self._is_repeat(asked)
            self._check_task(asked, repeated)
        except PlatformError as error:
            self._journal.write("send", to=named, errcode=error.code)
            raise
        heard = [] if repeated else [one for one in reached if self._members.hears(one)]
        for one in heard:
            self._members.show(one, "account", kind, shown.text, **shown.more)
        invalid = "|".join(one.lower() for one in named if one not in reached)
        message_id = secrets.token_urlsafe(32)
        self._journal.write(
            "send", to=named, errcode=0, msgtype=kind, text=shown.text, repeated=repeated
        )
        return {"invaliduser": invalid, "invalidparty": "", "invalidtag": "", "msgid": message_id}

    def _is_repeat(self, asked: Mapping[str, Any]) -> bool:
        """Whether the same was said to the same within the interval that the caller asks for."""
        if asked.get("enable_duplicate_check") != 1:
            return False
        interval = asked.get("duplicate_check_interval", DEFAULT_CHECK_SECONDS)
        if not isinstance(interval, int) or not 0 < interval <= LONGEST_CHECK_SECONDS:
            raise PlatformError(40058, "duplicate_check_interval")
        kind = asked["msgtype"]
        key = json.dumps([asked["touser"], kind, asked[kind]], sort_keys=True)
        until = self._said.get(key, 0.0)
        self._said[key] = self._clock() + interval
        return until > self._clock()

    def _check_task(self, asked: Mapping[str, Any], repeated: bool) -> None:
        task = asked.get("template_card", {}).get("task_id")
        if task in self._tasks and not repeated:
            raise PlatformError(40058, "task_id is used")
        if task:
            self._tasks.add(task)


class Shown(NamedTuple):
    """How an accepted message looks on the phone."""

    text: str
    media_id: str | None = None
    choices: tuple[tuple[str, str], ...] = ()
    details: Mapping[str, str] = MappingProxyType({})

    @property
    def more(self) -> dict[str, Any]:
        """The rest of the bubble."""
        return {"media_url": self.media_id, "choices": self.choices, "details": dict(self.details)}


def _checked(asked: Mapping[str, Any], media: MediaStore) -> tuple[str, Shown]:
    """Kind and looks of a message.

    Raises:
        PlatformError: the code that the platform gives for the fault.
    """
    kind = asked.get("msgtype")
    check = _CHECKS.get(kind) if isinstance(kind, str) else None
    if check is None:
        raise PlatformError(40008)
    content = asked.get(str(kind))
    if not isinstance(content, dict):
        raise PlatformError(47001, f"no object under {kind}")
    return str(kind), check(content, media)


def _text(content: Mapping[str, Any], media: MediaStore) -> Shown:
    """A text that is too long is cut without a word."""
    said = content.get("content")
    if not isinstance(said, str) or not said:
        raise PlatformError(44004)
    return Shown(said.encode()[:MAX_TEXT_BYTES].decode("utf-8", "ignore"))


def _file(kind: str) -> Callable[[Mapping[str, Any], MediaStore], Shown]:
    def check(content: Mapping[str, Any], media: MediaStore) -> Shown:
        found = media.get(content.get("media_id"), kind)
        return Shown(f"[{kind}] {found.filename}", found.media_id)

    return check


def _textcard(content: Mapping[str, Any], media: MediaStore) -> Shown:
    url, said = required(content, "url", 2048), required(content, "description", 512)
    return Shown(f"{required(content, 'title', 128)} {url}", details={"description": said})


def _news(content: Mapping[str, Any], media: MediaStore) -> Shown:
    articles = content.get("articles")
    if not isinstance(articles, list) or not 0 < len(articles) <= MAX_ARTICLES:
        raise PlatformError(45008)
    return Shown(f"{required(articles[0], 'title', 128)} {required(articles[0], 'url', 2048)}")


def _card(content: Mapping[str, Any], media: MediaStore) -> Shown:
    if content.get("card_type") != "button_interaction":
        raise PlatformError(40058, "card_type")
    task = required(content, "task_id", 128)
    if not all(one.isalnum() or one in "_-@" for one in task):
        raise PlatformError(40058, "task_id")
    buttons = content.get("button_list")
    if not isinstance(buttons, list) or not 0 < len(buttons) <= 6:
        raise PlatformError(40058, "button_list")
    choices = tuple((required(one, "key", 1024), required(one, "text")) for one in buttons)
    title = required(content.get("main_title") or {}, "title")
    return Shown(title, None, choices, {"task_id": task})


_CHECKS: dict[str, Callable[[Mapping[str, Any], MediaStore], Shown]] = {
    "text": _text,
    "image": _file("image"),
    "voice": _file("voice"),
    "video": _file("video"),
    "file": _file("file"),
    "textcard": _textcard,
    "news": _news,
    "template_card": _card,
}

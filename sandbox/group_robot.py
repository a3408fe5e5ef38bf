"""A WeCom group with its robot: a simulator made from the documented webhook, with a wall to read.

Source: https://developer.work.weixin.qq.com/document/path/91770
"""

import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from sandbox.desks import DeskSimulator

__all__ = ["GroupRobotSimulator"]

MOST_BYTES = {"text": 2048, "markdown": 4096}
A_MINUTE, MOST_A_MINUTE = 60.0, 20


class GroupRobotSimulator(DeskSimulator):
    """One group; *clock* counts the minute in which a robot may speak twenty times."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.key = secrets.token_hex(16)
        self.wall: list[str] = []
        self.mentions: list[list[str]] = []
        self.refused = 0
        self._clock = clock
        self._spoken: deque[float] = deque()

    @property
    def robot_url(self) -> str:
        """The address that the group's settings show."""
        return f"{self.base_url}/cgi-bin/webhook/send?key={self.key}"

    def routes(self) -> Sequence[web.RouteDef]:
        """The one call."""
        return [web.post("/cgi-bin/webhook/send", self._send_to_group)]

    def refusal(self, request: web.Request) -> web.Response | None:
        """HTTP 200 with a code inside, as the platform does."""
        if request.query.get("key") == self.key:
            return None
        return _told(93000, "invalid webhook url")

    async def _send_to_group(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
            kind = body["msgtype"]
            content = body[kind]["content"]
        except (ValueError, KeyError, TypeError):
            return _told(40058, "invalid Request Parameter")
        if kind not in MOST_BYTES:
            return _told(40008, "invalid message type")
        if not content:
            return _told(44004, "empty content")
        if len(content.encode()) > MOST_BYTES[kind]:
            return _told(40058, f"{kind}.content exceed max length {MOST_BYTES[kind]}")
        if not self._may_speak():
            self.refused += 1
            return _told(45009, "api freq out of limit")
        self.wall.append(content)
        self.mentions.append(body[kind].get("mentioned_list") or [])
        return _told(0, "ok")

    def _may_speak(self) -> bool:
        now = self._clock()
        while self._spoken and self._spoken[0] <= now - A_MINUTE:
            self._spoken.popleft()
        if len(self._spoken) >= MOST_A_MINUTE:
            return False
        self._spoken.append(now)
        return True


def _told(code: int, text: str) -> web.Response:
    made: dict[str, Any] = {"errcode": code, "errmsg": text}
    return web.json_response(made)

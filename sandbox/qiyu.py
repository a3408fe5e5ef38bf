"""网易七鱼 (Qiyu), as far as its message interface goes: a simulator made from its documented API.

Sessions by ``uid``; every call, either way, carries a checksum over secret, MD5 of the body and time. HTTP is
200 whatever happens: ``code`` tells. There is nothing to read back.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from sandbox.desks import DeskSimulator

__all__ = ["QiyuSimulator"]

NO_AGENT, QUEUED = 14005, 14006


class QiyuSimulator(DeskSimulator):
    """One application with one agent."""

    def __init__(self) -> None:
        super().__init__()
        self.app_key, self.secret = secrets.token_hex(16), secrets.token_hex(16).upper()
        self.agents_online = True
        self.messages: list[dict[str, Any]] = []
        self.sessions: dict[str, int] = {}

    def routes(self) -> Sequence[web.RouteDef]:
        """The two calls that a customer's message needs."""
        return [
            web.post("/openapi/event/applyStaff", self._apply),
            web.post("/openapi/message/send", self._send_message),
        ]

    def refusal(self, request: web.Request) -> web.Response | None:
        """The key; the checksum wants the body and is judged by each call."""
        if request.query.get("appKey") == self.app_key:
            return None
        return web.json_response({"code": 14001, "message": "wrong appKey"})

    def checksum(self, raw: bytes, at: str) -> str:
        """Hex SHA-1 over secret, hex MD5 of the body, and the time in seconds."""
        body = hashlib.md5(raw, usedforsecurity=False).hexdigest()
        text = f"{self.secret}{body}{at}".encode()
        return hashlib.sha1(text, usedforsecurity=False).hexdigest()

    async def _checked(self, request: web.Request) -> dict[str, Any] | None:
        raw = await request.read()
        at = request.query["time"]
        if request.query["checksum"] != self.checksum(raw, at) or abs(time.time() - int(at)) > 300:
            return None
        found: dict[str, Any] = json.loads(raw)
        return found

    async def _apply(self, request: web.Request) -> web.Response:
        body = await self._checked(request)
        if body is None:
            return web.json_response({"code": 14002, "message": "wrong checksum"})
        if not self.agents_online:
            return web.json_response({"code": NO_AGENT, "message": "no agent is on line"})
        if body["uid"] not in self.sessions:
            self.sessions[body["uid"]] = self.new_id()
            self._push("SESSION_START", self._session(body["uid"]))
        return web.json_response({"code": 200, "session": {"id": self.sessions[body["uid"]]}})

    async def _send_message(self, request: web.Request) -> web.Response:
        body = await self._checked(request)
        if body is None:
            return web.json_response({"code": 14002, "message": "wrong checksum"})
        self.messages.append(body)
        return web.json_response({"code": 200, "message": ""})

    # -- what agents do ------------------------------------------------------------------------------

    def reply(self, uid: str, text: str) -> str:
        """The agent answers; the message's id."""
        own = secrets.token_hex(16)
        body = {
            "msgId": own,
            "uid": uid,
            "staffId": 17885,
            "staffName": "小李",
            "msgType": "TEXT",
            "content": text,
            "timeStamp": int(time.time() * 1000),
        }
        self._push("MSG", body)
        return own

    def close(self, uid: str) -> None:
        """The agent ends the session."""
        session = self._session(uid) | {"closeType": 0}
        del self.sessions[uid]
        self._push("SESSION_END", session)

    def _session(self, uid: str) -> dict[str, Any]:
        return {
            "uid": uid,
            "sessionId": self.sessions[uid],
            "staffId": 17885,
            "staffName": "小李",
            "staffType": 1,
            "code": 200,
        }

    def _push(self, event: str, body: dict[str, Any]) -> None:
        raw = json.dumps(body, ensure_ascii=False).encode()
        at = str(int(time.time()))
        query = f"time={at}&checksum={self.checksum(raw, at)}&eventType={event}"
        self.call_back({"Content-Type": "application/json;charset=utf-8"}, raw, query)

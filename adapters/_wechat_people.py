"""Asks who new customers of an official account are, so that one person is one contact.

Source: https://developers.weixin.qq.com/doc/offiaccount/User_Management/Get_users_basic_information_UnionID.html
"""

import asyncio
import hashlib
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from hub.channel import Account, Bell, Emit, Tools, Wake
from hub.errors import BadCredentials, Rejected, SendError
from hub.model import InboundEvent
from normalizers._wechat_fields import read_fields, same_person, text_of
from normalizers._wechat_profile import PROOF
from outbound.wechat.api import Api
from outbound.wechat.errors import judge

__all__ = ["Doorman", "PeopleListener"]

AT_ONCE = 100
GATHER_S = 0.5
"""How long to wait for more new customers before the platform is asked for all of them."""

AGAIN_S = 3600.0
_MOST_KNOWN = 100_000


class _People(Struct):
    """The answer of ``user/info/batchget``; the people stay as they were sent."""

    user_info_list: list[msgspec.Raw] | None = None


class Doorman:
    """Rings once an hour for each customer who writes; the listener knows whom it has asked about."""

    def __init__(self) -> None:
        self._rung: dict[str, float] = {}

    def bells(self, openid: str) -> tuple[Bell, ...]:
        """The bell for *openid*, unless it has been rung lately."""
        now = time.monotonic()
        if not openid or self._rung.get(openid, -AGAIN_S) > now - AGAIN_S:
            return ()
        if len(self._rung) >= _MOST_KNOWN:
            self._rung.clear()
        self._rung[openid] = now
        return (Bell(openid),)


class PeopleListener:
    """Emits the profile of each new customer whose ``unionid`` the platform tells.

    Nothing depends on it: what a customer writes never waits for it, nor fails with it.
    """

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._api = Api(account, tools)
        self._tools = tools
        self._asked: set[str] = set()

    async def listen(self, emit: Emit, wake: Wake) -> None:
        """Ask about those whom bells name; see :class:`hub.channel.Listener`."""
        while True:
            first = await wake.wait(AGAIN_S)
            if first is None:
                continue
            await asyncio.sleep(GATHER_S)
            await self._meet([first, *await _waiting(wake)], emit)

    async def _meet(self, bells: Iterable[Bell], emit: Emit) -> None:
        fresh = [one for one in dict.fromkeys(bell.key for bell in bells) if one not in self._asked]
        if len(self._asked) > _MOST_KNOWN:
            self._asked.clear()
        for start in range(0, len(fresh), AT_ONCE):
            some = fresh[start : start + AT_ONCE]
            self._asked |= set(some)
            try:
                events = await self._profiles(some)
            except (SendError, ValueError) as error:
                # An account that is not verified has no right to it (48001): nothing is lost.
                self._tools.log.info("no_profiles", error=type(error).__name__)
                if not isinstance(error, (BadCredentials, Rejected)):
                    self._asked -= set(some)  # until the next bell
                continue
            if events:
                await emit(events)

    async def _profiles(self, openids: Sequence[str]) -> list[InboundEvent]:
        body = {"user_list": [{"openid": one, "lang": "zh_CN"} for one in openids]}
        url = f"{self._api.base}/cgi-bin/user/info/batchget?access_token=***"
        answer = await self._api.answer("POST", url, speaks=False, json=body)
        judge(answer, self._tools.clock(), speaks=False)
        people = msgspec.json.decode(answer.body, type=_People).user_info_list or ()
        return [event for raw in people if (event := self._event(bytes(raw)))]

    def _event(self, body: bytes) -> InboundEvent | None:
        """Nothing for those of whom the platform tells nothing."""
        fields = read_fields(body)
        if not fields or not same_person(fields):
            return None
        openid, union = text_of(fields, "openid"), text_of(fields, "unionid")
        digest = hashlib.sha256(f"{openid} {union}".encode()).hexdigest()
        return InboundEvent(
            dedupe_key=f"profile:{digest}",
            order_key=openid,
            body=body,
            received_at=self._tools.clock(),
            proof=PROOF,
        )


async def _waiting(wake: Wake) -> list[Bell]:
    """The bells that have rung already."""
    found: list[Bell] = []
    while bell := await wake.wait(0.0):
        found.append(bell)
    return found

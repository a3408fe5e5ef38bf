"""Pulls the items of WeChat customer service; the callback only says that there are some.

Source: https://developer.work.weixin.qq.com/document/path/94670
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from hub.channel import Account, Bell, Emit, Tools, Wake
from hub.errors import BadCredentials, Rejected, SendError
from hub.fetch import TooLarge
from hub.model import Checkpoint, InboundEvent
from normalizers._kefu_item import customer_of, item_key, order_of
from normalizers._wechat_fields import read_fields, text_of
from outbound._wecom_api import CorpApi, call_url
from outbound.wechat_kefu import desks_of
from outbound.wechat_kefu.errors import ERRORS

__all__ = ["DESKS", "KefuListener", "cursor_key"]

DESKS = "open_kfids"

_PAGE = 1000
_SMALLEST_PAGE = 1
_MSG_TOKEN_OVER = "95007"  # noqa: S105 - an error code
_BAD_PARAMETER = "40058"
_PROFILES = 100
_PROFILES_WITHIN_S = 3.0
_LONGEST_NAME = 200
_KNOWN_PROFILES = 100_000
_SYNC = "kf/sync_msg"


class _Page(Struct):
    """One answer of ``sync_msg``; the items stay as they were sent."""

    next_cursor: str = ""
    has_more: bool | int = 0
    msg_list: list[msgspec.Raw] | None = None


class _Profiles(Struct):
    """The answer of ``customer/batchget``; the customers stay as they were sent."""

    customer_list: list[msgspec.Raw] | None = None


def cursor_key(desk: str) -> str:
    """Under which checkpoint the cursor of *desk* is kept."""
    return f"sync_msg:{desk}"


class KefuListener:
    """Takes in every item of every page, each once, with the cursor that leads past it.

    Cursor and items are stored in one transaction. One desk is pulled after the other: about five
    calls at once are refused (45033).
    """

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        settings = account.settings
        self._api = CorpApi(account, tools, ERRORS)
        self._tools = tools
        self._configured: Sequence[str] = settings.open_kfids
        self._poll_s: float = settings.poll_s
        self._with_profiles: bool = settings.profiles
        self._limit = _PAGE
        self._names: dict[str, str] = {}

    async def listen(self, emit: Emit, wake: Wake) -> None:
        """Pull what each bell announces, and everything now and then; see ``hub.channel.Listener``."""
        desks = await self._desks(emit)
        clock = asyncio.get_running_loop().time
        rung, due = dict.fromkeys(desks, ""), clock() + self._poll_s
        while True:
            await self._pull_each(rung, desks, emit)
            first = await wake.wait(max(due - clock(), 0.0))
            rung = _together([first, *await _waiting(wake)])
            if first is None or "" in rung:  # time to look at all, or nobody knows who has rung
                rung = dict.fromkeys(desks, "") | {desk: one for desk, one in rung.items() if desk}
                due = clock() + self._poll_s
            if self._configured:  # another account of the hub may have the others
                rung = {desk: token for desk, token in rung.items() if desk in desks}
            elif fresh := [desk for desk in rung if desk not in desks]:
                desks += fresh
                await emit((), Checkpoint(DESKS, {"known": list(desks)}))

    async def _desks(self, emit: Emit) -> list[str]:
        """Those of the settings; else all that the app may manage, and those that bells named."""
        if self._configured:
            return list(dict.fromkeys(self._configured))
        kept = (await emit.checkpoint(DESKS) or {}).get("known", ())
        return list(dict.fromkeys([*await desks_of(self._api), *map(str, kept)]))

    async def _pull_each(self, rung: Mapping[str, str], desks: Sequence[str], emit: Emit) -> None:
        """Pull each desk that was *rung* for; one that is refused does not stop the others.

        Raises:
            SendError: the platform cannot be reached or refuses the account, or every desk.
        """
        refused: list[Rejected] = []
        for desk, token in rung.items():
            try:
                await self._pull(desk, token, emit)
            except Rejected as error:
                refused.append(error)
                self._tools.log.warning("desk_refused", open_kfid=desk, error=error.detail)
        if refused and len(refused) == len(desks):
            raise refused[0]

    async def _pull(self, desk: str, token: str, emit: Emit) -> None:
        """Page after page until there is no more, also across pages that are empty."""
        key = cursor_key(desk)
        cursor = str((await emit.checkpoint(key) or {}).get("cursor", ""))
        while True:
            page, token, cursor = await self._page(desk, token, cursor)
            items = [bytes(raw) for raw in page.msg_list or ()]
            profiles = await self._profiles(items, desk) if self._with_profiles and items else []
            events = [*profiles, *(self._event(item, desk) for item in items)]
            following = page.next_cursor or cursor
            if events or following != cursor:
                await emit(events, Checkpoint(key, {"cursor": following}))
            if not page.has_more:
                return
            if following == cursor and not events:
                raise Rejected(f"sync_msg of {desk} has more, but its cursor stands still")
            cursor = following

    async def _page(self, desk: str, token: str, cursor: str) -> tuple[_Page, str, str]:
        """The next page, and the token and cursor to go on with.

        A token that is over is left out, once; so is a cursor that the platform knows no more: then
        it begins with the oldest of three days, and what is known already is not stored again.
        """
        while True:
            try:
                return await self._asked(desk, token, cursor), token, cursor
            except TooLarge:
                if self._limit <= _SMALLEST_PAGE:
                    raise
                self._limit = max(self._limit // 4, _SMALLEST_PAGE)
            except Rejected as error:
                if error.external_code == _MSG_TOKEN_OVER and token:
                    token = ""
                elif error.external_code == _BAD_PARAMETER and cursor:
                    self._tools.log.warning("cursor_refused", open_kfid=desk, error=error.detail)
                    cursor = ""
                else:
                    raise

    async def _asked(self, desk: str, token: str, cursor: str) -> _Page:
        body: dict[str, Any] = {"open_kfid": desk, "limit": self._limit, "voice_format": 0}
        body |= {"cursor": cursor} if cursor else {}
        body |= {"token": token} if token else {}
        url = call_url(self._api.base, _SYNC)
        answer = await self._api.answer("POST", url, speaks=False, json=body)
        self._api.judge(answer, speaks=False)
        return msgspec.json.decode(answer.body, type=_Page, strict=False)

    def _event(self, body: bytes, desk: str) -> InboundEvent:
        fields = read_fields(body)
        name = self._names.get(customer_of(fields)) if fields else None
        return InboundEvent(
            dedupe_key=item_key(fields, body),
            order_key=order_of(fields, desk),
            body=body,
            received_at=self._tools.clock(),
            headers={"open_kfid": desk} | ({"nickname": name} if name else {}),
            proof="sync_msg",
        )

    # -- who they are --------------------------------------------------------------------------------

    async def _profiles(self, items: Iterable[bytes], desk: str) -> list[InboundEvent]:
        """Names and union ids of those whom this process meets first; the names go with their words.

        What they wrote never waits long for it, nor fails with it; what could not be had is asked
        for again with their next words, unless the platform has refused it.

        Source: https://developer.work.weixin.qq.com/document/path/96429
        """
        fields = (read_fields(item) for item in items)
        met = dict.fromkeys(customer_of(one) for one in fields if one)
        fresh = [one for one in met if one and one not in self._names][:_PROFILES]
        if not fresh:
            return []
        if len(self._names) > _KNOWN_PROFILES:
            self._names.clear()
        self._names |= dict.fromkeys(fresh, "")
        try:
            async with asyncio.timeout(_PROFILES_WITHIN_S):
                return await self._customers(fresh, desk)
        except (SendError, TimeoutError, ValueError) as error:
            self._tools.log.info("no_profiles", open_kfid=desk, error=type(error).__name__)
            if not isinstance(error, (BadCredentials, Rejected)):
                for one in fresh:
                    self._names.pop(one, None)
            return []

    async def _customers(self, customers: Sequence[str], desk: str) -> list[InboundEvent]:
        body = {"external_userid_list": customers, "need_enter_session_context": 0}
        url = call_url(self._api.base, "kf/customer/batchget")
        answer = await self._api.answer("POST", url, speaks=False, json=body)
        self._api.judge(answer, speaks=False)
        found = msgspec.json.decode(answer.body, type=_Profiles).customer_list or ()
        return [self._profile_event(bytes(raw), desk) for raw in found]

    def _profile_event(self, body: bytes, desk: str) -> InboundEvent:
        fields = read_fields(body)
        if fields:
            self._names[customer_of(fields)] = text_of(fields, "nickname").strip()[:_LONGEST_NAME]
        return InboundEvent(
            dedupe_key=f"profile:{desk}:{item_key(None, body)}",
            order_key=order_of(fields, desk),
            body=body,
            received_at=self._tools.clock(),
            headers={"open_kfid": desk},
            proof="customer/batchget",
        )


async def _waiting(wake: Wake) -> list[Bell | None]:
    """The bells that have rung already; there may be many for one desk."""
    found: list[Bell | None] = []
    while bell := await wake.wait(0.0):
        found.append(bell)
    return found


def _together(bells: Iterable[Bell | None]) -> dict[str, str]:
    """The newest token of each desk that was rung for."""
    return {bell.key: str(bell.facts.get("token") or "") for bell in bells if bell}

"""The API of customer service, as far as a message hub calls it.

Sources: https://developer.work.weixin.qq.com/document/path/94670, …/94698, …/96428, …/96429
"""

import asyncio
from typing import Any

from aiohttp import web

from sandbox.journal import Clock
from sandbox.wechat.customers import Customers
from sandbox.wechat.errors import PlatformError
from sandbox.wechat_kefu.desks import Desks
from sandbox.wechat_kefu.sending import check_message, checked_id
from sandbox.wecom.calls import Answer, Calls, asked_of

__all__ = ["KefuApi"]

MOST_AT_ONCE = 5
MAX_LIMIT = 1000
ON_EVENT_KINDS = {
    "welcome": frozenset({"text", "msgmenu"}),
    "ended": frozenset({"text", "msgmenu"}),
    "queued": frozenset({"text"}),
    "served": frozenset({"text"}),
}


class KefuApi(Calls):
    """``/cgi-bin/kf/*`` for one enterprise.

    *page_size* is the most that one page holds, whatever is asked for; with *empty_pages* every
    second page is empty and still says that there are more, as the platform may do.
    """

    def __init__(
        self,
        *,
        desks: Desks,
        phones: Customers,
        clock: Clock,
        names: dict[str, str],
        unionids: dict[str, str],
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._unionids = unionids
        self._desks = desks
        self._phones = phones
        self._clock = clock
        self._names = names
        self._at_once = 0
        self._pages = 0
        self.page_size = MAX_LIMIT
        self.empty_pages = False
        self.sync_seconds = 0.0

    def routes(self) -> list[web.RouteDef]:
        """Everything that is answered."""
        acts = {
            "sync_msg": self._sync,
            "send_msg": self._send,
            "send_msg_on_event": self._send_on_event,
            "service_state/get": self._state,
            "service_state/trans": self._move,
            "customer/batchget": self._customers,
            "account/list": self._accounts,
        }
        kefu = [web.route("*", f"/cgi-bin/kf/{path}", self.call(act)) for path, act in acts.items()]
        return [*self.common_routes(), *kefu]

    # -- pulling -------------------------------------------------------------------------------------

    async def _sync(self, request: web.Request) -> Answer:
        self._at_once += 1
        try:
            if self._at_once > MOST_AT_ONCE:
                raise PlatformError(45033)
            await asyncio.sleep(self.sync_seconds)
            return self._page(await asked_of(request))
        finally:
            self._at_once -= 1

    def _page(self, asked: dict[str, Any]) -> Answer:
        desk = self._desks.get(asked.get("open_kfid"))
        if asked.get("token"):
            self._desks.check_token(desk, asked["token"])
        limit = asked.get("limit", MAX_LIMIT)
        if not isinstance(limit, int) or not 0 < limit <= MAX_LIMIT:
            raise PlatformError(40058, "limit")
        self._pages += 1
        empty = self.empty_pages and self._pages % 2 == 1
        size = 0 if empty else min(limit, self.page_size)
        items, cursor, more = self._desks.page(desk, asked.get("cursor"), size)
        self._journal.write(
            "sync",
            open_kfid=desk.open_kfid,
            count=len(items),
            more=more,
            with_token="token" in asked,
        )
        return {"next_cursor": cursor, "has_more": int(more), "msg_list": items}

    # -- saying --------------------------------------------------------------------------------------

    async def _send(self, request: web.Request) -> Answer:
        asked = await asked_of(request)
        customer = asked.get("touser")
        try:
            desk = self._desks.get(asked.get("open_kfid"))
            msgid = checked_id(asked)
            shown = check_message(asked, self._media)
            self._desks.take_reply(desk, customer, msgid)
        except PlatformError as error:
            self._journal.write("send", customer=customer, errcode=error.code)
            raise
        own = msgid or f"platform{self._pages}_{len(self._journal)}"
        self._phones.show(str(customer), "account", shown.kind, shown.text, **shown.more)
        self._journal.write(
            "send", customer=customer, errcode=0, msgid=own, msgtype=shown.kind, text=shown.text
        )
        return {"msgid": own}

    async def _send_on_event(self, request: web.Request) -> Answer:
        asked = await asked_of(request)
        try:
            msgid = checked_id(asked)
            check_message(asked, self._media)
            code = self._desks.use_code(asked.get("code"))
            shown = check_message(asked, self._media, ON_EVENT_KINDS[code.kind])
        except PlatformError as error:
            self._journal.write("send_on_event", errcode=error.code)
            raise
        self._phones.show(code.customer, "account", shown.kind, shown.text, **shown.more)
        self._journal.write("send_on_event", errcode=0, on=code.kind, text=shown.text)
        return {"msgid": msgid or f"platform_{len(self._journal)}"}

    # -- sessions and people -------------------------------------------------------------------------

    async def _state(self, request: web.Request) -> Answer:
        asked = await asked_of(request)
        desk = self._desks.get(asked.get("open_kfid"))
        session = self._desks.known(desk, asked.get("external_userid"))
        return {"service_state": session.state, "servicer_userid": session.servicer}

    async def _move(self, request: web.Request) -> Answer:
        asked = await asked_of(request)
        desk = self._desks.get(asked.get("open_kfid"))
        state = asked.get("service_state")
        if not isinstance(state, int):
            raise PlatformError(40058, "service_state")
        customer = str(asked.get("external_userid"))
        code = self._desks.move(desk, customer, state, str(asked.get("servicer_userid") or ""))
        self._journal.write("move", customer=customer, state=state)
        return {"msg_code": code} if code else {}

    async def _customers(self, request: web.Request) -> Answer:
        asked = await asked_of(request)
        wanted = asked.get("external_userid_list")
        if not isinstance(wanted, list) or not 0 < len(wanted) <= 100:
            raise PlatformError(40058, "external_userid_list")
        known = [one for one in wanted if one in self._names]
        found = [self._profile(one) for one in known]
        unknown = [one for one in wanted if one not in self._names]
        return {"customer_list": found, "invalid_external_userid": unknown}

    def _profile(self, customer: str) -> Answer:
        """``unionid`` stands there only where an Open Platform account is bound."""
        union = self._unionids.get(customer)
        return {
            "external_userid": customer,
            "nickname": self._names[customer],
            "avatar": "",
            "gender": 0,
            **({"unionid": union} if union else {}),
        }

    async def _accounts(self, request: web.Request) -> Answer:
        asked = await asked_of(request)
        offset, limit = int(asked.get("offset", 0)), int(asked.get("limit", 100))
        found = [
            {"open_kfid": desk.open_kfid, "name": desk.name, "avatar": ""}
            for desk in self._desks.all()
        ]
        return {"account_list": found[offset : offset + limit]}

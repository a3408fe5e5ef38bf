"""WeChat customer service on this machine: its desks, its customers and servicers, its API."""

import secrets
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.faults import Fault, FaultBox, FaultKind
from sandbox.http import only_loopback, serve
from sandbox.journal import Clock, Journal
from sandbox.phones import NotPossible
from sandbox.wechat.control import CommonControl
from sandbox.wechat.customers import Bubble, Customers
from sandbox.wechat.messages import UserAction
from sandbox.wechat.push import Pusher, PushResult, UrlCheck
from sandbox.wechat.switches import family_board, window_switch
from sandbox.wechat_kefu.api import KefuApi
from sandbox.wechat_kefu.desks import ENDED, SERVED, Desks
from sandbox.wechat_kefu.switches import desk_switches, feed_switches, pending_items
from sandbox.wecom.calls import CorpTokens
from sandbox.wecom.media import CorpMediaStore
from sandbox.wecom.push import URL_CHECK_S, CorpCredentials, CorpPushBuilder
from sandbox.wecom.simulator import MAX_REQUEST_BYTES, SMALL_JPEG

__all__ = ["KefuSimulator"]


class KefuSimulator:
    """The platform, as the app that manages customer service and the people on both sides meet it.

    What people do lands in the feed of a desk at once; :meth:`ring` tells the callback of it. Every
    credential that is not given is made up. Faults are those of ``sandbox.faults``; switches of
    the feed (small pages, empty pages, slowness) stand on :attr:`api`.
    """

    def __init__(
        self,
        credentials: CorpCredentials | None = None,
        *,
        callback_url: str | None = None,
        clock: Clock = time.time,
        time_scale: float = 1.0,
        journal_path: Path | None = None,
    ) -> None:
        self.credentials = credentials or CorpCredentials()
        self.callback_url = callback_url
        self.clock = clock
        self.journal = Journal(journal_path, clock=clock)
        self.phones = Customers(clock)
        self.media = CorpMediaStore(clock)
        self.tokens = CorpTokens(clock)
        self.faults = FaultBox()
        self.desks = Desks(clock)
        self.names: dict[str, str] = {}
        self.unionids: dict[str, str] = {}
        self.builder = CorpPushBuilder(self.credentials, clock)
        self.pusher = Pusher(self.builder, self.journal, time_scale=time_scale)
        self.pusher.url_check_s = URL_CHECK_S
        self.api = KefuApi(
            desks=self.desks,
            phones=self.phones,
            clock=clock,
            names=self.names,
            unionids=self.unionids,
            corp_id=self.credentials.corp_id,
            secret=self.credentials.secret,
            tokens=self.tokens,
            media=self.media,
            faults=self.faults,
            journal=self.journal,
        )
        self.board = family_board(
            self.faults,
            self.tokens,
            own=(window_switch(self.desks.close_window), *desk_switches(self)),
            delivery=feed_switches(self.desks),
            well_again=self._be_well,
            pending=lambda: pending_items(self.desks),
        )
        self._control = CommonControl(self)
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def api_base(self) -> str:
        """What the hub's ``api_base`` setting must say."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; port 0 picks a free one."""
        app = web.Application(middlewares=[only_loopback], client_max_size=MAX_REQUEST_BYTES)
        app.add_routes(self.api.routes())
        app.add_routes(self._control.routes())
        self._runner, self.port = await serve(app, host, port)

    async def stop(self) -> None:
        """Stop listening and close the log."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        await self.pusher.close()
        self.journal.close()

    # -- customers -----------------------------------------------------------------------------------

    def meet(self, name: str, customer: str | None = None, *, unionid: str | None = None) -> str:
        """A new customer; returns the ``external_userid``."""
        own = customer or f"wm{secrets.token_urlsafe(20)}"
        self.names[own] = name
        if unionid:
            self.unionids[own] = unionid
        return own

    def write(self, desk: str, customer: str, kind: str = "text", /, **content: Any) -> Any:
        """A customer writes: ``write(desk, lin, content="在吗？")``; the item in the feed."""
        place = self.desks.get(desk)
        self.desks.customer_wrote(place, customer)
        said = str(content.get("content") or content.get("title") or f"[{kind}]")
        self.phones.show(
            customer,
            "user",
            kind,
            said,
            media_url=content.get("media_id"),
            details={name: one for name, one in content.items() if isinstance(one, str)},
        )
        return self._item(desk, customer, 3, kind, content)

    def send_file(self, desk: str, customer: str, kind: str, content: bytes = SMALL_JPEG) -> Any:
        """A customer sends a picture, voice message, video or file."""
        media = self.media.put(kind, f"{kind}.bin", content)
        return self.write(desk, customer, kind, media_id=media.media_id)

    def tap(self, desk: str, customer: str, choice: str, label: str) -> Any:
        """A customer taps an item of a menu."""
        return self.write(desk, customer, content=label, menu_id=choice)

    def enter(self, desk: str, customer: str, scene: str = "123") -> Any:
        """A customer opens the chat; with a welcome code if none was given within 48 hours."""
        place = self.desks.get(desk)
        session = place.session(customer)
        event: dict[str, Any] = {"scene": scene, "scene_param": ""}
        if session.welcomed_at + 48 * 3600 < self.clock():
            session.welcomed_at = self.clock()
            event["welcome_code"] = self.desks.new_code(place, customer, "welcome")
        return self.happen(desk, customer, "enter_session", **event)

    def recall(self, desk: str, customer: str, msgid: str) -> Any:
        """A customer takes a message back."""
        return self.happen(desk, customer, "user_recall_msg", recall_msgid=msgid)

    def recall_last(self, desk: str, customer: str) -> Any:
        """A customer takes the last message back.

        Raises:
            NotPossible: there is none.
        """
        for item in reversed(self.feed(desk)):
            if item.get("external_userid") == customer and item["origin"] == 3:
                self.phones.show(customer, "system", "recall", "您撤回了一条消息")
                return self.recall(desk, customer, item["msgid"])
        raise NotPossible("nothing has been said yet")

    # -- servicers and the platform ------------------------------------------------------------------

    def answer_in_wecom(self, desk: str, customer: str, servicer: str, content: str) -> Any:
        """A person of the enterprise writes in WeCom itself, and has the session from now on."""
        session = self.desks.get(desk).session(customer)
        session.state, session.servicer = SERVED, servicer
        self.phones.show(customer, "account", "text", content)
        said = {"content": content}
        return self._item(desk, customer, 5, "text", said, servicer_userid=servicer)

    def end(self, desk: str, customer: str) -> Any:
        """The session is ended by a person, with a code for one last message."""
        place = self.desks.get(desk)
        place.session(customer).state = ENDED
        code = self.desks.new_code(place, customer, "ended")
        return self.happen(desk, customer, "session_status_change", change_type=3, msg_code=code)

    def lose(self, desk: str, customer: str, msgid: str, fail_type: int = 10) -> Any:
        """A message that was taken did not arrive after all."""
        return self.happen(desk, customer, "msg_send_fail", fail_msgid=msgid, fail_type=fail_type)

    def happen(self, desk: str, customer: str, event_type: str, /, **facts: Any) -> Any:
        """An event: its ids stand inside ``event``, not beside it."""
        event = {
            "event_type": event_type,
            "open_kfid": desk,
            "external_userid": customer,
            **facts,
        }
        item = {"origin": 4, "msgtype": "event", "event": event}
        return self.desks.add(self.desks.get(desk), item)

    def _item(
        self, desk: str, customer: str, origin: int, kind: str, content: Any, **more: Any
    ) -> Any:
        item = {"open_kfid": desk, "external_userid": customer, "origin": origin, **more}
        return self.desks.add(self.desks.get(desk), {**item, "msgtype": kind, kind: content})

    def _be_well(self) -> None:
        self.desks.twice = self.desks.mixed = 0

    # -- the bell ------------------------------------------------------------------------------------

    async def ring(self, desk: str, *, to: str | None = None) -> PushResult:
        """Tell the callback that *desk* has news."""
        token = self.desks.new_token(self.desks.get(desk))
        fields = {"MsgType": "event", "Event": "kf_msg_or_event", "Token": token, "OpenKfId": desk}
        target = to or self.callback_url
        if target is None:
            raise ValueError("no callback URL: give to=, or set callback_url")
        stamped = self.builder.stamp(UserAction("", fields, None, "bell"))
        return await self.pusher.push(stamped, target)

    async def verify_url(self, to: str | None = None) -> UrlCheck:
        """Ask the callback URL to prove itself, as the console does when it is saved."""
        target = to or self.callback_url
        if target is None:
            raise ValueError("no callback URL: give to=, or set callback_url")
        return await self.pusher.check_url(target)

    # -- what can be seen, and what can go wrong -----------------------------------------------------

    def phone(self, customer: str) -> list[Bubble]:
        """The chat as the customer sees it, oldest first."""
        return list(self.phones.meet(customer).bubbles)

    def feed(self, desk: str) -> list[dict[str, Any]]:
        """Everything that can be pulled from *desk*, oldest first."""
        return [item for _, item in self.desks.get(desk).items]

    def fail(self, kind: FaultKind, **rest: Any) -> None:
        """Make the next API calls go wrong; see ``sandbox.faults.Fault``."""
        self.faults.add(Fault(kind, **rest))

    def log(self, kind: str | None = None, *, after: int = 0) -> list[dict[str, Any]]:
        """The simulator's own record: ``sync``, ``send``, ``send_on_event``, ``move``, ``push`` …"""
        return self.journal.entries(kind, after=after)

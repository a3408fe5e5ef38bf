"""``/_control``: the simulator's own switches, for tests that run in another process."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from sandbox.faults import Fault, FaultBox
from sandbox.journal import Journal
from sandbox.phones import SwitchBoard, switch_routes
from sandbox.wechat import messages
from sandbox.wechat.messages import UserAction
from sandbox.wechat.push import Pusher
from sandbox.wechat.tokens import TokenOffice

if TYPE_CHECKING:
    from sandbox.wechat.simulator import WeChatSimulator

NEWEST_ENTRIES = 1000

_ACTIONS: dict[str, Callable[..., UserAction]] = {
    "text": messages.text,
    "location": messages.location,
    "link": messages.link,
    "subscribe": messages.subscribe,
    "unsubscribe": messages.unsubscribe,
    "click": messages.click,
    "scan": messages.scan,
    "view": messages.view,
}


class Watched(Protocol):
    """What every simulator of the family has."""

    @property
    def journal(self) -> Journal: ...
    @property
    def faults(self) -> FaultBox: ...
    @property
    def tokens(self) -> TokenOffice: ...
    @property
    def pusher(self) -> Pusher: ...
    @property
    def board(self) -> SwitchBoard: ...


class CommonControl:
    """What can be switched and read over HTTP at every simulator; everything is JSON."""

    def __init__(self, simulator: Watched) -> None:
        self._watched = simulator

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_control/log", self._log),
            web.get("/_control/faults", self._faults),
            web.post("/_control/faults", _json_only(self._add_fault)),
            web.delete("/_control/faults", self._clear_faults),
            web.post("/_control/token/expire", _json_only(self._expire)),
            web.post("/_control/token/revoke", _json_only(self._revoke)),
            *switch_routes(self._watched.board),
        ]

    async def _log(self, request: web.Request) -> web.Response:
        """``?kind=push&after=17&limit=1000``; oldest first."""
        after = int(request.query.get("after", 0))
        limit = int(request.query.get("limit", NEWEST_ENTRIES))
        entries = self._watched.journal.entries(request.query.get("kind"), after=after)[:limit]
        return _json(
            {
                "entries": entries,
                "last": len(self._watched.journal),
                "in_flight": self._watched.pusher.in_flight,
            }
        )

    async def _faults(self, request: web.Request) -> web.Response:
        return _json({"faults": self._watched.faults.as_json()})

    async def _add_fault(self, asked: dict[str, Any]) -> web.Response:
        self._watched.faults.add(Fault(**asked))
        return _json({"faults": self._watched.faults.as_json()})

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._watched.faults.clear()
        return _json({"faults": []})

    async def _expire(self, asked: dict[str, Any]) -> web.Response:
        self._watched.tokens.expire_all()
        return _json({"ok": True})

    async def _revoke(self, asked: dict[str, Any]) -> web.Response:
        self._watched.tokens.revoke_all()
        return _json({"ok": True})


class ControlApi(CommonControl):
    """The switches of an official account, and what its users do and see."""

    def __init__(self, simulator: "WeChatSimulator") -> None:
        super().__init__(simulator)
        self._simulator = simulator

    def routes(self) -> list[web.RouteDef]:
        return [
            *super().routes(),
            web.get("/_control/customers/{openid}", self._customer),
            web.post("/_control/push", _json_only(self._push)),
        ]

    async def _customer(self, request: web.Request) -> web.Response:
        openid = request.match_info["openid"]
        if openid not in self._simulator.customers:
            return _json({"error": "no such customer"}, status=404)
        customer = self._simulator.customers.meet(openid)
        return _json(
            {
                "openid": openid,
                "is_following": customer.is_following,
                "remaining_replies": customer.remaining_replies(self._simulator.clock()),
                "bubbles": [asdict(bubble) for bubble in customer.bubbles],
            }
        )

    async def _push(self, asked: dict[str, Any]) -> web.Response:
        """Let a user act, and answer when the push has ended.

        ``{"kind": "text", "openid": "o…", "content": "…", "to": null}``
        """
        to = asked.pop("to", None)
        make = _ACTIONS[asked.pop("kind")]
        return _json(asdict(await self._simulator.push(make(**asked), to=to)))


def _json_only(
    act: Callable[[dict[str, Any]], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        """A JSON content type is what a stranger's page cannot send unasked."""
        if request.content_type != "application/json":
            return _json({"error": "send application/json"}, status=415)
        try:
            asked = json.loads(await request.read() or b"{}")
            return await act(asked)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return _json({"error": str(error)}, status=400)

    return handler


def _json(document: Any, status: int = 200) -> web.Response:
    return web.json_response(document, status=status)

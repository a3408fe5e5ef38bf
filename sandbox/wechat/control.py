"""``/_control``: the simulator's own switches, for tests that run in another process."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.wechat import messages
from sandbox.wechat.faults import Fault
from sandbox.wechat.messages import UserAction

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


class ControlApi:
    """What can be switched and read over HTTP; everything is JSON."""

    def __init__(self, simulator: "WeChatSimulator") -> None:
        self._simulator = simulator

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_control/log", self._log),
            web.get("/_control/customers/{openid}", self._customer),
            web.get("/_control/faults", self._faults),
            web.post("/_control/faults", _json_only(self._add_fault)),
            web.delete("/_control/faults", self._clear_faults),
            web.post("/_control/token/expire", _json_only(self._expire)),
            web.post("/_control/token/revoke", _json_only(self._revoke)),
            web.post("/_control/push", _json_only(self._push)),
        ]

    async def _log(self, request: web.Request) -> web.Response:
        """``?kind=push&after=17&limit=1000``; oldest first."""
        after = int(request.query.get("after", 0))
        limit = int(request.query.get("limit", NEWEST_ENTRIES))
        entries = self._simulator.journal.entries(request.query.get("kind"), after=after)[:limit]
        return _json(
            {
                "entries": entries,
                "last": len(self._simulator.journal),
                "in_flight": self._simulator.pusher.in_flight,
            }
        )

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

    async def _faults(self, request: web.Request) -> web.Response:
        return _json({"faults": self._simulator.faults.as_json()})

    async def _add_fault(self, asked: dict[str, Any]) -> web.Response:
        self._simulator.faults.add(Fault(**asked))
        return _json({"faults": self._simulator.faults.as_json()})

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._simulator.faults.clear()
        return _json({"faults": []})

    async def _expire(self, asked: dict[str, Any]) -> web.Response:
        self._simulator.tokens.expire_all()
        return _json({"ok": True})

    async def _revoke(self, asked: dict[str, Any]) -> web.Response:
        self._simulator.tokens.revoke_all()
        return _json({"ok": True})

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

"""A helpdesk that misbehaves, for the hub's delivery tests."""

import asyncio
from dataclasses import dataclass
from typing import Literal, get_args

from aiohttp import web

from sandbox.http import cut

Misbehaviour = Literal["slow", "status", "drop_request", "drop_answer", "endless", "early_close"]
"""``slow``: acts, answers after *seconds* · ``status``: does not act, answers *code* ·
``drop_request``: does not act, cuts the connection · ``drop_answer``: acts, cuts the connection ·
``endless``: acts, answers 200 with a body that never ends ·
``early_close``: acts, breaks off within its answer."""

KINDS: frozenset[str] = frozenset(get_args(Misbehaviour))
ACTS_FIRST = KINDS - {"status", "drop_request"}
_PIECE = b"x" * 8192


@dataclass(slots=True)
class DeskFault:
    """How the next *count* webhooks are treated; 0 means all of them, until it is cleared."""

    kind: Misbehaviour
    count: int = 1
    seconds: float = 30.0
    code: int = 503
    retry_after: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"unknown misbehaviour {self.kind!r}; one of {', '.join(sorted(KINDS))}"
            )

    @property
    def acts(self) -> bool:
        """Whether the webhook is taken in although its answer goes wrong."""
        return self.kind in ACTS_FIRST

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.kind == "slow":
            await asyncio.sleep(self.seconds)
            return web.Response(status=204)
        if self.kind == "status":
            headers = (
                {"Retry-After": str(self.retry_after)} if self.retry_after is not None else None
            )
            return web.Response(status=self.code, headers=headers)
        if self.kind == "endless":
            return await _endless(request)
        if self.kind == "early_close":
            return await _early_close(request)
        cut(request)
        return web.Response(status=500)


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(_PIECE)
            await asyncio.sleep(0.01)
    except (ConnectionError, asyncio.CancelledError):
        return response


async def _early_close(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"{")
    cut(request)
    return response

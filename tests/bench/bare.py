"""The same HTTP calls by plain aiohttp, with nothing stored: what the helpdesk side is measured against.

python -m bench.bare answers    a web application that takes replies as the API does: reads the JSON and
                                answers 202 with a message; no token, no scope, no check of any field
python -m bench.bare calls      a client that posts events as the hub does: the same bodies, signed by the
                                same code, 64 at a time over kept connections; it waits for each answer
"""

import asyncio
import gc
import json
import os
import sys
import time
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from bench.events import Made, made_events
from hub.core import now
from hub.destination import Courier, Event
from hub.feed import with_order
from hub.ids import show_id, trace_parent
from hub.running import config_path
from hub.settings import load

IN_FLIGHT = 64

# --- answers --------------------------------------------------------------------------------------


async def _answer(request: web.Request) -> web.Response:
    said = await request.json()
    at = datetime.now(UTC).isoformat()
    shown = {
        "id": f"msg_{uuid.uuid4().hex}",
        "channel": "wechat",
        "account": "shop",
        "direction": "outbound",
        "seq": 1,
        "kind": "text",
        "text": said["text"],
        "html": said.get("html"),
        "subject": said.get("subject"),
        "sender": {
            "role": "agent",
            "address": {"scheme": "hub", "scope": "shop", "value": "proof"},
            "name": "proof",
        },
        "conversation": {
            "id": request.match_info["id"],
            "thread_key": "oBench000000",
            "is_group": False,
            "queue": "shop",
        },
        "external_id": None,
        "dedupe_key": request.headers["Idempotency-Key"],
        "in_reply_to": None,
        "sent_at": at,
        "received_at": None,
        "attachments": [],
        "location": None,
        "choice": None,
        "reply": None,
        "extra": {},
        "status": "queued",
        "status_at": at,
        "error": None,
    }
    return web.json_response(shown, status=202)


async def _ready(_request: web.Request) -> web.Response:
    return web.Response()


def answers() -> None:
    """Serve until ended."""
    app = web.Application()
    app.router.add_get("/ready", _ready)
    app.router.add_post("/v1/conversations/{id}/messages", _answer)
    web.run_app(
        app, host="127.0.0.1", port=int(os.environ["HUB_PORT"]), access_log=None, print=None
    )


# --- calls ----------------------------------------------------------------------------------------


async def calls() -> None:
    """Post what each line of standard input asks for, and answer how long that took."""
    loop = asyncio.get_running_loop()
    (plan,) = load(config_path(None)).destinations.values()
    assert plan.kind.courier is not None
    courier = plan.kind.courier(plan.target)
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector) as session:
        gc.disable()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            waiting = deque(made_events(**json.loads(line)))
            gc.collect()
            started = time.monotonic()
            await asyncio.gather(*(_post(session, courier, waiting) for _ in range(IN_FLIGHT)))
            print(json.dumps({"seconds": time.monotonic() - started}), flush=True)


async def _post(session: aiohttp.ClientSession, courier: Courier, waiting: deque[Made]) -> None:
    while waiting:
        one = waiting.popleft()
        call = courier.request(_event(one), now())
        async with session.post(call.url, data=call.body, headers=call.headers) as answer:
            await answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"the receiver answered {answer.status}")


def _event(one: Made) -> Event:
    told: dict[str, Any] = {"message": msgspec.Raw(one.shown)}
    body = msgspec.json.encode({"type": "message.received", "timestamp": now(), "data": told})
    return Event(
        id=show_id("evt", one.message),
        type="message.received",
        body=with_order(body, 1, 1),
        trace=trace_parent(one.message, one.message),
    )


if __name__ == "__main__":
    if sys.argv[1] == "answers":
        answers()
    else:
        asyncio.run(calls())

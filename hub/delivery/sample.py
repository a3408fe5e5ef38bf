"""A signed sample event, to try a destination by hand."""

from collections.abc import Mapping
from typing import Any

import msgspec

from hub.core import Core
from hub.delivery.target import Target
from hub.destination import Event
from hub.errors import SendError
from hub.ids import new_id, show_id
from hub.redact import HIDDEN
from hub.settings import DestinationPlan

__all__ = ["Sample", "send_sample"]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent and what came back; *signed* is the text that the signature is over.

    *status* is None when no answer came; *error* says why.
    """

    url: str
    headers: Mapping[str, str]
    body: str
    signed: str
    ok: bool
    status: int | None = None
    answer: str | None = None
    error: str | None = None
    duration_ms: int = 0


async def send_sample(core: Core, plan: DestinationPlan) -> Sample:
    """Send a ``hub.test`` event to a webhook now, beside everything that waits for it.

    Raises:
        ValueError: the destination is no webhook.
    """
    target = Target(plan)
    if target.courier is None:
        raise ValueError(f"{plan.target.name} is no webhook: hub check tries it")
    now = core.clock()
    data: dict[str, Any] = {"text": "A sample. Nothing happened."}
    body = msgspec.json.encode({"type": "hub.test", "timestamp": now, "data": data})
    event = Event(id=show_id("evt", new_id()), type="hub.test", body=body)
    call = target.courier.request(event, now)
    shown = {
        name: value if name.startswith("webhook-") or name == "content-type" else HIDDEN
        for name, value in call.headers.items()
    }
    sent: dict[str, Any] = {
        "url": call.url,
        "headers": shown,
        "body": body.decode(),
        "signed": f"{event.id}.{call.headers['webhook-timestamp']}.{body.decode()}",
    }
    clock = core.clock
    try:
        status, _, answer = await target.fetcher.post(
            call.url, call.body, call.headers, plan.timeout_s
        )
    except SendError as error:
        return Sample(**sent, ok=False, error=error.detail or error.sentence)
    finally:
        await target.fetcher.close()
    took = int((clock() - now).total_seconds() * 1000)
    text = answer[:1000].decode("utf-8", "replace")
    return Sample(**sent, ok=200 <= status < 300, status=status, answer=text, duration_ms=took)

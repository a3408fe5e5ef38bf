"""Showing the customer that somebody is writing."""

from typing import Annotated

import structlog
from msgspec import Meta, Struct

from hub.channel import Typist
from hub.errors import SendError
from hub.model import Address
from hub.store import api as rows
from hub.web.problems import not_found
from hub.web.routes import Call, Nothing, RouteTable
from hub.web.shapes import own_id

table = RouteTable()
_log = structlog.get_logger("hub.web")


class Writing(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether somebody is writing."""

    on: Annotated[bool, Meta(description="False: not any more")] = True


class Shown(Struct, frozen=True):
    """What came of it."""

    shown: Annotated[bool, Meta(description="Whether the platform took it")]


@table.add(
    "POST",
    "/v1/conversations/{id}/typing",
    tag="Conversations",
    scope="reply",
    body=Writing,
    answer=Shown,
    problems=(404,),
)
async def show_typing(call: Call[Nothing, Writing]) -> Shown:
    """Show the customer that somebody is writing.

    A courtesy: it is not kept, not repeated, and costs no reply. `shown` is false where the platform
    has no such thing or does not allow it now. WeChat shows it for 15 seconds, within 30 seconds after
    the customer did something.
    """
    found = await rows.conversation(call.core.db, call.queues, own_id("cnv", call.path["id"]))
    if found is None:
        raise not_found()
    running = call.core.accounts.get(found["account"])
    sender: object = running.sender if running is not None and running.plan.enabled else None
    if not isinstance(sender, Typist) or found["account"] in await call.core.accounts.stopped():
        return Shown(False)
    to = Address(found["address_scheme"], found["address_scope"], found["address_value"])
    try:
        return Shown(await sender.typing(to, on=call.body.on))
    except SendError as error:
        _log.info("typing_not_shown", account=found["account"], error=error.code)
        return Shown(False)

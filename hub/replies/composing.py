"""From what a helpdesk wrote to the drafts of its channel: when it is accepted, and again in the lane."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from hub import ledger
from hub.channel import Capabilities, Sender
from hub.core import now
from hub.errors import OptedOut, Unsupported, WindowClosed
from hub.ids import read_id, show_id
from hub.model import Address, Allowance, Draft, Reply, ReplyAttachment
from hub.outbox import to_json
from hub.replies.closed import in_template
from hub.replies.request import ReplyRequest
from hub.settings import ClosedTemplate, WhenClosed
from hub.store import outbox, replies
from hub.store.consents import withdrawn_at
from hub.store.ledger import Reader

__all__ = [
    "Facts",
    "NotReady",
    "Outlet",
    "Stored",
    "compose",
    "compose_by",
    "home_of",
    "new_drafts",
    "outlet_of",
    "read_draft",
    "reply_of",
    "stored_of",
]


class Stored(Struct, frozen=True, kw_only=True):
    """What a queued reply keeps of its request, to be composed again from it.

    *context* is what the sender of the channel needs to answer; *attachments* are the ids of its files
    in order, also of those that are fetched from a URL. *forced*: a person asked to try it now.
    *queues*: those that whoever asked sees; None for all.
    """

    request: ReplyRequest
    context: Mapping[str, Any] = {}
    in_reply_to: str | None = None
    attachments: tuple[str, ...] = ()
    forced: bool = False
    queues: tuple[str, ...] | None = None


class NotReady(Exception):
    """A file of the reply is still being fetched."""


class Outlet(NamedTuple):
    """How an account sends: its sender, what its channel can do, and what to do when it may not."""

    sender: Sender
    capabilities: Capabilities
    when_closed: WhenClosed
    closed_template: ClosedTemplate | None = None
    closed_accounts: tuple[str, ...] = ()

    @property
    def windowed(self) -> bool:
        """Whether the ledger counts for this channel."""
        return ledger.is_windowed(self.capabilities)


def outlet_of(core: Any, account: str) -> Outlet | None:
    """How *account* sends; None when it is not configured, or is not to send."""
    running = core.accounts.get(account)
    if running is None or not running.plan.enabled or running.sender is None:
        return None
    plan = running.plan
    return Outlet(
        running.sender,
        plan.channel.capabilities,
        plan.when_closed,
        plan.closed_template,
        plan.closed_accounts,
    )


async def compose(
    reader: Reader,
    outlet: Outlet,
    place: Any,
    stored: Stored,
    message_id: UUID,
    created_at: datetime,
    *,
    wait_for_files: bool,
) -> Sequence[Draft]:
    """The drafts that say *stored* in the conversation *place* (its row) as things are now.

    Where the platform allows nothing, the account's template says it, if that is its plan and it can.

    Raises:
        WindowClosed, Unsupported: as the channel's sender says.
        OptedOut: the customer's last word was that they do not want to be written to.
        NotReady: a file is not there yet; only with *wait_for_files*.
    """
    files = await _files(reader, stored, wait_for_files=wait_for_files)
    known = await ledger.known(reader, [place["id"]]) if outlet.windowed else {}
    lately: tuple[Any, ...] = ()
    if guarded := outlet.capabilities.drops_repeats_for:
        said = await replies.said_lately(reader, place["id"], message_id, now() - guarded)
        lately = tuple(map(msgspec.json.decode, said))
    withdrawn = await withdrawn_at(reader, place["account"], home_of(place))
    facts = Facts(withdrawn, known.get(place["id"], ()), files, lately)
    return compose_by(outlet, place, stored, facts, message_id, created_at)


class Facts(NamedTuple):
    """What composing looks at besides the reply and its conversation."""

    withdrawn_at: datetime | None = None
    allowances: Sequence[Allowance] = ()
    files: tuple[ReplyAttachment, ...] = ()
    said_lately: tuple[Any, ...] = ()


def compose_by(
    outlet: Outlet,
    place: Any,
    stored: Stored,
    facts: Facts,
    message_id: UUID,
    created_at: datetime,
) -> Sequence[Draft]:
    """:func:`compose`, once all is known. Pure."""
    _check_consent(facts.withdrawn_at, place)
    reply = reply_of(place, stored, facts.files, message_id, created_at)
    if facts.said_lately:
        reply = msgspec.structs.replace(reply, said_lately=facts.said_lately)
    drafts = _composed(outlet, reply, facts.allowances)
    if not any(draft.role == "say" for draft in drafts):
        raise Unsupported("there is nothing that this channel could say of it")
    return drafts


def _check_consent(since: datetime | None, place: Any) -> None:
    """Whoever writes again after an opt-out is answered; nobody is written to against it."""
    wrote_at = place["last_inbound_at"]
    if since is not None and (wrote_at is None or wrote_at <= since):
        raise OptedOut(f"since {since:%Y-%m-%d %H:%M} UTC")


def home_of(place: Any) -> Address:
    """The address that a conversation (its row) is with."""
    return Address(place["address_scheme"], place["address_scope"], place["address_value"])


def _composed(outlet: Outlet, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
    try:
        return outlet.sender.compose(reply, allowances)
    except WindowClosed:
        if outlet.when_closed != "template" or outlet.closed_template is None:
            raise
        instead = in_template(outlet.closed_template, reply)
        if instead is None:
            raise
        drafts = list(outlet.sender.compose(instead, ()))
        note = f"said by template {outlet.closed_template.id}: the platform allows no free text now"
        drafts[0] = msgspec.structs.replace(drafts[0], note=note, text=reply.text)
        return drafts


def reply_of(
    place: Any,
    stored: Stored,
    files: tuple[ReplyAttachment, ...] = (),
    message_id: UUID | None = None,
    created_at: datetime | None = None,
) -> Reply:
    """What *stored* wants said in the conversation *place* (its row), for the channel's sender."""
    request = stored.request
    return Reply(
        to=home_of(place),
        thread_key=place["thread_key"],
        text=request.text,
        html=request.html,
        subject=request.subject,
        attachments=files,
        menu=request.menu,
        template=request.template,
        location=request.location,
        link=request.link,
        in_reply_to=stored.in_reply_to,
        reply_context=stored.context or msgspec.json.decode(place["reply_context"]),
        last_inbound_at=place["last_inbound_at"],
        message_id=show_id("msg", message_id) if message_id else None,
        created_at=created_at,
        automatic=request.automatic,
    )


async def _files(
    reader: Reader, stored: Stored, *, wait_for_files: bool
) -> tuple[ReplyAttachment, ...]:
    ids = [own for shown in stored.attachments if (own := read_id("att", shown))]
    found = await replies.attachments_of(reader, ids)
    files = []
    for own in ids:
        row = found.get(own)
        if row is None:
            raise Unsupported("a file of this reply is gone")
        if row["state"] != "stored" and wait_for_files:
            if row["state"] == "pending":
                raise NotReady
            raise Unsupported(f"a file of this reply could not be fetched: {row['error'] or ''}")
        files.append(_file(row))
    return tuple(files)


def _file(row: Any) -> ReplyAttachment:
    kind: Any = "image" if row["kind"] == "sticker" else row["kind"]
    return ReplyAttachment(
        kind=kind,
        filename=row["filename"],
        mime_type=row["mime_type"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        id=show_id("att", row["id"]),
        url=msgspec.json.decode(row["source"]).get("url"),
    )


def new_drafts(message_id: UUID, drafts: Sequence[Draft]) -> list[outbox.NewDraft]:
    """*drafts* as rows to be."""
    return [
        outbox.NewDraft(message_id, position, draft.role, to_json(draft))
        for position, draft in enumerate(drafts)
    ]


def stored_of(message: Any) -> Stored | None:
    """What the reply was made from; None for the hub's own, which are sent as they are."""
    text = message["reply_context"]
    return None if text == "{}" else msgspec.json.decode(text, type=Stored)


def read_draft(row: Any) -> Draft:
    """The draft behind a row."""
    return msgspec.json.decode(row["call"], type=Draft)

"""Handing an event over to a connected helpdesk: what each type of event means there.

No transaction or lock is held across a call, for a helpdesk may call back inside it.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog

from hub.core import Core
from hub.destination import Case, Post, PostFile, Ticket, Told
from hub.errors import Ambiguous, Rejected, Unsupported
from hub.ids import read_id, show_id
from hub.model import Address, Location
from hub.store import tickets as rows
from hub.store.lanes import ClaimedLane, Head
from hub.tickets.desks import RunningDesk
from hub.tickets.keeping import keeping
from hub.tickets.posting import Posting

__all__ = ["hand_over"]

WITHIN_S = 90.0
RENEW_S = 8.0
GONE = ("404", "410")
"""What a helpdesk says of a ticket that was deleted there."""

EXTENSIONS = {"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "audio/amr": ".amr"}

_log = structlog.get_logger("hub.tickets")


async def hand_over(core: Core, running: RunningDesk, lane: ClaimedLane, head: Head) -> None:
    """Do what the event at the *head* of *lane* means at the helpdesk; what is done already is not
    done again.

    Raises:
        SendError: the helpdesk did not take it; the narrowest class says whose fault it is.
    """
    body = msgspec.json.decode(head.body)
    handing = _Handing(
        core,
        running,
        lane.conversation_id,
        show_id("evt", head.event_id),
        insists=head.replayed and head.tries == 0,
    )

    def keep() -> Awaitable[bool]:
        return rows.keep_lane(core.db, lane.id, lane.epoch)

    try:
        async with asyncio.timeout(WITHIN_S), keeping(keep, RENEW_S):
            await handing.do(str(body["type"]), body["data"])
    except TimeoutError as error:
        raise Ambiguous(f"not done in {WITHIN_S:g} s") from error


class _Handing:
    """One event on its way into a ticket.

    *insists*: a person has it replayed, so what nobody can look up is posted once more.
    """

    def __init__(
        self,
        core: Core,
        running: RunningDesk,
        conversation_id: UUID,
        event_id: str,
        *,
        insists: bool,
    ) -> None:
        self._core = core
        self._running = running
        self._desk = running.desk
        self._name = running.name
        self._conversation_id = conversation_id
        self._event_id = event_id
        self._posting = Posting(core, running, conversation_id, insists=insists)

    async def do(self, kind: str, data: Mapping[str, Any]) -> None:
        """Do what an event means.

        Where the helpdesk has deleted the ticket, a message makes another, and what else there is to tell
        is told to nobody.
        """
        number, ticket = await self._ticket()
        try:
            await self._do(kind, data, number, ticket)
        except Rejected as error:
            if ticket is None or not await self._is_gone(ticket, error):
                raise
            _log.warning("ticket_gone", destination=self._name, ticket=ticket.ref)
            if kind == "message.received":
                await self._message(data["message"], 0, None, gone=ticket)

    async def _ticket(self) -> tuple[int, Ticket | None]:
        found = await rows.current_ticket(self._core.db, self._name, self._conversation_id)
        return found or (0, None)

    async def _is_gone(self, ticket: Ticket, refusal: Rejected) -> bool:
        """Whether that is what *refusal* means: the ticket itself is asked for."""
        if refusal.external_code not in ("400", *GONE):  # 400: a form that names no ticket
            return False
        try:
            await self._desk.look(ticket, None)
        except Rejected as error:
            return error.external_code in GONE
        return False

    async def _do(
        self, kind: str, data: Mapping[str, Any], number: int, ticket: Ticket | None
    ) -> None:
        """Each type of event has its own meaning; what has none here is left."""
        if kind == "message.received":
            await self._message(data["message"], number, ticket)
        elif kind == "conversation.updated":
            await self._conversation(ticket)
        elif ticket is None:
            return  # nothing else makes a ticket
        elif kind == "message.status":
            await self._status(data["message"], ticket)
        elif kind == "attachment.ready":
            await self._file(data, ticket)
        elif kind == "notice.received":
            await self.note(ticket, str(data["notice"]["text"]))
        elif kind == "delivery.gap":
            await self.note(ticket, f"The hub could not hand over something here: {data['reason']}")

    # -- what was said -------------------------------------------------------------------------------

    async def _message(
        self,
        message: Mapping[str, Any],
        number: int,
        ticket: Ticket | None,
        gone: Ticket | None = None,
    ) -> None:
        """*gone*: the ticket that was deleted, in the place of which another is made."""
        post = await self._post_of(message)
        case = await self._case(message)
        if ticket is not None and (
            case.number <= number or self._running.on_reopen == "same_ticket"
        ):
            await self._posting.add(ticket, post)
            if ticket.state == "resolved" and post.role == "contact":
                await self._set_state(ticket, "open")
            return
        await self._assign(await self._posting.open(case, post, gone))

    async def _post_of(self, message: Mapping[str, Any]) -> Post:
        own = read_id("msg", message["id"])
        sender = message["sender"]
        location = message.get("location")
        reply = message.get("reply") or {}
        until = _time(reply.get("until"))
        role = "contact" if sender["role"] == "contact" else "agent"
        return Post(
            key=message["id"],
            role=role,  # type: ignore[arg-type]
            text=message["text"] or "",
            html=message.get("html"),
            author=sender.get("name"),
            at=_time(message.get("sent_at")) or self._core.clock(),
            files=await self._files(own) if own else (),
            location=msgspec.convert(location, Location) if location else None,
            footer=self._footer(message, until, reply.get("remaining")),
            reply_until=until,
            replies_left=reply.get("remaining"),
        )

    def _footer(self, message: Mapping[str, Any], until: datetime | None, left: Any) -> str:
        """What an agent has to know before answering: the channel, the deadline, how much is left."""
        parts = [f"{self._title(message['account'])} · {message['account']}"]
        if until is not None:
            parts.append(f"reply until {until.astimezone(self._running.zone):%Y-%m-%d %H:%M %Z}")
        if left is not None:
            parts.append("1 reply left" if left == 1 else f"{left} replies left")
        return " · ".join(parts)

    def _title(self, account: str) -> str:
        plan = self._core.settings.accounts.get(account)
        return plan.channel.title if plan else "a channel that is gone"

    async def _case(self, message: Mapping[str, Any]) -> Case:
        row = await rows.case_row(self._core.db, self._conversation_id)
        if row is None:
            raise Rejected("the conversation is gone")
        return Case(
            conversation_id=show_id("cnv", row["id"]),
            number=row["case_number"],
            channel=row["channel"],
            channel_title=self._title(row["account"]),
            account=row["account"],
            queue=row["queue"],
            address=Address(row["address_scheme"], row["address_scope"], row["address_value"]),
            is_group=row["is_group"],
            name=row["contact_name"],
            subject=message.get("subject") or row["subject"],
        )

    async def _files(self, message_id: UUID, only: str | None = None) -> tuple[PostFile, ...]:
        found = []
        for row in await rows.stored_files(self._core.db, message_id):
            key = show_id("att", row["id"])
            if only not in (None, key):
                continue
            content = await self._core.media.blobs.read(row["sha256"])
            if content is None:
                continue
            mime_type = row["mime_type"] or "application/octet-stream"
            name = row["filename"] or f"{row['kind']}-{key[-6:]}{EXTENSIONS.get(mime_type, '')}"
            link = f"{base}/v1/attachments/{key}" if (base := self._base) else None
            found.append(
                PostFile(key=key, filename=name, mime_type=mime_type, content=content, link=link)
            )
        return tuple(found)

    @property
    def _base(self) -> str:
        return (self._core.settings.hub.public_url or "").rstrip("/")

    async def _file(self, data: Mapping[str, Any], ticket: Ticket) -> None:
        """A file that came after its message."""
        message_id = read_id("msg", data["message_id"])
        attachment = data["attachment"]
        if message_id is None:
            return
        if attachment["state"] != "stored":
            await self.note(ticket, f"A file could not be had: it is {attachment['state']}.")
            return
        files = await self._files(message_id, attachment["id"])
        if files:
            name = files[0].filename
            post = self._posting.hub_post(attachment["id"], name, "contact", files)
            await self._posting.add(ticket, post)

    # -- what became of it ---------------------------------------------------------------------------

    async def _status(self, message: Mapping[str, Any], ticket: Ticket) -> None:
        own = read_id("msg", message["id"])
        heard = await rows.message_heard(self._core.db, self._name, own) if own else None
        ref, ticket = heard or (None, ticket)
        status, error = message.get("status"), message.get("error") or {}
        reason = " ".join(filter(None, (error.get("message"), error.get("detail")))) or None
        if ref is None:  # said in another helpdesk, or by the API: agents here want to know
            text = f"{message['sender'].get('name') or 'Somebody'} answered: {message['text']}"
            await self._posting.add(ticket, self._posting.hub_post(message["id"], text, "agent"))
            if status not in ("failed", "unknown", "held"):
                return
        before = await self._posting.begin([self._event_id])
        if self._event_id in before and before[self._event_id].done:
            return
        told = Told(ref=ref, status=str(status), text=message["text"] or "", reason=reason)
        await self._desk.tell(ticket, told)
        await self._posting.finish([self._event_id], ticket, ref or "")

    async def _conversation(self, ticket: Ticket | None) -> None:
        """Give the ticket the state that the conversation has now: as with assignees, an event may be older
        than what an agent has done since."""
        if ticket is None:
            return
        await self._assign(ticket)
        row = await rows.case_row(self._core.db, self._conversation_id)
        state = row["state"] if row is not None else ticket.state
        if ticket.state == state:
            return
        if state == "open" and self._running.on_reopen == "new_ticket":
            return  # the message that follows opens another
        await self._set_state(ticket, state)

    async def _assign(self, ticket: Ticket) -> None:
        """Give the ticket to whom the conversation is assigned now: an event may be older than what an
        agent has done in the helpdesk since."""
        row = await rows.case_row(self._core.db, self._conversation_id)
        if row is None or row["assignee"] == ticket.assignee:
            return
        assignee: str | None = row["assignee"]
        if assignee is not None and await rows.is_anothers(
            self._core.db, self._name, self._conversation_id, assignee
        ):
            return
        try:
            await self._desk.assign(ticket, assignee)
        except (Rejected, Unsupported) as error:
            await self.note(ticket, f"Not assigned to {assignee or 'nobody'}: {error.reason}")
            return
        await rows.note_assignee(self._core.db, self._name, ticket.ref, assignee)

    async def _set_state(self, ticket: Ticket, state: Any) -> None:
        await self._desk.change(ticket, state)
        await rows.note_state(self._core.db, self._name, ticket.ref, state)

    async def note(self, ticket: Ticket, text: str) -> None:
        """Tell agents something."""
        await self._posting.add(ticket, self._posting.hub_post(self._event_id, text, "hub"))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None

"""Handing an event over to a connected helpdesk.

The intent to post is on disk before the call, its outcome after it: a post that nobody confirmed is
looked up at the helpdesk and never repeated blindly. No transaction or lock is held across a call, for a
helpdesk may call back inside it.
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
from hub.errors import Ambiguous, Rejected, SendError, Unknowable, Unreachable, Unsupported
from hub.failpoints import failpoint
from hub.ids import read_id, show_id
from hub.model import Address, Location
from hub.store import Transaction
from hub.store import tickets as rows
from hub.store.lanes import ClaimedLane, Head
from hub.tickets.desks import RunningDesk
from hub.tickets.keeping import keeping

__all__ = ["Unsure", "hand_over", "post_note"]

WITHIN_S = 90.0
RENEW_S = 8.0
UNSURE_TIMES = 2
"""A helpdesk that has not answered may still take a post for so many time-outs; it is not posted again
before."""

GATEWAY_ERRORS = ("502", "503", "520", "521", "522", "523", "525", "526", "530")
"""What stands before a helpdesk answers so (those from 520 on are Cloudflare's); what it passed on, and
did not, is seen by looking it up."""
GATEWAY_TIMEOUTS = ("504", "524")

GONE = ("404", "410")
"""What a helpdesk says of a ticket that was deleted there."""

EXTENSIONS = {"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "audio/amr": ".amr"}

_log = structlog.get_logger("hub.tickets")


class Unsure(Ambiguous):
    """A post was not answered and is not there; it may still come."""

    code = "unsure"


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
        insists: bool = False,
    ) -> None:
        self._core = core
        self._running = running
        self._desk = running.desk
        self._name = running.name
        self._conversation_id = conversation_id
        self._event_id = event_id
        self._insists = insists

    async def do(self, kind: str, data: Mapping[str, Any]) -> None:
        """Do what an event means; once more, when the helpdesk has deleted the ticket that there was."""
        number, ticket = await self._ticket()
        try:
            await self._do(kind, data, number, ticket)
        except Rejected as error:
            if ticket is None or not await self._is_gone(ticket, error):
                raise
            _log.warning("ticket_gone", destination=self._name, ticket=ticket.ref)
            await rows.forget_ticket(self._core.db, self._name, ticket.ref)
            await self._do(kind, data, *await self._ticket())

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
        self, message: Mapping[str, Any], number: int, ticket: Ticket | None
    ) -> None:
        post = await self._post_of(message)
        case = await self._case(message)
        if ticket is not None and (
            case.number <= number or self._running.on_reopen == "same_ticket"
        ):
            await self._add(ticket, post)
            if ticket.state == "resolved" and post.role == "contact":
                await self._set_state(ticket, "open")
            return
        await self._assign(await self._open(case, post))

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
            await self._add(ticket, self._hub_post(attachment["id"], name, "contact", files))

    # -- what became of it ---------------------------------------------------------------------------

    async def _status(self, message: Mapping[str, Any], ticket: Ticket) -> None:
        own = read_id("msg", message["id"])
        heard = await rows.message_heard(self._core.db, self._name, own) if own else None
        ref, ticket = heard or (None, ticket)
        status, error = message.get("status"), message.get("error") or {}
        reason = " ".join(filter(None, (error.get("message"), error.get("detail")))) or None
        if ref is None:  # said in another helpdesk, or by the API: agents here want to know
            text = f"{message['sender'].get('name') or 'Somebody'} answered: {message['text']}"
            await self._add(ticket, self._hub_post(message["id"], text, "agent"))
            if status not in ("failed", "unknown", "held"):
                return
        done = await rows.begin_post(
            self._core.db,
            self._name,
            [self._event_id],
            self._conversation_id,
            self._core.clock(),
        )
        if self._event_id in done and done[self._event_id].done:
            return
        told = Told(ref=ref, status=str(status), text=message["text"] or "", reason=reason)
        await self._desk.tell(ticket, told)
        await self._finish([self._event_id], ticket, ref or "")

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
        await self._add(ticket, self._hub_post(self._event_id, text, "hub"))

    def _hub_post(self, key: str, text: str, role: Any, files: tuple[PostFile, ...] = ()) -> Post:
        return Post(key=key, role=role, text=text, at=self._core.clock(), files=files)

    # -- posting once --------------------------------------------------------------------------------

    async def _open(self, case: Case, post: Post) -> Ticket:
        first = msgspec.structs.replace(post, files=())  # they follow, each once
        keys = [case.key, post.key]
        before = await self._begin(keys, case.key)
        if post.key in before and (where := before[post.key].where) not in (None, case.key):
            await rows.forget_post(self._core.db, self._name, [case.key])
            return await self._resume(case, str(where), post)
        made: tuple[Ticket, str | None] | None = None
        if case.key in before:
            made = await self._found_ticket(case, first, is_same=post.key in before)
            self._check_age(before[case.key], made)
        if made is None:
            await self._begin_again(before)
            try:
                made = await self._desk.open(case, first)
            except Ambiguous as error:
                made = await self._surely(self._desk.find_ticket(case, first), error, keys)
            except SendError:
                await rows.forget_post(self._core.db, self._name, keys)
                raise
        ticket, ref = made
        failpoint("tickets.opened")
        await self._keep_ticket(case, ticket, keys if ref else [case.key], ref or "")
        if ref is None:  # the ticket was made, and its first message was not
            await rows.forget_post(self._core.db, self._name, [post.key])
        if ref is None or post.files:
            await self._add(ticket, post)
        return ticket

    async def _resume(self, case: Case, where: str, post: Post) -> Ticket:
        """Go on with a post where it was begun: the conversation has been opened once more since, and a
        post that nobody confirmed is looked up there, not here."""
        ticket = await rows.ticket_of(self._core.db, self._name, where)
        if ticket is not None:
            await self._add(ticket, post)
            return ticket
        number = int(where.rpartition(":")[2])
        return await self._open(msgspec.structs.replace(case, number=number), post)

    async def _found_ticket(
        self, case: Case, post: Post, *, is_same: bool
    ) -> tuple[Ticket, str | None] | None:
        """The ticket of a case that was begun before; *is_same*: by this very post.

        Another message makes another ticket, where nobody can tell what became of the first.
        """
        try:
            return await self._desk.find_ticket(case, post)
        except Unknowable:
            if is_same and not self._insists:
                raise
            return None

    async def _keep_ticket(self, case: Case, ticket: Ticket, keys: list[str], ref: str) -> None:
        async def work(tx: Transaction) -> None:
            now = self._core.clock()
            await rows.insert_ticket(
                tx,
                self._name,
                self._conversation_id,
                case.number,
                ticket,
                self._running.poll_s,
                now,
            )
            await rows.finish_post(tx, self._name, keys, ticket.ref, ref, now)

        await self._core.db.transaction(work)

    async def _add(self, ticket: Ticket, post: Post) -> None:
        """Put *post* into the ticket once; files that are too many for one post make further ones."""
        each = self._desk.files_each
        rest = post.files[each:]
        await self._add_one(ticket, msgspec.structs.replace(post, files=post.files[:each]))
        for start in range(0, len(rest), each):
            some = rest[start : start + each]
            names = ", ".join(file.filename for file in some)
            await self._add_one(ticket, self._hub_post(some[0].key, names, post.role, some))

    async def _add_one(self, ticket: Ticket, post: Post) -> None:
        files = [file.key for file in post.files if file.key != post.key]
        before = await self._begin([post.key, *files], ticket.ref)
        known = {key for key, begun in before.items() if begun.done}
        if post.key in known:
            left = tuple(file for file in post.files if file.key not in known)
            if left:  # those of a message that opened its ticket
                names = ", ".join(file.filename for file in left)
                more = self._hub_post(f"{post.key}/files", names, post.role, left)
                await self._add(ticket, more)
            return
        if known:  # a file that went by itself before
            kept = tuple(file for file in post.files if file.key not in known)
            post = msgspec.structs.replace(post, files=kept)
        keys = [post.key, *(key for key in files if key not in known)]
        ref = None
        if post.key in before:
            ref = await self._found(ticket, post)
            self._check_age(before[post.key], ref)
        if ref is None:
            await self._begin_again(before)
            try:
                ref = await self._desk.add(ticket, post)
            except Ambiguous as error:
                ref = await self._surely(self._found(ticket, post), error, keys)
            except SendError:
                await rows.forget_post(self._core.db, self._name, keys)
                raise
        failpoint("tickets.added")
        await self._finish(keys, ticket, ref)

    async def _found(self, ticket: Ticket, post: Post) -> str | None:
        """The post at the helpdesk, where nobody confirmed it; not one that another post is known to be."""
        try:
            candidates = await self._desk.find(ticket, post)
        except Unknowable:
            if not self._insists:
                raise
            candidates = ()
        taken = await rows.own_refs(self._core.db, self._name, candidates)
        return next((ref for ref in candidates if ref not in taken), None)

    def _check_age(self, begun: rows.Begun, found: Any) -> None:
        """Raises Unsure while a post that is not found may still be on its way."""
        left = UNSURE_TIMES * self._running.plan.timeout_s - begun.age_s
        if found is None and left > 0 and not self._insists:
            raise Unsure("a post was not answered; it may still come", retry_after=left)

    async def _begin(self, keys: list[str], where: str) -> dict[str, rows.Begun]:
        return await rows.begin_post(
            self._core.db, self._name, keys, self._conversation_id, self._core.clock(), where
        )

    async def _begin_again(self, before: Mapping[str, rows.Begun]) -> None:
        """What was not found is posted once more, and may be on its way from now on."""
        keys = [key for key, begun in before.items() if not begun.done]
        if keys:
            await rows.renew_post(self._core.db, self._name, keys, self._core.clock())

    async def _finish(self, keys: list[str], ticket: Ticket, ref: str) -> None:
        async def work(tx: Transaction) -> None:
            await rows.finish_post(tx, self._name, keys, ticket.ref, ref, self._core.clock())

        await self._core.db.transaction(work)

    async def _surely(self, find: Any, error: Ambiguous, keys: list[str]) -> Any:
        """What *find* finds of a post whose outcome is not known.

        One that was answered with an error and is not there, although the helpdesk is well, is refused; by
        what stands before the helpdesk, it is not.
        """
        found = await find
        if found is not None:
            return found
        if error.external_code in (None, *GATEWAY_TIMEOUTS):  # nobody answered: it may still come
            raise error
        await rows.forget_post(self._core.db, self._name, keys)
        if error.external_code in GATEWAY_ERRORS:
            raise Unreachable(error.detail, external_code=error.external_code) from error
        raise Rejected(f"it answers, and does not take this: {error.detail}") from error


async def post_note(
    core: Core, running: RunningDesk, conversation_id: UUID, ticket: Ticket, key: str, text: str
) -> None:
    """Tell the agents of *ticket* something, once for each *key*."""
    handing = _Handing(core, running, conversation_id, key)
    await handing.note(ticket, text)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None

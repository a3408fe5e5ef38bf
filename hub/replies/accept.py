"""Taking a reply in: refused early with a reason, or stored with its drafts in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from hub.core import Core
from hub.errors import QuotaUsedUp, WindowClosed
from hub.ids import new_id, read_id, show_id
from hub.model import Attachment, Draft
from hub.outbox import raise_replies, tell, to_json
from hub.replies.announcing import announce
from hub.replies.composing import Outlet, Stored, compose, new_drafts, outlet_of
from hub.replies.elsewhere import elsewhere, is_closed
from hub.replies.errors import AccountRemoved, InvalidReply, free_again
from hub.replies.making import Said
from hub.replies.pace import Pace
from hub.replies.request import AskedIn, Author, ReplyRequest
from hub.replies.restraint import restrain
from hub.store import Transaction, outbox, quotas, replies

__all__ = ["Accepted", "accept"]


class Accepted(NamedTuple):
    """A reply that will be sent: *message* is what the API shows of it."""

    message_id: UUID
    message: Mapping[str, Any]
    destinations: frozenset[str]
    fetches: bool = False

    def ring(self, core: Core) -> None:
        """Wake those who have work now; after the commit."""
        core.bells.ring("reply")
        if self.fetches:
            core.bells.ring("media")
        if self.destinations:
            core.bells.ring("deliver")


async def accept(
    core: Core,
    tx: Transaction,
    conversation: Any,
    request: ReplyRequest,
    *,
    author: Author,
    asked_in: AskedIn | None = None,
) -> Accepted:
    """Store *request* as the next message of *conversation* (its row, or anything with its ``id``).

    What the platform does not allow now is held for the customer where the account's plan says so. Where
    the plan is another channel, that is chosen here, unless it has been already: then *asked_in* says of
    which conversation this one takes the place.
    The caller commits, then calls :meth:`Accepted.ring`.

    Raises:
        InvalidReply: the request refers to what is not there, or says nothing.
        WindowClosed, Unsupported: the channel cannot say it.
        OptedOut, QuotaUsedUp: the customer or the platform does not want it now.
        AnsweringMachine, TooManyAnswers: it would feed a loop of machines.
        AccountRemoved: the account is not configured any more.
    """
    request.check()
    place = await replies.lock_conversation(tx, conversation["id"])
    outlet = outlet_of(core, place["account"])
    if outlet is None:
        raise AccountRemoved(place["account"])
    if outlet.when_closed == "other" and request.template is None and asked_in is None:
        asked = place["id"]
        place, outlet, request = await _open_way(core, tx, place, outlet, request, author)
        asked_in = AskedIn(asked, "closed") if asked != place["id"] else None
    await restrain(tx, outlet.sender, place, core.clock(), automatic=request.automatic)
    made = _Making(core, tx, place, request, author, asked_in)
    await made.look_up()
    return await made.store(outlet)


async def _open_way(
    core: Core,
    tx: Transaction,
    place: Any,
    outlet: Outlet,
    request: ReplyRequest,
    author: Author,
) -> tuple[Any, Outlet, ReplyRequest]:
    """Another conversation of the same contact where *place* is closed now; else as things are."""
    if not await is_closed(core, tx, outlet, place["id"]):
        return place, outlet, request
    other = await elsewhere(core, tx, place, request, outlet.closed_accounts, author.queues)
    way = outlet_of(core, other["account"]) if other is not None else None
    if way is None:
        return place, outlet, request
    return other, way, msgspec.structs.replace(request, in_reply_to=None)


class _Making:
    """One reply on its way into the database."""

    def __init__(
        self,
        core: Core,
        tx: Transaction,
        place: Any,
        request: ReplyRequest,
        author: Author,
        asked_in: AskedIn | None,
    ) -> None:
        self._asked_in = asked_in
        self._core, self._tx, self._place = core, tx, place
        self._request, self._author = request, author
        self._own = new_id()
        self._now: datetime = core.clock()
        self._stored = Stored(request=request, queues=author.queues)
        self._files: tuple[Attachment, ...] = ()
        self._first_held = False  # nothing else waits for the customer yet

    async def look_up(self) -> None:
        """Find what the request refers to, and enter the files that are to be fetched."""
        context, external_id = await self._answered()
        self._files = await self._attachments()
        shown = tuple(one.id for one in self._files if one.id)
        self._stored = Stored(
            request=self._request,
            context=context,
            in_reply_to=external_id,
            attachments=shown,
            queues=self._author.queues,
        )

    async def _answered(self) -> tuple[Mapping[str, Any], str | None]:
        """What answering the message of ``in_reply_to`` needs, and its external id."""
        shown = self._request.in_reply_to
        if shown is None:
            return {}, None
        own = read_id("msg", shown)
        row = own and await replies.message_of(self._tx, own, self._place["id"])
        if not row:
            raise InvalidReply("no message of this conversation", "/in_reply_to")
        if row["direction"] == "outbound":
            return {}, row["external_id"]
        return _object(row["reply_context"]), row["external_id"]

    async def _attachments(self) -> tuple[Attachment, ...]:
        uploaded = {one.id: read_id("att", one.id) for one in self._request.attachments if one.id}
        ids = [own for own in uploaded.values() if own]
        rows = await replies.own_attachments(
            self._tx, ids, self._author.token_id, self._place["id"]
        )
        files, urls = [], []
        for number, one in enumerate(self._request.attachments):
            if one.url:
                files.append(self._shown(own := new_id(), one.kind, "pending", one.filename))
                urls.append((own, one.kind, one.filename, to_json({"url": one.url})))
                continue
            row = rows.get(uploaded[one.id or ""] or self._own)
            if row is None or row["state"] != "stored":
                raise InvalidReply("no uploaded file of that id", f"/attachments/{number}/id")
            files.append(self._shown_row(row))
        await replies.insert_attachment_urls(
            self._tx, urls, self._own, self._place["account"], self._now
        )
        await replies.claim_attachments(self._tx, ids, self._own)
        return tuple(files)

    def _shown_row(self, row: Any) -> Attachment:
        return self._shown(
            row["id"],
            row["kind"],
            row["state"],
            row["filename"],
            mime_type=row["mime_type"],
            size_bytes=row["size_bytes"],
            sha256=row["sha256"],
        )

    def _shown(
        self, own: UUID, kind: Any, state: Any, filename: str | None, **facts: Any
    ) -> Attachment:
        public = show_id("att", own)
        base = (self._core.settings.hub.public_url or "").rstrip("/")
        url = f"{base}/v1/attachments/{public}"
        return Attachment(kind=kind, id=public, filename=filename, state=state, url=url, **facts)

    async def store(self, outlet: Outlet) -> Accepted:
        """Compose, insert, and tell."""
        drafts, closed = await self._compose(outlet)
        status = "held" if closed else "queued"
        seq = (await outbox.next_seqs(self._tx, {self._place["id"]: 1}, self._now))[
            self._place["id"]
        ] + 1
        error = closed.as_json() if closed else None
        said = Said(
            self._own, seq, self._place, self._stored, self._author, self._now, self._asked_in
        )
        body = said.body(drafts, self._files) | {"status": status, "error": error}
        row = said.row(body, to_json(body))
        await outbox.insert_outbound(self._tx, [row], self._now)
        await outbox.insert_drafts(self._tx, new_drafts(self._own, drafts))
        told = row._asdict() | {"queue": self._place["queue"]}
        rung = await tell(self._tx, self._core.settings, [told], self._now)
        if closed and self._first_held:
            rung |= await announce(self._core, self._tx, outlet, self._place, self._stored)
        if status == "queued":
            await raise_replies(self._tx, [(self._place["account"], self._place["id"])])
        fetches = any(one.state == "pending" for one in self._files)
        return Accepted(self._own, body, rung, fetches)

    async def _compose(self, outlet: Outlet) -> tuple[Sequence[Draft], WindowClosed | None]:
        """The drafts, or why there are none now and the reply is held."""
        try:
            drafts = await compose(
                self._tx,
                outlet,
                self._place,
                self._stored,
                self._own,
                self._now,
                wait_for_files=False,
            )
        except WindowClosed as error:
            if outlet.when_closed == "fail":
                raise
            self._first_held = not await self._queues_behind_held()
            return (), error
        await self._check_quotas(drafts)
        if await self._queues_behind_held():
            return (), WindowClosed("an earlier reply waits for the customer")
        return drafts, None

    async def _check_quotas(self, drafts: Sequence[Draft]) -> None:
        """Refuse now what could not go out for long; a shorter wait is the lane's."""
        limits = [one for draft in drafts for one in draft.quotas]
        wait_s = await quotas.wait_s(self._tx, self._place["account"], limits, self._now, None)
        if wait_s > Pace().quota_wait_s:
            raise QuotaUsedUp(free_again(wait_s))

    async def _queues_behind_held(self) -> bool:
        """Held replies go out first; a template is made for a closed window and need not wait."""
        if self._request.template is not None:
            return False
        following = self._place["last_seq"] + 1
        return await replies.earlier_held(self._tx, self._place["id"], following)


def _object(text: str) -> Mapping[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any])

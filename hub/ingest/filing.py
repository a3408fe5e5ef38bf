"""One transaction that files a batch: contacts, conversations, messages, events, deliveries."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from hub import feed, ledger, outbox, telemetry
from hub.channel import reply_state
from hub.conversations import told
from hub.ids import new_id, show_id
from hub.ingest.choosing import Choose, facts_of
from hub.ingest.parts import joined
from hub.ingest.places import Places
from hub.ingest.said import Read, Said, home_of, said_of, tidy
from hub.model import (
    Allowance,
    Attachment,
    ConversationRef,
    Ignored,
    Message,
    Notice,
    Receipt,
    ReplyState,
    public_json,
)
from hub.outbox.encoding import to_json
from hub.settings import Settings
from hub.store import Transaction, identity
from hub.store import filing as rows
from hub.store.consents import Consent, keep_consents
from hub.store.conversations import ConversationRow, Key, make_conversations, update_conversations
from hub.store.filing import NewMessage
from hub.store.inbox import Claimed, finish, note, short_key
from hub.text import clean

__all__ = ["Filed", "Raced", "file_batch"]

LARGEST_SIZE = (1 << 63) - 1


class Filed(NamedTuple):
    """What is to be rung after the commit, and what happened."""

    destinations: frozenset[str]
    replies: bool
    media: bool
    messages: int
    claims: bool = False
    told: Sequence[tuple[UUID, int]] = ()
    """Each message with the number of the row that it was filed from."""


class Raced(Exception):
    """Another process made the same thing meanwhile; file the batch again."""


class _Batch:
    """The state of one filing; its methods run in the order in which locks are taken."""

    def __init__(self, tx: Transaction, settings: Settings, choose: Choose, now: datetime) -> None:
        self.tx = tx
        self.settings = settings
        self.choose = choose
        self.now = now
        self.places = Places(tx, choose, now)
        self.base_url = (settings.hub.public_url or "").rstrip("/")
        self.changed: dict[UUID, ConversationRow] = {}
        self.messages: list[NewMessage] = []
        self.notices: list[tuple[UUID, str, str, UUID | None, str, str, str, int]] = []
        self.files: list[tuple[UUID, UUID, str, Attachment]] = []
        self.ids: list[tuple[str, str, UUID, UUID | None]] = []
        self.events: list[feed.NewEvent] = []
        self.named: list[tuple[UUID, dict[str, Any]]] = []
        """Contacts that are shown, whose names are not loaded yet."""
        self.allowances: list[tuple[UUID, str, Allowance]] = []
        self.urgent: list[outbox.Urgent] = []
        self.spoken: set[UUID] = set()
        self.awaited: set[UUID] = set()
        """Of those that have spoken, where replies wait for the customer."""
        self.consents: list[Consent] = []
        self.claims: list[identity.Claim] = []

    # -- messages ------------------------------------------------------------------------------------

    def add_message(self, said: Said, message: Message) -> None:
        """Number *message* in its conversation and prepare all that follows from it."""
        conversation = self.places.conversation_of(said)
        if conversation is None or said.place is None:
            raise ValueError("a message needs a sender and a thread key")
        self._tell_of_conversation(conversation, message)
        own, row = new_id(), said.read.row
        conversation.last_seq += 1
        is_own = conversation.is_group or conversation.address == said.place.home
        context = to_json(message.reply_context) if message.reply_context else "{}"
        if message.sender.role == "contact" and is_own:
            # An agent's own words in the platform's client open nothing.
            conversation.last_inbound_at = row.event.received_at
            conversation.reply_context = context
            self.spoken.add(conversation.id)
        self.changed[conversation.id] = conversation
        body = to_json(public_json(self._shown(said, message, conversation, own)))
        self.messages.append(
            NewMessage(
                own,
                conversation.id,
                conversation.last_seq,
                conversation.account,
                conversation.channel,
                message.kind,
                said.key[1],
                short_key(message.external_id) if message.external_id else None,
                body,
                context,
                row.id,
            )
        )
        self._remember(message, conversation, own)
        self._follow(message, conversation)
        data = {"message": msgspec.Raw(body.encode())}
        self.events.append(_event("message.received", data, conversation, own))

    def _shown(
        self, said: Said, message: Message, conversation: ConversationRow, own: UUID
    ) -> Message:
        relation = self.places.relation(said, conversation)
        return msgspec.structs.replace(
            message,
            id=show_id("msg", own),
            seq=conversation.last_seq,
            received_at=said.read.row.event.received_at,
            choice=self.places.choice(message, conversation) if message.choice else None,
            attachments=tuple(
                self._file(one, own, conversation.account) for one in message.attachments
            ),
            reply=self._reply(message, windowed=said.read.windowed),
            conversation=_ref(conversation),
            extra={**message.extra, **relation} if relation else message.extra,
        )

    def _reply(self, message: Message, *, windowed: bool) -> ReplyState | None:
        if message.sender.role != "contact":
            return None
        until, remaining, modes = reply_state(message.allowances, windowed=windowed, now=self.now)
        return ReplyState(until, remaining, modes)  # type: ignore[arg-type]

    def _file(self, attachment: Attachment, message_id: UUID, account: str) -> Attachment:
        own = new_id()
        public = show_id("att", own)
        size = attachment.size_bytes
        shown = msgspec.structs.replace(
            attachment,
            id=public,
            content=None,
            url=f"{self.base_url}/v1/attachments/{public}",
            source=msgspec.json.decode(to_json(attachment.source)),
            size_bytes=size if size is not None and 0 <= size <= LARGEST_SIZE else None,
        )
        self.files.append((own, message_id, account, shown))
        return shown

    def _remember(self, message: Message, conversation: ConversationRow, own: UUID) -> None:
        for number, external in enumerate(message.known_ids):
            key = (conversation.account, short_key(external))
            self.ids.append((*key, conversation.id, own if number == 0 else None))
            self.places.leads(key, conversation)

    def _follow(self, one: Message | Notice, conversation: ConversationRow) -> None:
        for allowance in one.allowances:
            self.allowances.append((conversation.id, conversation.account, allowance))
        if one.drafts:
            self.urgent.append(outbox.Urgent(conversation, one.drafts))

    def _tell_of_conversation(self, conversation: ConversationRow, message: Message) -> None:
        if conversation.is_new:
            return  # told when it is made, below
        facts = facts_of(
            message, self.now, is_new=False, knows_contact=True, tags=conversation.tags
        )
        choice = self.choose(facts)
        before = (conversation.state, conversation.queue)
        if conversation.state == "resolved":
            conversation.case_number += 1
            conversation.queue = choice.queue
        elif not choice.sticky or conversation.queue not in self.settings.queues:
            conversation.queue = choice.queue
        conversation.state = "open"
        if (conversation.state, conversation.queue) != before:
            shown = told(conversation)
            self.named.append((conversation.contact_id, shown["contact"]))
            self.events.append(
                _event("conversation.updated", {"conversation": shown}, conversation)
            )

    # -- notices -------------------------------------------------------------------------------------

    def add_notice(self, said: Said, notice: Notice) -> None:
        """Prepare *notice* and what follows from it."""
        conversation = self.places.conversation_of(said)
        own, row = new_id(), said.read.row
        if conversation is not None:
            self._follow(notice, conversation)
            self._claim(said, notice)
        if notice.consent and notice.sender:
            at = row.event.received_at
            self.consents.append(
                Consent(row.account, home_of(notice), notice.consent, notice.kind, at)
            )
        shown = msgspec.structs.replace(
            notice,
            id=show_id("ntc", own),
            received_at=row.event.received_at,
            conversation=_ref(conversation) if conversation else notice.conversation,
        )
        body = to_json(public_json(shown))
        kind = clean(notice.kind)[:64]
        where = conversation.id if conversation else None
        self.notices.append((own, row.account, row.channel, where, kind, said.key[1], body, row.id))
        data = {"notice": msgspec.Raw(body.encode())}
        queue = conversation.queue if conversation else None
        self.events.append(feed.NewEvent("notice.received", data, row.account, queue, where))

    def _claim(self, said: Said, notice: Notice) -> None:
        """What the platform says of who the sender of *notice* is besides."""
        if said.place and not (notice.conversation and notice.conversation.is_group):
            home = said.place.home
            self.claims += [
                identity.Claim(said.account, home, tidy(same)) for same in notice.same_as
            ]

    # -- writing -------------------------------------------------------------------------------------

    async def write(self, offer: feed.Offer | None) -> frozenset[str]:
        """Write everything; returns the destinations that have work which *offer* did not take."""
        made = self.places.made
        if len(await make_conversations(self.tx, made, self.now)) < len(made):
            raise Raced
        if await rows.insert_messages(self.tx, self.messages, self.now) < len(self.messages):
            raise Raced
        changed = sorted(self.changed.values(), key=lambda one: one.id.bytes)
        self.awaited = self.spoken & await update_conversations(self.tx, changed, self.now)
        await rows.attach(self.tx, self.files, self.now)
        if await rows.insert_notices(self.tx, self.notices, self.now) < len(self.notices):
            raise Raced
        await keep_consents(self.tx, self.consents)
        await rows.remember_ids(self.tx, self.ids)
        await ledger.open_allowances(self.tx, self.allowances)
        names = await rows.names_of(self.tx, {contact for contact, _ in self.named})
        for contact, shown in self.named:
            shown["name"] = names.get(contact)
        created = [_event("conversation.created", {"conversation": told(one)}, one) for one in made]
        events = created + self.events
        return await feed.publish(self.tx, self.settings, events, self.now, offer)


def _ref(conversation: ConversationRow) -> ConversationRef:
    return ConversationRef(
        show_id("cnv", conversation.id),
        conversation.thread_key,
        conversation.is_group,
        conversation.queue,
    )


def _event(
    kind: str,
    data: Mapping[str, Any],
    conversation: ConversationRow,
    message_id: UUID | None = None,
) -> feed.NewEvent:
    return feed.NewEvent(
        kind, data, conversation.account, conversation.queue, conversation.id, message_id
    )


# --- a batch ----------------------------------------------------------------------------------------


async def file_batch(
    tx: Transaction,
    settings: Settings,
    choose: Choose,
    claimed: Sequence[Claimed],
    reads: Sequence[Read],
    now: datetime,
    *,
    look: bool = True,
    offer: feed.Offer | None = None,
) -> Filed:
    """File *reads*, leaving out those whose partition another process holds by now.

    The inbox leaves out what it has seen, so that what was filed before is rare here: without *look* it is
    met only when it is inserted. Lanes that *offer* takes are not rung for.

    Raises:
        Raced: something was made meanwhile or, without *look*, before; do it again in a new transaction.
    """
    ours = await finish(tx, claimed, [read.row for read in reads])
    reads = [read for read in reads if read.row.partition_id in ours]
    if not reads:
        return Filed(frozenset(), False, False, 0)
    batch = _Batch(tx, settings, choose, now)
    given = [
        (read, one) for read in reads for one in read.results if isinstance(one, Message | Notice)
    ]
    said = [said_of(read, one) for read, one in await joined(tx, given, now)]
    await batch.places.gather(said)
    for one in await _fresh(tx, said, look=look):
        if isinstance(one.one, Message):
            batch.add_message(one, one.one)
        else:
            batch.add_notice(one, one.one)
    rung = await batch.write(offer)
    await identity.claim(tx, batch.claims)
    rung |= await _outbound(tx, settings, batch, reads, now)
    await note(tx, {read.row.id: f"ignored: {one.reason}" for read, one in _each(reads, Ignored)})
    return Filed(
        rung,
        bool(batch.urgent or batch.awaited),
        any(one.state == "pending" for *_, one in batch.files),
        len(batch.messages),
        bool(batch.claims),
        [(one.id, one.inbox_id) for one in batch.messages] if telemetry.is_on() else (),
    )


R = TypeVar("R")


def _each(reads: Sequence[Read], kind: type[R]) -> list[tuple[Read, R]]:
    return [(read, one) for read in reads for one in read.results if isinstance(one, kind)]


async def _fresh(tx: Transaction, said: Sequence[Said], *, look: bool) -> list[Said]:
    """*said* without repeats among themselves and, when told to *look*, without what was filed before."""
    known_messages: set[Key] = set()
    known_notices: set[Key] = set()
    if look:
        known_messages = await rows.known_messages(tx, _keys(said, Message))
        known_notices = await rows.known_notices(tx, _keys(said, Notice))
    fresh = []
    for one in said:
        known = known_messages if isinstance(one.one, Message) else known_notices
        if one.key not in known:
            known.add(one.key)
            fresh.append(one)
    return fresh


def _keys(said: Sequence[Said], kind: type) -> list[Key]:
    return [one.key for one in said if isinstance(one.one, kind)]


async def _outbound(
    tx: Transaction, settings: Settings, batch: _Batch, reads: Sequence[Read], now: datetime
) -> frozenset[str]:
    """What the batch means for the replies: urgent ones, receipts, and held ones that may go now."""
    rung = await outbox.queue_urgent(tx, settings, batch.urgent, now)
    receipts = [(read.row.account, one) for read, one in _each(reads, Receipt)]
    rung |= await outbox.apply_receipts(tx, settings, receipts, now)
    return rung | await outbox.release_held(tx, settings, batch.awaited, now)

"""One transaction that files a batch: contacts, conversations, messages, events, deliveries."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec

from hub import feed, ledger, outbox
from hub.channel import reply_state
from hub.ids import new_id, show_id
from hub.ingest.parts import joined
from hub.model import (
    Address,
    Allowance,
    Attachment,
    ConversationRef,
    Ignored,
    Message,
    Notice,
    Receipt,
    ReplyState,
    Result,
    public_json,
)
from hub.model import Choice as Picked
from hub.outbox.encoding import to_json
from hub.settings import Settings
from hub.store import Transaction, identity
from hub.store import filing as rows
from hub.store.consents import Consent, keep_consents
from hub.store.filing import ConversationRow, NewMessage
from hub.store.inbox import Claimed, InboxRow, finish, note, short_key
from hub.text import clean, single_line

__all__ = ["Choose", "Facts", "Filed", "Raced", "Read", "file_batch"]


class Facts(NamedTuple):
    """What a route may look at."""

    channel: str
    account: str
    kind: str
    text: str
    subject: str | None
    sender: str
    is_new: bool
    tags: Sequence[str] = ()
    knows_contact: bool = False
    at: datetime | None = None


class Choice(Protocol):
    """Where a route leads; a *sticky* one leaves a conversation in the queue that it has."""

    @property
    def queue(self) -> str: ...
    @property
    def sticky(self) -> bool: ...


Choose = Callable[[Facts], Choice]


class Read(NamedTuple):
    """An inbox row and what it means, with the files that it carried kept already."""

    row: InboxRow
    results: Sequence[Result]
    windowed: bool


class Filed(NamedTuple):
    """What is to be rung after the commit, and what happened."""

    destinations: frozenset[str]
    replies: bool
    media: bool
    messages: int
    claims: bool = False


class Raced(Exception):
    """Another process made the same thing meanwhile; file the batch again."""


def _tidy_address(address: Address) -> Address:
    scope, value = clean(address.scope), short_key(address.value)
    if (scope, value) == (address.scope, address.value):
        return address
    return Address(address.scheme, scope, value)


def _name(one: Message | Notice) -> str | None:
    """What the contact of the conversation is called: the group, or the person."""
    if one.conversation and one.conversation.is_group:
        return clean(one.group.name) if one.group and one.group.name else None
    return clean(one.sender.name) if one.sender and one.sender.name else None


class _Batch:
    """The state of one filing; its methods run in the order in which locks are taken."""

    def __init__(self, tx: Transaction, settings: Settings, choose: Choose, now: datetime) -> None:
        self.tx = tx
        self.settings = settings
        self.choose = choose
        self.now = now
        self.by_key: dict[tuple[str, str], ConversationRow] = {}
        self.by_id: dict[UUID, ConversationRow] = {}
        self.threads: dict[tuple[str, str], UUID] = {}
        self.contacts: dict[Address, UUID] = {}
        self.mark = _NOBODY
        """Contacts with a lower id were there before this batch."""
        self.changed: dict[UUID, ConversationRow] = {}
        self.messages: list[NewMessage] = []
        self.notices: list[tuple[UUID, str, str, UUID | None, str, str, str, int]] = []
        self.files: list[tuple[UUID, UUID, str, Attachment]] = []
        self.ids: list[tuple[str, str, UUID, UUID | None]] = []
        self.events: list[feed.NewEvent] = []
        self.named: list[
            tuple[UUID, dict[str, Any]]
        ] = []  # contacts shown whose names are not loaded
        self.allowances: list[tuple[UUID, str, Allowance]] = []
        self.urgent: list[outbox.Urgent] = []
        self.spoken: set[UUID] = set()
        self.consents: list[Consent] = []
        self.menus: dict[rows.Pick, UUID] = {}
        self.claims: list[identity.Claim] = []
        self.awaited: set[UUID] = set()  # of those, where replies wait for the customer

    # -- who and where -------------------------------------------------------------------------------

    async def gather(self, said: Sequence[tuple[Read, Message | Notice]]) -> None:
        """Load and lock what *said* refers to, and make the conversations that are missing."""
        hints = [
            (read.row.account, short_key(hint))
            for read, one in said
            for hint in (*_open_hints(one), *one.thread_hints)
        ]
        self.threads = await rows.find_threads(self.tx, hints)
        placed = [(read, one) for read, one in said if _has_place(one)]
        keys = {key for read, one in placed for key in _keys(read.row.account, one)}
        for conversation in await rows.lock_conversations(self.tx, keys, self.threads.values()):
            self._add(conversation)
        names: dict[Address, str | None] = {}
        for read, one in placed:
            place = self._place(read, one)
            if place and place[1] is None:  # whoever is named once in a batch has a name
                names[_home(one)] = names.get(_home(one)) or _name(one)
        self.mark = new_id()
        self.contacts = await rows.contacts_of(self.tx, names, self.now)

    async def find_menus(self, said: Sequence[tuple[Read, Message | Notice]]) -> None:
        """Find our menus that customers have picked from, for platforms that name the choice only."""
        picks = []
        for read, one in said:
            if isinstance(one, Message) and one.choice and one.choice.menu_id is None:
                places = (self.by_key.get(key) for key in _keys(read.row.account, one))
                picks += [pick for place in places if place and (pick := _pick(place, one))]
        if picks:
            self.menus = await rows.menus_of(self.tx, picks)

    def _add(self, conversation: ConversationRow) -> None:
        self.by_key[conversation.account, conversation.thread_key] = conversation
        self.by_id[conversation.id] = conversation

    def conversation_of(self, read: Read, one: Message | Notice) -> ConversationRow | None:
        """The conversation that *one* belongs to, made when it is the first; None: it has none."""
        place = self._place(read, one)
        if place is None:
            return None
        key, found = place
        return found or self._new(read, one, key)

    def _place(
        self, read: Read, one: Message | Notice
    ) -> tuple[tuple[str, str], ConversationRow | None] | None:
        """The key of the conversation that *one* belongs to, and the conversation if there is one.

        None: it belongs to none, as a notice about a thread that is not known.
        """
        if not _has_place(one):
            return None
        account, home = read.row.account, _home(one)
        own, apart = _keys(account, one)
        for hint in _open_hints(one):
            if found := self._led_to(account, hint):
                return own, found
        for hint in one.thread_hints:
            found = self._led_to(account, hint)
            if found and (found.is_group or found.address == home):
                return own, found
        if isinstance(one, Notice) and one.thread_hints:
            return None
        found = self.by_key.get(own)
        if found and not found.is_group and found.address != home:
            # A reference to somebody else's thread proves nothing: whoever sends it talks apart.
            return apart, self.by_key.get(apart)
        return own, found

    def _led_to(self, account: str, hint: str) -> ConversationRow | None:
        return self.by_id.get(self.threads.get((account, short_key(hint)), _NOBODY))

    def _facts_of_new(self, one: Message | Notice, contact: UUID) -> Facts:
        facts = _facts(one, is_new=True, at=self.now)
        return facts._replace(knows_contact=contact < self.mark)

    def _new(self, read: Read, one: Message | Notice, key: tuple[str, str]) -> ConversationRow:
        home = _home(one)
        subject = one.subject if isinstance(one, Message) else None
        made = ConversationRow(
            id=new_id(),
            account=key[0],
            channel=read.row.channel,
            thread_key=key[1],
            contact_id=self.contacts[home],
            contact_name=_name(one),
            address=home,
            is_group=bool(one.conversation and one.conversation.is_group),
            queue=self.choose(self._facts_of_new(one, self.contacts[home])).queue,
            state="open",
            case_number=1,
            last_seq=0,
            subject=single_line(subject) if subject else None,
            tags=[],
            reply_context={},
            last_inbound_at=None,
            created_at=self.now,
            is_new=True,
        )
        self._add(made)
        return made

    # -- what was said -------------------------------------------------------------------------------

    def add_message(self, read: Read, message: Message) -> None:
        """Number *message* in its conversation and prepare all that follows from it."""
        conversation = self.conversation_of(read, message)
        if conversation is None:
            raise ValueError("a message needs a sender and a thread key")
        self._tell_of_conversation(conversation, message)
        own = new_id()
        conversation.last_seq += 1
        is_own = conversation.is_group or conversation.address == _home(message)
        by_customer = message.sender.role == "contact" and is_own
        context = to_json(message.reply_context)
        if by_customer:  # an agent's own words in the platform's client open nothing
            conversation.last_inbound_at = read.row.event.received_at
            conversation.reply_context = msgspec.Raw(context.encode())
            self.spoken.add(conversation.id)
        self.changed[conversation.id] = conversation
        shown = self._shown(read, message, conversation, own)
        body = to_json(public_json(shown))
        self.messages.append(
            NewMessage(
                own,
                conversation.id,
                conversation.last_seq,
                conversation.account,
                conversation.channel,
                message.kind,
                short_key(message.dedupe_key),
                short_key(message.external_id) if message.external_id else None,
                body,
                context,
                read.row.id,
            )
        )
        self._remember(message, conversation, own)
        self._follow(message, conversation)
        data = {"message": msgspec.Raw(body.encode())}
        self.events.append(_event("message.received", data, conversation, own))

    def _shown(
        self, read: Read, message: Message, conversation: ConversationRow, own: UUID
    ) -> Message:
        attachments = tuple(
            self._file(one, own, conversation.account) for one in message.attachments
        )
        until, remaining, modes = reply_state(
            message.allowances, windowed=read.windowed, now=self.now
        )
        return msgspec.structs.replace(
            message,
            id=show_id("msg", own),
            seq=conversation.last_seq,
            received_at=read.row.event.received_at,
            choice=self._choice(message, conversation),
            attachments=attachments,
            reply=ReplyState(until, remaining, modes)  # type: ignore[arg-type]
            if message.sender.role == "contact"
            else None,
            conversation=ConversationRef(
                show_id("cnv", conversation.id),
                conversation.thread_key,
                conversation.is_group,
                conversation.queue,
            ),
            extra={**message.extra, **self._relation(message, conversation)},
        )

    def _choice(self, message: Message, conversation: ConversationRow) -> Picked | None:
        menu = self.menus.get(pick) if (pick := _pick(conversation, message)) else None
        if menu is None or message.choice is None:
            return message.choice
        return msgspec.structs.replace(message.choice, menu_id=show_id("msg", menu))

    def _relation(self, message: Message, conversation: ConversationRow) -> Mapping[str, Any]:
        """What the agent should know of a sender who is not the customer, or names another's mails.

        ``is_other_participant``: somebody whom the tag of a mail to the customer has reached.
        ``related_conversation``: the message names another customer's, which proves nothing.
        """
        if conversation.is_group or message.sender.role != "contact":
            return {}
        if conversation.address != _home(message):
            return {"is_other_participant": True}
        led = (self._led_to(conversation.account, hint) for hint in message.thread_hints)
        others = (one for one in led if one and one.id != conversation.id and not one.is_group)
        found = next(others, None)
        return {"related_conversation": show_id("cnv", found.id)} if found else {}

    def _file(self, attachment: Attachment, message_id: UUID, account: str) -> Attachment:
        own = new_id()
        public = show_id("att", own)
        size = attachment.size_bytes
        shown = msgspec.structs.replace(
            attachment,
            id=public,
            content=None,
            url=f"{self._base}/v1/attachments/{public}",
            source=msgspec.json.decode(to_json(attachment.source)),
            size_bytes=size if size is not None and 0 <= size <= LARGEST_SIZE else None,
        )
        self.files.append((own, message_id, account, shown))
        return shown

    @property
    def _base(self) -> str:
        return (self.settings.hub.public_url or "").rstrip("/")

    def _remember(self, message: Message, conversation: ConversationRow, own: UUID) -> None:
        for number, external in enumerate(message.known_ids):
            key = (conversation.account, short_key(external))
            self.ids.append((*key, conversation.id, own if number == 0 else None))
            self.threads.setdefault(key, conversation.id)

    def _follow(self, one: Message | Notice, conversation: ConversationRow) -> None:
        for allowance in one.allowances:
            self.allowances.append((conversation.id, conversation.account, allowance))
        if one.drafts:
            self.urgent.append(outbox.Urgent(conversation, one.drafts))

    def _tell_of_conversation(self, conversation: ConversationRow, message: Message) -> None:
        if conversation.is_new:
            return  # told when it is made, below
        facts = _facts(message, is_new=False, at=self.now)
        choice = self.choose(facts._replace(tags=conversation.tags, knows_contact=True))
        before = (conversation.state, conversation.queue)
        if conversation.state == "resolved":
            conversation.case_number += 1
            conversation.queue = choice.queue
        elif not choice.sticky or conversation.queue not in self.settings.queues:
            conversation.queue = choice.queue
        conversation.state = "open"
        if (conversation.state, conversation.queue) != before:
            shown = conversation_json(conversation)
            self.named.append((conversation.contact_id, shown["contact"]))
            self.events.append(
                _event("conversation.updated", {"conversation": shown}, conversation)
            )

    def _claim(self, account: str, notice: Notice) -> None:
        """What the platform says of who the sender of *notice* is besides."""
        if not (notice.conversation and notice.conversation.is_group):
            home = _home(notice)
            self.claims += [
                identity.Claim(account, home, _tidy_address(same)) for same in notice.same_as
            ]

    def add_notice(self, read: Read, notice: Notice) -> None:
        """Prepare *notice* and what follows from it."""
        conversation = self.conversation_of(read, notice)
        own = new_id()
        place = notice.conversation
        if conversation is not None:
            place = ConversationRef(
                show_id("cnv", conversation.id),
                conversation.thread_key,
                conversation.is_group,
                conversation.queue,
            )
            self._follow(notice, conversation)
            self._claim(read.row.account, notice)
        if notice.consent and notice.sender:
            self.consents.append(_consent(read, notice))
        shown = msgspec.structs.replace(
            notice,
            id=show_id("ntc", own),
            received_at=read.row.event.received_at,
            conversation=place,
        )
        body = to_json(public_json(shown))
        key = short_key(notice.dedupe_key)
        where = conversation.id if conversation else None
        self.notices.append(
            (
                own,
                read.row.account,
                read.row.channel,
                where,
                clean(notice.kind)[:64],
                key,
                body,
                read.row.id,
            )
        )
        data = {"notice": msgspec.Raw(body.encode())}
        self.events.append(
            feed.NewEvent(
                "notice.received",
                data,
                read.row.account,
                conversation.queue if conversation else None,
                where,
            )
        )

    # -- writing -------------------------------------------------------------------------------------

    async def write(self) -> frozenset[str]:
        """Write everything; returns the destinations that have work."""
        made = [one for one in self.by_id.values() if one.is_new]
        inserted = await rows.make_conversations(self.tx, sorted(made, key=_by_id), self.now)
        if len(inserted) < len(made):
            raise Raced
        if await rows.insert_messages(self.tx, self.messages, self.now) < len(self.messages):
            raise Raced
        changed = sorted(self.changed.values(), key=_by_id)
        self.awaited = self.spoken & await rows.update_conversations(self.tx, changed, self.now)
        await rows.attach(self.tx, self.files, self.now)
        if await rows.insert_notices(self.tx, self.notices, self.now) < len(self.notices):
            raise Raced
        await keep_consents(self.tx, self.consents)
        await rows.remember_ids(self.tx, self.ids)
        await ledger.open_allowances(self.tx, self.allowances)
        names = await rows.names_of(self.tx, {contact for contact, _ in self.named})
        for contact, shown in self.named:
            shown["name"] = names.get(contact)
        created = [
            _event("conversation.created", {"conversation": conversation_json(one)}, one)
            for one in made
        ]
        return await feed.publish(self.tx, self.settings, created + self.events, self.now)


_NOBODY = UUID(int=0)
LARGEST_SIZE = (1 << 63) - 1


def _open_hints(one: Message | Notice) -> tuple[str, ...]:
    return one.open_hints if isinstance(one, Message) else ()


def _by_id(conversation: ConversationRow) -> bytes:
    return conversation.id.bytes


def _has_place(one: Message | Notice) -> bool:
    """Whether *one* belongs to a conversation at all."""
    return bool(one.sender and one.conversation and one.conversation.thread_key)


def _consent(read: Read, notice: Notice) -> Consent:
    at = read.row.event.received_at
    return Consent(read.row.account, _home(notice), notice.consent or "", notice.kind, at)


def _home(one: Message | Notice) -> Address:
    """The address that a conversation is with: the group, or the person."""
    assert one.sender is not None  # noqa: S101
    address = one.group.address if one.group else one.sender.address
    place = one.conversation
    if place and place.is_group and place.thread_key and not one.group:
        address = Address(address.scheme, address.scope, place.thread_key)
    return _tidy_address(address)


def _keys(account: str, one: Message | Notice) -> tuple[tuple[str, str], tuple[str, str]]:
    """Where *one* belongs, and where it goes when that is somebody else's thread."""
    thread = short_key((one.conversation.thread_key if one.conversation else None) or "")
    value = _home(one).value
    apart = thread if thread == value else short_key(f"{thread} {value}")
    return (account, thread), (account, apart)


def _pick(place: ConversationRow, message: Message) -> rows.Pick | None:
    choice = message.choice
    if choice is None or choice.menu_id is not None:
        return None
    return rows.Pick(place.id, clean(choice.id), clean(choice.label) if choice.label else None)


def _facts(one: Message | Notice, *, is_new: bool, at: datetime) -> Facts:
    return Facts(
        one.channel,
        one.account,
        one.kind,
        clean(one.text),
        one.subject if isinstance(one, Message) else None,
        one.sender.address.value if one.sender else "",
        is_new,
        at=at,
    )


def conversation_json(conversation: ConversationRow) -> Mapping[str, Any]:
    """A conversation as events and the API show it."""
    return {
        "id": show_id("cnv", conversation.id),
        "account": conversation.account,
        "channel": conversation.channel,
        "thread_key": conversation.thread_key,
        "is_group": conversation.is_group,
        "queue": conversation.queue,
        "state": conversation.state,
        "case_number": conversation.case_number,
        "subject": conversation.subject,
        "tags": conversation.tags,
        "assignee": conversation.assignee,
        "contact": {
            "id": show_id("cnt", conversation.contact_id),
            "name": conversation.contact_name,
        },
        "address": conversation.address,
        "created_at": conversation.created_at,
    }


def _event(
    kind: str,
    data: Mapping[str, Any],
    conversation: ConversationRow,
    message_id: UUID | None = None,
) -> feed.NewEvent:
    return feed.NewEvent(
        kind, data, conversation.account, conversation.queue, conversation.id, message_id
    )


async def _fresh(
    tx: Transaction, said: Sequence[tuple[Read, Message | Notice]], *, look: bool
) -> list[tuple[Read, Message | Notice]]:
    """*said* without repeats among themselves and, when told to *look*, without what was filed before."""
    known_messages: set[tuple[str, str]] = set()
    known_notices: set[tuple[str, str]] = set()
    if look:
        known_messages = await rows.known_messages(tx, _dedupe_keys(said, Message))
        known_notices = await rows.known_notices(tx, _dedupe_keys(said, Notice))
    fresh = []
    for read, one in said:
        known = known_messages if isinstance(one, Message) else known_notices
        key = (read.row.account, short_key(one.dedupe_key))
        if key not in known:
            known.add(key)
            fresh.append((read, one))
    return fresh


def _dedupe_keys(
    said: Iterable[tuple[Read, Message | Notice]], kind: type
) -> list[tuple[str, str]]:
    return [
        (read.row.account, short_key(one.dedupe_key)) for read, one in said if isinstance(one, kind)
    ]


async def file_batch(
    tx: Transaction,
    settings: Settings,
    choose: Choose,
    claimed: Sequence[Claimed],
    reads: Sequence[Read],
    now: datetime,
    *,
    look: bool = True,
) -> Filed:
    """File *reads*, leaving out those whose partition another process holds by now.

    The inbox leaves out what it has seen, so that what was filed before is rare here: without *look* it is
    met only when it is inserted.

    Raises:
        Raced: something was made meanwhile or, without *look*, before; do it again in a new transaction.
    """
    ours = await finish(tx, claimed, [read.row for read in reads])
    reads = [read for read in reads if read.row.partition_id in ours]
    if not reads:
        return Filed(frozenset(), False, False, 0)
    batch = _Batch(tx, settings, choose, now)
    said = [
        (read, one) for read in reads for one in read.results if isinstance(one, Message | Notice)
    ]
    said = await joined(tx, said, now)
    await batch.gather(said)
    await batch.find_menus(said)
    for read, one in await _fresh(tx, said, look=look):
        if isinstance(one, Message):
            batch.add_message(read, one)
        else:
            batch.add_notice(read, one)
    rung = await batch.write()
    await identity.claim(tx, batch.claims)
    rung |= await _outbound(tx, settings, batch, reads, now)
    await note(tx, _notes(reads))
    return Filed(
        rung,
        bool(batch.urgent or batch.awaited),
        any(one.state == "pending" for *_, one in batch.files),
        len(batch.messages),
        bool(batch.claims),
    )


async def _outbound(
    tx: Transaction, settings: Settings, batch: _Batch, reads: Sequence[Read], now: datetime
) -> frozenset[str]:
    """What the batch means for the replies: urgent ones, receipts, and held ones that may go now."""
    rung = await outbox.queue_urgent(tx, settings, batch.urgent, now)
    receipts = [
        (read.row.account, one)
        for read in reads
        for one in read.results
        if isinstance(one, Receipt)
    ]
    rung |= await outbox.apply_receipts(tx, settings, receipts, now)
    return rung | await outbox.release_held(tx, settings, batch.awaited, now)


def _notes(reads: Sequence[Read]) -> dict[int, str]:
    """Why nothing came of a row, for those that were left on purpose."""
    return {
        read.row.id: f"ignored: {one.reason}"
        for read in reads
        for one in read.results
        if isinstance(one, Ignored)
    }

"""Where outbound messages and their drafts are changed by more than one service.

Filing queues urgent answers here, hands over what platforms report, and lets held replies go when the
customer has written. Each function runs in the caller's transaction, in a fixed number of statements
for any number of messages, and returns the destinations for which ``deliver`` is rung after the
commit; ``reply`` is rung too.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from hub.ids import new_id, show_id
from hub.model import Address, ConversationRef, Draft, Message, Participant, public_json
from hub.outbox.encoding import to_json
from hub.outbox.receipts import apply_early, apply_receipts
from hub.outbox.telling import Change, change_status, raise_replies, status_event, tell
from hub.settings import Settings
from hub.store import Transaction
from hub.store import outbox as rows
from hub.store.conversations import ConversationRow

__all__ = [
    "Change",
    "Place",
    "Urgent",
    "apply_early",
    "apply_receipts",
    "change_status",
    "queue_urgent",
    "raise_replies",
    "release_held",
    "status_event",
    "tell",
    "to_json",
]


class Place(NamedTuple):
    """What the hub's own message must know of its conversation."""

    id: UUID
    account: str
    channel: str
    thread_key: str
    is_group: bool
    queue: str


class Urgent(NamedTuple):
    """Something that the hub itself says: an answer that cannot wait for a helpdesk, a notice."""

    conversation: ConversationRow | Place
    drafts: Sequence[Draft]


async def queue_urgent(
    tx: Transaction, settings: Settings, urgent: Sequence[Urgent], now: datetime
) -> frozenset[str]:
    """Make each of *urgent* a message that the hub itself says, queued in its conversation.

    The conversations are stored and locked by the caller, who does not write their ``last_seq``
    after this. Their drafts are sent as they are, never composed again.
    """
    if not urgent:
        return frozenset()
    counts = Counter(one.conversation.id for one in urgent)
    following = dict(await rows.next_seqs(tx, counts, now))
    messages, drafts, told = [], [], []
    for one in urgent:
        place = one.conversation
        following[place.id] += 1
        message = _said_by_hub(one, new_id(), following[place.id], now)
        messages.append(message)
        drafts += [
            rows.NewDraft(message.id, position, draft.role, to_json(draft))
            for position, draft in enumerate(one.drafts)
        ]
        told.append(message._asdict() | {"queue": place.queue})
    await rows.insert_outbound(tx, messages, now)
    await rows.insert_drafts(tx, drafts)
    rung = await tell(tx, settings, told, now)
    lanes = [(one.conversation.account, one.conversation.id) for one in urgent]
    await raise_replies(tx, lanes, wake=True)
    return rung


def _said_by_hub(urgent: Urgent, own: UUID, seq: int, now: datetime) -> rows.NewOutbound:
    place = urgent.conversation
    text = "\n".join(draft.text for draft in urgent.drafts if draft.text) or "[automatic answer]"
    message = Message(
        channel=place.channel,
        account=place.account,
        direction="outbound",
        kind="text",
        text=text,
        sender=Participant("system", Address("hub", place.account, "system")),
        conversation=ConversationRef(
            show_id("cnv", place.id), place.thread_key, place.is_group, place.queue
        ),
        dedupe_key=str(own),
        sent_at=now,
        id=show_id("msg", own),
        seq=seq,
    )
    body = public_json(message) | {"status": "queued", "status_at": now, "error": None}
    return rows.NewOutbound(
        own,
        place.id,
        seq,
        place.account,
        place.channel,
        message.kind,
        message.dedupe_key,
        to_json(body),
        "{}",
        "queued",
        None,
    )


async def release_held(
    tx: Transaction, settings: Settings, conversations: Collection[UUID], now: datetime
) -> frozenset[str]:
    """Queue the replies that waited for these *conversations'* customers, who have written now.

    They go out in the order in which they were accepted.
    """
    if not conversations:
        return frozenset()
    held = await rows.lock_held(tx, conversations)
    if not held:
        return frozenset()
    rung = await change_status(tx, settings, [Change(row["id"], "queued") for row in held], now)
    await raise_replies(tx, [(row["account"], row["conversation_id"]) for row in held])
    return rung

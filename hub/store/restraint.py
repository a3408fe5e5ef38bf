"""How much was said lately: to one contact, and by one account."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hub.store.database import Transaction

__all__ = ["Said", "forbids_machines", "room_for_call", "said_to"]

# A call may be made long after its reply was written: so far back the count looks.
_LONGEST_WAIT = timedelta(days=3)


class Said(NamedTuple):
    """Answers to one contact: of machines in 24 hours, of any kind in one."""

    automatic_in_a_day: int
    all_in_an_hour: int


async def said_to(tx: Transaction, place: Any, now: datetime) -> Said:
    """What was said to whom the conversation *place* is with, in all conversations of its account."""
    rows = await tx.fetch(
        "SELECT count(*) FILTER (WHERE m.body -> 'extra' ->> 'automatic' = 'true') AS automatic, "
        "count(*) FILTER (WHERE m.created_at > $6) AS said "
        "FROM messages m JOIN conversations c ON c.id = m.conversation_id "
        "WHERE m.account = $1 AND m.direction = 'outbound' AND m.created_at > $5 "
        "AND m.status <> 'failed' "
        "AND c.address_scheme = $2 AND c.address_scope = $3 AND c.address_value = $4",
        place["account"],
        place["address_scheme"],
        place["address_scope"],
        place["address_value"],
        now - timedelta(days=1),
        now - timedelta(hours=1),
    )
    return Said(rows[0]["automatic"], rows[0]["said"])


async def forbids_machines(tx: Transaction, conversation_id: Any) -> bool:
    """Whether the last message of the customer must not be answered by a machine."""
    rows = await tx.fetch(
        "SELECT body -> 'extra' ->> 'suppress_auto_reply' AS forbids FROM messages "
        "WHERE conversation_id = $1 AND direction = 'inbound' ORDER BY seq DESC LIMIT 1",
        conversation_id,
    )
    return bool(rows) and rows[0]["forbids"] == "true"


async def room_for_call(
    tx: Transaction, account: str, count: int, seconds: float, now: datetime
) -> float:
    """After how many seconds the account may make one more call; 0: now.

    One process at a time counts for an account, until its transaction ends.
    """
    await tx.fetch("SELECT pg_advisory_xact_lock(hashtextextended($1, 7))", account)
    window = timedelta(seconds=seconds)
    rows = await tx.fetch(
        "SELECT d.started_at FROM messages m JOIN drafts d ON d.message_id = m.id "
        "WHERE m.account = $1 AND m.direction = 'outbound' AND m.created_at > $2 "
        "AND d.role = 'say' AND d.started_at > $3 AND d.state <> 'queued' "
        "ORDER BY d.started_at DESC OFFSET $4 LIMIT 1",
        account,
        now - window - _LONGEST_WAIT,
        now - window,
        count - 1,
    )
    if not rows:
        return 0.0
    return float(max(0.5, (rows[0]["started_at"] + window - now).total_seconds()))

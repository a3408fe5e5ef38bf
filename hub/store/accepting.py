"""What taking in many replies at once reads of their conversations."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from hub.store.database import Transaction

__all__ = ["facts_of", "lock_free"]


async def lock_free(
    tx: Transaction, conversations: Sequence[UUID], keys: Sequence[int | None]
) -> list[Any]:
    """Lock those of *conversations* that nobody else has locked; never waits.

    One may be named several times. *keys* are the locks of the idempotency keys that go with them. Returns
    the conversation's row for each, with ``key`` and ``ours``: whether nobody else works under that key.
    """
    return await tx.fetch(
        "SELECT c.*, u.key, u.key IS NULL OR pg_try_advisory_xact_lock(u.key) AS ours "
        "FROM unnest($1::uuid[], $2::bigint[]) AS u (id, key) JOIN conversations c ON c.id = u.id "
        "ORDER BY c.id FOR UPDATE OF c SKIP LOCKED",
        conversations,
        keys,
    )


async def facts_of(tx: Transaction, conversations: Sequence[UUID]) -> list[Any]:
    """Of each of the locked *conversations*: ``withdrawn_at``, and ``held``: whether a reply waits in it."""
    return await tx.fetch(
        "SELECT c.id, w.at AS withdrawn_at, EXISTS (SELECT FROM messages m "
        "WHERE m.conversation_id = c.id AND m.direction = 'outbound' AND m.status = 'held') AS held "
        "FROM conversations c LEFT JOIN consents w ON w.account = c.account AND w.state = 'withdrawn' "
        "AND w.scheme = c.address_scheme AND w.scope = c.address_scope AND w.value = c.address_value "
        "WHERE c.id = ANY($1::uuid[])",
        conversations,
    )

"""Requests made under a key, as rows."""

import hashlib
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from hub.store.database import Transaction

__all__ = [
    "Kept",
    "TwinRuns",
    "keep_answer",
    "lock_of",
    "stored",
    "take_key",
]


class TwinRuns(Exception):
    """Another request with the same key has not ended yet."""


class Kept(NamedTuple):
    """A request that has been answered under its key."""

    token_id: UUID
    key: str
    request_sha256: str
    answer: bytes


def lock_of(token_id: UUID, key: str) -> int:
    """The number of the advisory lock that whoever works under the key holds: a clash only waits."""
    digest = hashlib.sha256(
        b"idempotency\0" + token_id.bytes + key.encode("utf-8", "replace")
    ).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


async def take_key(
    tx: Transaction,
    token_id: UUID,
    key: str,
    request_sha256: str,
    now: datetime,
    before: datetime,
    wait_ms: int,
) -> bool:
    """Make the key ours until the end of the transaction; False: it was used since *before*.

    A twin that runs at this moment holds its lock: this waits for its end, at most *wait_ms*.

    Raises:
        TwinRuns: it has not ended by then.
    """
    await tx.fetch("SELECT set_config('lock_timeout', $1, true)", f"{wait_ms}ms")
    try:
        rows = await tx.fetch(
            "INSERT INTO idempotency_keys AS k (token_id, key, request_sha256, created_at) "
            "SELECT $1, $2, $3, $4 FROM (SELECT pg_advisory_xact_lock($6)) l "
            "ON CONFLICT (token_id, key) DO UPDATE "
            "SET request_sha256 = excluded.request_sha256, status = NULL, answer = NULL, "
            "created_at = excluded.created_at WHERE k.created_at < $5 RETURNING k.id",
            token_id,
            key,
            request_sha256,
            now,
            before,
            lock_of(token_id, key),
        )
    except asyncpg.LockNotAvailableError as error:
        raise TwinRuns from error
    await tx.fetch("SELECT set_config('lock_timeout', '0', true)")
    return bool(rows)


async def stored(tx: Transaction, token_id: UUID, key: str) -> Any:
    """What is kept of the request under that key: request_sha256, status, answer."""
    rows = await tx.fetch(
        "SELECT request_sha256, status, answer FROM idempotency_keys WHERE token_id = $1 AND key = $2",
        token_id,
        key,
    )
    return rows[0] if rows else None


async def keep_answer(
    tx: Transaction, token_id: UUID, key: str, status: int, answer: bytes
) -> None:
    """Keep the answer beside the key that this transaction took."""
    await tx.fetch(
        "UPDATE idempotency_keys SET status = $3, answer = $4 WHERE token_id = $1 AND key = $2",
        token_id,
        key,
        status,
        answer,
    )

"""The inbox, its partitions and the checkpoints: what is stored before a platform gets its 200."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from hub.model import Checkpoint, InboundEvent
from hub.store.database import Database, Transaction
from hub.text import clean, partition_of

__all__ = [
    "PARTITIONS",
    "Arrived",
    "Claimed",
    "InboxRow",
    "LeaseLost",
    "claim_partitions",
    "count_crash",
    "ensure_partitions",
    "finish",
    "insert_events",
    "keep_partitions",
    "load_checkpoint",
    "note",
    "park",
    "read_claimed",
    "refile",
    "release_all",
    "release_partitions",
    "save_checkpoint",
    "short_key",
    "unpark",
]

PARTITIONS = 16
LEASE = "interval '30 seconds'"
KEY_LIMIT = 200
MOST_BYTES = 32 << 20

INSERT = """
INSERT INTO inbox (account, channel, partition, order_key, dedupe_key, headers, body, proof, received_at,
                   state, crashes)
SELECT account, channel, partition, order_key, dedupe_key, headers::jsonb, body, proof, received_at, 0, 0
FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::bytea[],
            $8::text[], $9::timestamptz[])
     WITH ORDINALITY AS u (account, channel, partition, order_key, dedupe_key, headers, body, proof,
                           received_at, ordinal)
ORDER BY ordinal
ON CONFLICT (account, dedupe_key) DO NOTHING
RETURNING id
"""


class LeaseLost(Exception):
    """Another process has taken over; what this one was about to write must be thrown away."""


class Arrived(NamedTuple):
    """An event and whose it is."""

    account: str
    channel: str
    event: InboundEvent


def short_key(key: str) -> str:
    """*key* as it is stored: one too long for an index is replaced by its hash."""
    key = clean(key)
    if len(key) <= KEY_LIMIT:
        return key
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _headers(headers: Mapping[str, str]) -> str:
    if not headers:
        return "{}"
    return msgspec.json.encode({clean(k): clean(v) for k, v in headers.items()}).decode()


def _columns(arrived: Sequence[Arrived]) -> tuple[list[Any], ...]:
    rows = [
        (
            one.account,
            one.channel,
            partition_of(one.event.order_key, PARTITIONS),
            clean(one.event.order_key),
            short_key(one.event.dedupe_key),
            _headers(one.event.headers),
            one.event.body,
            one.event.proof,
            one.event.received_at,
        )
        for one in arrived
    ]
    return tuple(list(column) for column in zip(*rows, strict=True))


async def insert_events(where: Database | Transaction, arrived: Sequence[Arrived]) -> int:
    """Store *arrived* in the order given, leaving out what is known; how many were new."""
    if not arrived:
        return 0
    return len(await where.fetch(INSERT, *_columns(arrived)))


async def save_checkpoint(
    tx: Transaction, lease: str | None, epoch: int, account: str, checkpoint: Checkpoint
) -> None:
    """Store *checkpoint*; with a *lease*, if its holder at *epoch* still holds it.

    Raises:
        LeaseLost: it does not.
    """
    if lease is not None:
        held = await tx.fetch(
            "SELECT 1 FROM leases WHERE name = $1 AND epoch = $2 FOR SHARE", lease, epoch
        )
        if not held:
            raise LeaseLost(lease)
    await tx.fetch(
        "INSERT INTO checkpoints (account, key, value, epoch, updated_at) "
        "VALUES ($1, $2, $3::jsonb, $4, clock_timestamp()) "
        "ON CONFLICT (account, key) DO UPDATE "
        "SET value = excluded.value, epoch = excluded.epoch, updated_at = excluded.updated_at",
        account,
        short_key(checkpoint.key),
        msgspec.json.encode(checkpoint.value).decode(),
        epoch,
    )


async def load_checkpoint(db: Database, account: str, key: str) -> Mapping[str, Any] | None:
    """The value last stored, or None."""
    rows = await db.fetch(
        "SELECT value FROM checkpoints WHERE account = $1 AND key = $2", account, short_key(key)
    )
    return msgspec.json.decode(rows[0]["value"], type=dict[str, Any]) if rows else None


# --- filing -----------------------------------------------------------------------------------------


class Claimed(NamedTuple):
    """A partition that is ours while nobody raises its epoch.

    *expired*: its last holder never gave it up, so one of its rows may have killed that process.
    """

    id: str
    account: str
    number: int
    epoch: int
    expired: bool


class InboxRow(NamedTuple):
    """A waiting row."""

    id: int
    partition_id: str
    account: str
    channel: str
    event: InboundEvent
    crashes: int


async def ensure_partitions(db: Database, accounts: Iterable[str]) -> None:
    """Make the partitions of *accounts* that are missing."""
    pairs = [(account, number) for account in accounts for number in range(PARTITIONS)]
    await db.fetch(
        "INSERT INTO partitions (id, account, number, epoch, lease_until) "
        "SELECT account || '/' || number, account, number, 0, '-infinity' "
        "FROM unnest($1::text[], $2::smallint[]) AS u (account, number) ON CONFLICT DO NOTHING",
        [account for account, _ in pairs],
        [number for _, number in pairs],
    )


async def claim_partitions(
    db: Database, holder: str, accounts: Sequence[str], limit: int
) -> list[Claimed]:
    """Take up to *limit* partitions of *accounts* that have waiting rows and no holder.

    Which ones is left to chance, so that no account waits behind those that are always busy.
    """
    rows = await db.fetch(
        f"""
        UPDATE partitions p
        SET holder = $1, epoch = p.epoch + 1, lease_until = clock_timestamp() + {LEASE}
        FROM (
            SELECT id, lease_until > '-infinity' AS expired FROM partitions f
            WHERE lease_until < clock_timestamp() AND account = ANY($2::text[])
              AND EXISTS (SELECT 1 FROM inbox i
                          WHERE i.account = f.account AND i.partition = f.number AND i.state = 0)
            ORDER BY random() LIMIT $3 FOR UPDATE SKIP LOCKED) free
        WHERE p.id = free.id
        RETURNING p.id, p.account, p.number, p.epoch, free.expired
        """,
        holder,
        list(accounts),
        limit,
    )
    return [Claimed(*row) for row in rows]


async def read_claimed(
    db: Database, claimed: Sequence[Claimed], each: int, most_bytes: int = MOST_BYTES
) -> list[InboxRow]:
    """The next *each* waiting rows of each partition, in id order within it.

    Fewer when their bodies have more than *most_bytes* in all; one at least.
    """
    rows = await db.fetch(
        "SELECT i.id, i.partition_id, i.account, i.channel, i.dedupe_key, i.order_key, i.body, "
        "i.received_at, i.headers, i.proof, i.crashes FROM ("
        "SELECT w.*, c.id AS partition_id, COALESCE(sum(octet_length(w.body)) OVER ("
        "ORDER BY w.place, w.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before "
        "FROM unnest($1::text[], $2::text[], $3::smallint[]) AS c (id, account, number) "
        "CROSS JOIN LATERAL (SELECT *, row_number() OVER () AS place FROM ("
        "SELECT * FROM inbox w WHERE w.account = c.account "
        "AND w.partition = c.number AND w.state = 0 ORDER BY w.id LIMIT $4) next) w) i "
        "WHERE i.before < $5",
        [one.id for one in claimed],
        [one.account for one in claimed],
        [one.number for one in claimed],
        each,
        most_bytes,
    )
    return sorted((_inbox_row(row) for row in rows), key=lambda row: row.id)


def _inbox_row(row: Any) -> InboxRow:
    event = InboundEvent(
        dedupe_key=row["dedupe_key"],
        order_key=row["order_key"],
        body=row["body"] or b"",
        received_at=row["received_at"],
        headers=msgspec.json.decode(row["headers"]) if row["headers"] != "{}" else {},
        proof=row["proof"],
    )
    return InboxRow(
        row["id"], row["partition_id"], row["account"], row["channel"], event, row["crashes"]
    )


async def keep_partitions(db: Database, claimed: Sequence[Claimed]) -> set[str]:
    """Renew the leases that are still ours and were not given up; returns their ids."""
    rows = await db.fetch(
        f"UPDATE partitions p SET lease_until = clock_timestamp() + {LEASE} "
        "FROM unnest($1::text[], $2::bigint[]) AS c (id, epoch) "
        "WHERE p.id = c.id AND p.epoch = c.epoch AND p.lease_until > '-infinity' RETURNING p.id",
        [one.id for one in claimed],
        [one.epoch for one in claimed],
    )
    return {row["id"] for row in rows}


GIVE_UP = """
UPDATE partitions p SET lease_until = '-infinity'
FROM (SELECT * FROM unnest($1::text[], $2::bigint[]) AS u (id, epoch) ORDER BY id) c
WHERE p.id = c.id AND p.epoch = c.epoch RETURNING p.id
"""


async def release_all(db: Database, holders: Sequence[str]) -> None:
    """Give up all that *holders* hold, of which none works on anything now."""
    await db.fetch(
        "UPDATE partitions SET lease_until = '-infinity' "
        "WHERE holder = ANY($1::text[]) AND lease_until > '-infinity'",
        list(holders),
    )


async def release_partitions(db: Database, claimed: Sequence[Claimed]) -> None:
    """Give up the leases that are still ours."""
    await db.fetch(GIVE_UP, [one.id for one in claimed], [one.epoch for one in claimed])


async def finish(
    tx: Transaction, claimed: Sequence[Claimed], filed: Sequence[InboxRow]
) -> set[str]:
    """Give up the leases that are still ours, and mark the rows *filed* from those partitions.

    Returns the partitions' ids. This is the fence: they stay locked until the commit, and what belongs to
    one that is not returned must not be written.
    """
    rows = await tx.fetch(
        f"WITH ours AS ({GIVE_UP}), done AS ("
        "UPDATE inbox i SET state = 1 FROM unnest($3::bigint[], $4::text[]) AS u (id, partition), ours "
        "WHERE i.id = u.id AND ours.id = u.partition) SELECT id FROM ours",
        [one.id for one in claimed],
        [one.epoch for one in claimed],
        [row.id for row in filed],
        [row.partition_id for row in filed],
    )
    return {row["id"] for row in rows}


async def note(tx: Transaction, notes: Mapping[int, str]) -> None:
    """Say of rows why nothing came of them."""
    if not notes:
        return
    await tx.fetch(
        "UPDATE inbox i SET error = u.note FROM unnest($1::bigint[], $2::text[]) AS u (id, note) "
        "WHERE i.id = u.id",
        list(notes),
        [clean(text)[:2000] for text in notes.values()],
    )


async def count_crash(db: Database, ids: Sequence[int], error: str) -> None:
    """Note that *ids* were in a batch that crashed."""
    await db.fetch(
        "UPDATE inbox SET crashes = crashes + 1, error = $2 WHERE id = ANY($1::bigint[])",
        list(ids),
        clean(error)[:2000],
    )


async def park(db: Database, row_id: int, error: str) -> None:
    """Set a waiting row aside that cannot be filed; ``hub replay`` brings it back."""
    await db.fetch(
        "UPDATE inbox SET state = 2, error = $2 WHERE id = $1 AND state = 0",
        row_id,
        clean(error)[:2000],
    )


async def unpark(db: Database, ids: Sequence[int] | None) -> int:
    """Bring parked rows back to be filed again (None: all of them); how many."""
    rows = await db.fetch(
        "UPDATE inbox SET state = 0, crashes = 0 "
        "WHERE state = 2 AND ($1::bigint[] IS NULL OR id = ANY($1)) RETURNING id",
        None if ids is None else list(ids),
    )
    return len(rows)


async def refile(db: Database, ids: Sequence[int]) -> int:
    """File rows again that were filed already (what came of them is not doubled); how many."""
    rows = await db.fetch(
        "UPDATE inbox SET state = 0, crashes = 0 "
        "WHERE state IN (1, 2) AND body IS NOT NULL AND id = ANY($1::bigint[]) RETURNING id",
        list(ids),
    )
    return len(rows)

"""API tokens as rows."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from hub.store.database import Database

__all__ = ["TokenRow", "find_token", "insert_token", "list_tokens", "revoke_token", "touch_token"]

_COLUMNS = (
    "id, name, hash, scopes, queues, created_at, expires_at, last_used_at, revoked_at, requests_per_s, "
    "clock_timestamp() >= COALESCE(expires_at, 'infinity') AS expired"
)


class TokenRow(NamedTuple):
    """A token as stored: *hash* is the sha256 of the whole token, in hex."""

    id: UUID
    name: str
    hash: str
    scopes: tuple[str, ...]
    queues: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    requests_per_s: float | None
    expired: bool


def _row(row: Any) -> TokenRow:
    values = dict(row)
    values["scopes"] = tuple(msgspec.json.decode(row["scopes"]))
    values["queues"] = tuple(msgspec.json.decode(row["queues"]))
    return TokenRow(**values)


async def insert_token(
    db: Database,
    token_id: UUID,
    name: str,
    digest: str,
    scopes: list[str],
    queues: list[str],
    created_at: datetime,
    expires_at: datetime | None,
    requests_per_s: float | None,
) -> None:
    """Add a token."""
    await db.fetch(
        "INSERT INTO api_tokens (id, name, hash, scopes, queues, created_at, expires_at, requests_per_s) "
        "VALUES ($1, $2, $3, $4::jsonb, $5::jsonb, $6, $7, $8)",
        token_id,
        name,
        digest,
        msgspec.json.encode(scopes).decode(),
        msgspec.json.encode(queues).decode(),
        created_at,
        expires_at,
        requests_per_s,
    )


async def find_token(db: Database, token_id: UUID) -> TokenRow | None:
    """The token with that id, good or not."""
    rows = await db.fetch(f"SELECT {_COLUMNS} FROM api_tokens WHERE id = $1", token_id)
    return _row(rows[0]) if rows else None


async def list_tokens(db: Database) -> list[TokenRow]:
    """All tokens, the oldest first."""
    return [_row(row) for row in await db.fetch(f"SELECT {_COLUMNS} FROM api_tokens ORDER BY id")]


async def touch_token(db: Database, token_id: UUID, at: datetime) -> None:
    """Note that the token was used."""
    await db.fetch("UPDATE api_tokens SET last_used_at = $2 WHERE id = $1", token_id, at)


async def revoke_token(db: Database, token_id: UUID, at: datetime) -> bool:
    """End the token; False when there is none, or it was ended before."""
    return bool(
        await db.fetch(
            "UPDATE api_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id",
            token_id,
            at,
        )
    )

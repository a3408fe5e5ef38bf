"""Platform tokens as rows; what is stored is sealed."""

from typing import NamedTuple

from hub.store.database import Database

__all__ = ["StoredToken", "load_token", "save_token"]


class StoredToken(NamedTuple):
    """A sealed token and for how many seconds more it may be used, by the database's clock."""

    sealed: bytes
    good_for: float


async def load_token(db: Database, token_id: str) -> StoredToken | None:
    """The token, while it is good."""
    rows = await db.fetch(
        "SELECT sealed, EXTRACT(EPOCH FROM expires_at - clock_timestamp())::float8 AS good_for "
        "FROM platform_tokens WHERE id = $1 AND sealed IS NOT NULL AND expires_at > clock_timestamp()",
        token_id,
    )
    return StoredToken(rows[0]["sealed"], rows[0]["good_for"]) if rows else None


async def save_token(
    db: Database, token_id: str, sealed: bytes, good_for: float, lease: str, epoch: int
) -> bool:
    """Store the token for *good_for* seconds; False when the *lease* is another's by now."""
    rows = await db.fetch(
        "WITH mine AS (SELECT 1 FROM leases WHERE name = $4 AND epoch = $5 FOR UPDATE) "
        "INSERT INTO platform_tokens (id, sealed, expires_at, refreshed_at) "
        "SELECT $1, $2, clock_timestamp() + make_interval(secs => $3), clock_timestamp() FROM mine "
        "ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, expires_at = excluded.expires_at, "
        "refreshed_at = excluded.refreshed_at RETURNING id",
        token_id,
        sealed,
        good_for,
        lease,
        epoch,
    )
    return bool(rows)

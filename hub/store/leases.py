"""Leases on things that must have one owner in the cluster, by the database's clock."""

from hub.store.database import Database

__all__ = ["acquire", "release", "renew", "seize"]

LEASE = "interval '30 seconds'"


async def acquire(db: Database, name: str, holder: str) -> int | None:
    """Take the lease *name*; its epoch, or None while another holds it."""
    rows = await db.fetch(
        f"""
        INSERT INTO leases AS l (name, epoch, lease_until, holder)
        VALUES ($1, 1, clock_timestamp() + {LEASE}, $2)
        ON CONFLICT (name) DO UPDATE
        SET epoch = l.epoch + 1, lease_until = excluded.lease_until, holder = excluded.holder
        WHERE l.lease_until < clock_timestamp()
        RETURNING epoch
        """,
        name,
        holder,
    )
    return rows[0]["epoch"] if rows else None


async def seize(db: Database, name: str, holder: str) -> int:
    """Take the lease *name* from whoever has it; its new epoch."""
    rows = await db.fetch(
        f"""
        INSERT INTO leases AS l (name, epoch, lease_until, holder)
        VALUES ($1, 1, clock_timestamp() + {LEASE}, $2)
        ON CONFLICT (name) DO UPDATE
        SET epoch = l.epoch + 1, lease_until = excluded.lease_until, holder = excluded.holder
        RETURNING epoch
        """,
        name,
        holder,
    )
    epoch: int = rows[0]["epoch"]
    return epoch


async def renew(db: Database, name: str, epoch: int) -> bool:
    """Keep the lease for another 30 s; False: it is lost."""
    rows = await db.fetch(
        f"UPDATE leases SET lease_until = clock_timestamp() + {LEASE} "
        "WHERE name = $1 AND epoch = $2 AND lease_until > clock_timestamp() RETURNING name",
        name,
        epoch,
    )
    return bool(rows)


async def release(db: Database, name: str, epoch: int) -> None:
    """Give the lease up, if it is still ours."""
    await db.fetch(
        "UPDATE leases SET lease_until = '-infinity' WHERE name = $1 AND epoch = $2", name, epoch
    )

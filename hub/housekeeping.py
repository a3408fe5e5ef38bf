"""What is done by the clock: keys and bodies that are no longer needed."""

import structlog

from hub.core import Core
from hub.store import housekeeping as rows
from hub.store import identity, relay
from hub.store.inbox import refile
from hub.store.parts import forget_parts, overdue
from hub.store.quotas import forget_uses

__all__ = ["expire", "retire"]

_log = structlog.get_logger("hub.housekeeping")


async def expire(core: Core) -> None:
    """Every minute: what is kept for hours."""
    await rows.forget_keys(core.db)
    await forget_uses(core.db)
    await forget_parts(core.db)
    if rows_of_parts := await overdue(core.db):  # what there is of them is filed now
        await refile(core.db, rows_of_parts)
        core.bells.ring("ingest")
    await relay.forget(core.db)
    await identity.mend(core.db)


async def retire(core: Core) -> None:
    """Every night: what is kept for days, by the settings."""
    gone = await rows.retire(core.db, core.settings.hub.retention_days)
    for sha256 in await rows.forgotten_files(core.db, core.settings.hub.retention_days):
        await core.media.blobs.remove(sha256)
    await core.media.blobs.sweep()
    _log.info("retired", **{name.replace(" ", "_"): count for name, count in gone.items()})

"""What is done by the clock: keys and bodies that are no longer needed."""

import structlog

from hub.core import Core
from hub.store import housekeeping as rows
from hub.store import identity, relay
from hub.store.inbox import refile
from hub.store.parts import forget_parts, overdue
from hub.store.quotas import forget_uses

__all__ = ["expire", "retire"]

BEING_FILED_S = 3600.0
"""What was stored in the last hour may belong to a message that is still being filed."""

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
    days = core.settings.hub.retention_days
    gone = await rows.retire(core.db, days)
    gone["files"] = await _retire_files(core, days)
    await core.media.blobs.sweep()
    _log.info("retired", **{name.replace(" ", "_"): count for name, count in gone.items()})


async def _retire_files(core: Core, days: int) -> int:
    """Remove files that only old attachments have; how many.

    Files go before their rows say so: what a crash leaves is found the next night.
    """
    count, kept = 0, list[str]()
    while found := await rows.old_files(core.db, days, kept):
        gone = [
            sha256
            for sha256 in found
            if await core.media.blobs.remove(sha256, unless_kept_s=BEING_FILED_S)
        ]
        await rows.forget_files(core.db, days, gone)
        count += len(gone)
        kept += set(found).difference(gone)
    return count

"""One person, several addresses: what platforms claim is followed soon after it is filed.

A platform may say that two ids are one person: the ``unionid`` of WeChat does, for every account of one
subject. A normalizer says so in ``Notice.same_as``. The contacts behind the addresses become one, the
older one; what came from the younger one is kept beside it, so that it can be undone.
"""

import structlog

from hub.core import Core
from hub.store import Transaction
from hub.store import identity as rows

__all__ = ["BELL", "follow_claims", "run"]

BELL = "identity"
POLL_S = 5.0

_log = structlog.get_logger("hub.identity")


async def run(core: Core) -> None:
    """Follow claims as they come, until cancelled."""
    while True:
        await follow_claims(core)
        await core.bells.wait(BELL, POLL_S)


async def follow_claims(core: Core) -> int:
    """Follow the claims that wait, each in a transaction of its own; how many contacts were merged."""
    merges = 0
    while claims := await rows.waiting(core.db):
        for own in claims:

            async def work(tx: Transaction, own: int = own) -> rows.Merged | None:
                return await rows.follow(tx, own, core.clock())

            if merged := await core.db.transaction(work):
                merges += 1
                _log.info(
                    "contacts_merged",
                    kept=str(merged.kept),
                    gone=str(merged.gone),
                    conversations=merged.conversations,
                )
    return merges

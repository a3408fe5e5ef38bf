"""Claim many, read many, record many: the whole way of a message costs a third of a statement."""

import asyncio

from hub.delivery import Deliverer
from hub.intake import Committer
from tests.corekit import (
    background,
    event,
    eventually,
    ingester,
    opened,
    running_desk,
    settings_for,
)

MESSAGES = 1000


async def test_a_thousand_messages_take_at_most_300_statements(database_url: str) -> None:
    """From the door to the helpdesk's 200, with 50 busy conversations."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=("message.received",), max_in_flight=64)
        async with opened(database_url, settings) as core:
            committer = Committer(
                core.db, core.bells, max_events=5000, max_bytes=1 << 26, wait_s=4.0
            )
            await committer.start()
            before = core.db.statements
            async with background(ingester(core).run(), Deliverer(core).run()):
                said = [
                    event({"from": f"c{n % 50}", "text": str(n), "id": str(n)})
                    for n in range(MESSAGES)
                ]
                await asyncio.gather(*(committer.store("shop", "test", [one]) for one in said))
                await eventually(lambda: len(desk.seen) == MESSAGES, 60.0)
            await committer.stop()
            assert core.db.statements - before <= 300
            assert all(numbers == list(range(1, 21)) for numbers in desk.by_lane.values())

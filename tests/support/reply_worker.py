"""A worker process of the test channel, to be killed: ``python -m tests.support.reply_worker URL LOG``.

Each effect is a line in the file LOG, on disk before the platform answers.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub.model import Draft, Receipt
from hub.store import Database
from tests.support.replies import QUICK, World


async def main(url: str, log: Path) -> None:
    db = await Database.open(url, pool=4)
    world = World(db, repeatable="--repeatable" in sys.argv)

    async def act(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        with log.open("a") as file:
            file.write(f"{draft.text}\n")
            file.flush()
            os.fsync(file.fileno())
        return Receipt(status="sent", external_id=f"ext-{draft.text}")

    world.platform.script = act
    async with world.serving(QUICK):
        await asyncio.sleep(30)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))

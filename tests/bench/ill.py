"""A helpdesk with moods as a process.

Prints its port, then answers one command a line: ``mood NAME``, ``count``, ``taken``, ``report``.
"""

import asyncio
import gc
import json
import sys
from typing import Any

from rig.moody import Came, Moody


def _shown(one: Came) -> dict[str, Any]:
    return {"at": one.at, "mood": one.mood, "event": one.event, "lane": one.lane, "n": one.n}


async def serve() -> None:
    """Take webhooks and commands until standard input ends."""
    loop = asyncio.get_running_loop()
    desk = Moody(late_s=20.0)
    await desk.start()
    print(desk.port, flush=True)
    gc.disable()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        answer: Any = len(desk.came)
        if line.startswith("mood "):
            await desk.be(line.removeprefix("mood "))
        elif line == "taken":
            answer = [_shown(one) for one in desk.taken()]
        elif line == "report":
            answer = [_shown(one) for one in desk.came]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())

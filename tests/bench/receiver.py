"""The helpdesk as a process: takes every webhook and notes when it came.

Prints its port, then answers one command a line: ``count``, ``report`` (and forgets), ``reset``.
"""

import asyncio
import gc
import json
import re
import sys

from bench.wire import Taker

_NUMBER = re.compile(rb'"text":"m(\d+) from (\w+)"')
_ORDER = re.compile(rb'"lane":"(\w+)","n":(\d+)')


def read(received: list[tuple[float, bytes]]) -> list[tuple[float, int, str, int]]:
    """(when, number, conversation, place in its lane) of each message, in the order they came."""
    report = []
    for at, body in received:
        said, order = _NUMBER.search(body), _ORDER.search(body)
        if said is None or order is None:
            raise ValueError(f"not a message: {body[:200]!r}")
        report.append((at, int(said[1]), said[2].decode(), int(order[2])))
    return report


async def serve() -> None:
    """Take webhooks and commands until standard input ends."""
    loop = asyncio.get_running_loop()
    received: list[tuple[float, bytes]] = []
    server = await loop.create_server(lambda: Taker(received), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.disable()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        answer: object = len(received)
        if line == "report":
            answer = read(received)
        if line in ("report", "reset"):
            received.clear()
            gc.collect()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())

"""The platform as a process: builds signed and encrypted pushes beforehand, then only sends them."""

import asyncio
from collections.abc import Mapping
from typing import Any

from bench.loop import Loop, serve
from sandbox.wechat import WeChatSimulator, messages


class Platform(Loop):
    """One account's customers; a push's number is its ticket."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__(spec)
        self.path = str(spec["path"])
        self.simulator = WeChatSimulator(**spec["credentials"])

    def prepare(self, first: int, count: int, **more: int) -> None:
        """Build *count* pushes, numbered from *first*, in turn from each of ``conversations``."""
        self.requests = []
        conversations = more["conversations"]
        for number in range(first, first + count):
            who = f"oBench{number % conversations:06d}"
            stamped = self.simulator.builder.stamp(messages.text(who, f"m{number} from {who}"))
            query, headers, body = self.simulator.build_push(stamped)
            self.requests.append((number, self.request(f"{self.path}?{query}", headers, body)))


if __name__ == "__main__":
    asyncio.run(serve(Platform))

"""Agents as a process: builds replies beforehand, each with a key of its own, then only sends them."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from bench.loop import Loop, serve

TEXT = "m{number}: thank you, we have found your order and send the missing part today."


class Agents(Loop):
    """Replies to some conversations, in turn; each sender has a token of its own, as limits are by token."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__(spec)
        self.tokens: list[str] = list(spec["tokens"])
        self.conversations: list[str] = list(spec["conversations"])

    def prepare(self, first: int, count: int, **more: int) -> None:
        """Build *count* replies, numbered from *first*."""
        self.requests = [(number, self._reply(number)) for number in range(first, first + count)]

    def _reply(self, number: int) -> bytes:
        headers = {
            "Authorization": f"Bearer {self.tokens[number % len(self.tokens)]}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"bench-{number}",
        }
        body = json.dumps({"text": TEXT.format(number=number)}).encode()
        conversation = self.conversations[number % len(self.conversations)]
        return self.request(f"/v1/conversations/{conversation}/messages", headers, body)


if __name__ == "__main__":
    asyncio.run(serve(Agents))

"""The helpdesk's side: takes every webhook, writes down what came and when, and answers customers."""

import asyncio
import contextlib
import hashlib
import json
import random
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from sandbox.helpdesk import Refused, Verifier

SAID = re.compile(r"(\w+) #(\d+)")
INSIST_S = 60.0


@dataclass(slots=True)
class Receipt:
    """One webhook as it came; *taken* says that it got a 2xx (which may have been lost on the way)."""

    at: float
    desk: str
    id: str
    type: str
    lane: str
    n: int
    digest: bytes
    data: dict[str, Any]
    taken: bool = False


@dataclass
class Answer:
    """A reply that the helpdesk wants said."""

    text: str
    conversation: str
    message_id: str | None = None
    statuses: list[str] = field(default_factory=list)


class Helpdesk:
    """All desks on one port, ``/NAME`` each; how it behaves is set by the trial.

    *delay_s* before each answer; *troubles* are statuses to give instead of 204 (0: cut the connection
    after taking the event); *away* means that nobody listens.
    """

    def __init__(self, rng: random.Random, answer_each: int) -> None:
        self.receipts: list[Receipt] = []
        self.refused: list[str] = []
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self.statuses: dict[str, list[str]] = defaultdict(list)
        self.delay_s = 0.0
        self.troubles: list[int] = []
        self.hub_url = ""
        self.token = ""
        self.port = 0
        self._rng = rng
        self._answer_each = answer_each
        self._verifiers: dict[str, Verifier] = {}
        self._seen: set[str] = set()
        self._talking: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, asyncio.Queue[Answer]] = {}
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def add(self, name: str, secret: str) -> None:
        """A desk of its own, with a secret of its own."""
        self._verifiers[name] = Verifier(secret, time.time)

    # -- listening -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; after :meth:`leave`, again on the same port."""
        self._runner = web.ServerRunner(web.Server(self._take), shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def leave(self) -> None:
        """Cut every connection; nobody listens any more."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        for site in list(runner.sites):
            await site.stop()
        if runner.server is not None:
            for connection in list(runner.server.connections):
                if connection.transport is not None:
                    connection.transport.abort()
        await runner.cleanup()

    async def close(self) -> None:
        """End for good."""
        for task in self._talking.values():
            task.cancel()
        await asyncio.gather(*self._talking.values(), return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        await self.leave()

    # -- webhooks --------------------------------------------------------------------------------------

    async def _take(self, request: web.BaseRequest) -> web.StreamResponse:
        desk = request.path.strip("/")
        body = await request.read()
        try:
            hook = self._verifiers[desk].verify(request.headers, body)
        except (Refused, KeyError) as error:
            self.refused.append(f"{request.path}: {error!r}")
            return web.Response(status=400)
        digest = hashlib.sha256(body).digest()
        receipt = Receipt(
            time.monotonic(),
            desk,
            hook.id,
            hook.type,
            hook.lane or "",
            hook.order_n or 0,
            digest,
            hook.data,
        )
        self.receipts.append(receipt)
        if self.delay_s:
            await asyncio.sleep(self.delay_s * self._rng.uniform(0.5, 1.5))
        trouble = self.troubles.pop() if self.troubles else 204
        if trouble >= 300:
            headers = {"Retry-After": "1"} if trouble == 429 else {}
            return web.Response(status=trouble, headers=headers)
        receipt.taken = True
        self._act(receipt)
        if trouble == 0 and request.transport is not None:
            request.transport.abort()
        return web.Response(status=204)

    def _act(self, receipt: Receipt) -> None:
        """What a helpdesk does with an event that it has not seen."""
        if receipt.id in self._seen:
            return
        self._seen.add(receipt.id)
        if receipt.type == "message.status":
            self.statuses[receipt.data["message"]["id"]].append(receipt.data["message"]["status"])
        if receipt.type != "message.received":
            return
        said = SAID.fullmatch(receipt.data["message"]["text"])
        if said and int(said[2]) % self._answer_each == 0:
            conversation = receipt.data["message"]["conversation"]["id"]
            self._say(Answer(f"re {said[1]} #{said[2]}", conversation))

    # -- answers ---------------------------------------------------------------------------------------

    def _say(self, answer: Answer) -> None:
        self.answers[answer.conversation].append(answer)
        queue = self._waiting.setdefault(answer.conversation, asyncio.Queue())
        queue.put_nowait(answer)
        task = self._talking.get(answer.conversation)
        if task is None or task.done():
            self._talking[answer.conversation] = asyncio.create_task(self._talk(queue))

    async def _talk(self, queue: "asyncio.Queue[Answer]") -> None:
        """Hand the answers of one conversation to the hub, one after the other."""
        while not queue.empty():
            answer = queue.get_nowait()
            deadline = time.monotonic() + INSIST_S
            while answer.message_id is None and time.monotonic() < deadline:
                with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                    answer.message_id = await self._post(answer)
                if answer.message_id is None:
                    await asyncio.sleep(0.1)

    async def _post(self, answer: Answer) -> str | None:
        """The message's id, once the hub has taken the reply; a repeat has the same key."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        async with self._session.post(
            f"{self.hub_url}/v1/conversations/{answer.conversation}/messages",
            json={"text": answer.text},
            headers={"Authorization": f"Bearer {self.token}", "Idempotency-Key": answer.text},
        ) as response:
            if response.status == 202:
                return str((await response.json())["id"])
            if response.status in (400, 401, 403, 404, 422):
                raise AssertionError(f"{response.status}: {await response.text()}")
            return None

    @property
    def talking(self) -> bool:
        """Whether some answer is not with the hub yet."""
        return any(not task.done() for task in self._talking.values())

    def received(self) -> int:
        """How many webhooks were taken."""
        return sum(one.taken for one in self.receipts)


def show(data: Any) -> str:
    """Something short for a report."""
    return json.dumps(data, ensure_ascii=False, default=str)[:300]

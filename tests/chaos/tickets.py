"""A helpdesk with tickets as one of the trial's desks: a simulated Chatwoot, and an agent at work in it."""

import asyncio
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import asyncpg
from aiohttp import web

from chaos.crowd import Push
from chaos.desk import SAID
from sandbox.chatwoot import ChatwootSimulator
from sandbox.desks import Fault

NAME = "tickets"
SECRET = "chaos-tickets-callbacks"
LOOKS_S = 0.05


class Tickets:
    """It mirrors the queue of one *shop*. Its agent answers each third message, writes a note beside
    it, and resolves the conversation now and then; callbacks are lost, and calls end in errors."""

    def __init__(self, shop: str, rng: random.Random) -> None:
        self.shop = shop
        self.simulator = ChatwootSimulator()
        self.replies: list[tuple[str, str]] = []
        """What the agent has said: to whom, and the text, which is never the same twice."""

        self._rng = rng
        self._seen: set[int] = set()
        self._agent: asyncio.Task[None] | None = None

    def settings(self, timeout_s: float) -> dict[str, Any]:
        """The destination as the configuration names it."""
        return {
            "type": "chatwoot",
            "base_url": self.simulator.base_url,
            "account_id": self.simulator.account_id,
            "inbox_id": self.simulator.inbox_id,
            "api_token": self.simulator.token,
            "callback_secret": SECRET,
            "webhook_secret": self.simulator.secret or "",
            "hub_user_id": self.simulator.hub_user["id"],
            "poll_s": 1.0,
            "on_reopen": "new_ticket",
            "allow_private": True,
            "queues": [self.shop],
            "timeout_s": timeout_s,
        }

    async def start(self, hub_url: str) -> None:
        """Listen, and have the agent begin."""
        await self.simulator.start()
        self.simulator.webhook_url = f"{hub_url}/in/chatwoot/{NAME}/{SECRET}"
        self._agent = asyncio.create_task(self._work(), name="ticket-agent")

    async def stop(self) -> None:
        """End for good."""
        if self._agent is not None:
            self._agent.cancel()
            await asyncio.gather(self._agent, return_exceptions=True)
        await self.simulator.stop()

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(LOOKS_S)
            for one in list(self.simulator.conversations.values()):
                for message in list(one.messages):
                    if message["id"] not in self._seen:
                        self._seen.add(message["id"])
                        self._answer(one.id, message)

    def _answer(self, conversation: int, message: dict[str, Any]) -> None:
        said = SAID.fullmatch(message["content"] or "")
        if message["message_type"] != "incoming" or said is None or int(said[2]) % 3:
            return
        self.simulator.lose_callbacks = self._rng.random() < 0.3
        self.simulator.reply(conversation, f"note on {said[1]} #{said[2]}", private=True)
        text = f"ticket {conversation}: {said[1]} #{said[2]}"
        self.replies.append((said[1], text))
        self.simulator.reply(conversation, text)
        if self._rng.random() < 0.5:
            self.simulator.resolve(conversation)

    def errs(self, share: float) -> None:
        """So large a *share* of the calls that write ends in an error from now on, half of them after they
        had their effect."""

        def hit(asked: web.Request) -> bool:
            return asked.method == "POST" and self._rng.random() < share / 2

        self.simulator.faults[:] = [
            Fault(hit, 502, kept=kept, count=sys.maxsize) for kept in (True, False)
        ]

    # -- the verdict ---------------------------------------------------------------------------------

    async def unread(self, database: Any) -> int:
        """How many of the agent's answers the hub has not taken yet."""
        rows: list[asyncpg.Record] = await database(
            "SELECT count(*) AS n FROM desk_messages WHERE destination = $1 "
            "AND state IN ('said', 'told')",
            NAME,
        )
        return len(self.replies) - int(rows[0]["n"])

    def put_in(self) -> list[tuple[int, str]]:
        """Every customer's message in the helpdesk, in the order in which it came."""
        found = [
            (int(message["id"]), str(message["content"]))
            for one in self.simulator.conversations.values()
            for message in one.messages
            if message["message_type"] == "incoming"
        ]
        return sorted(found)

    def wrong(
        self,
        pushes: list[Push],
        stored: Counter[str],
        taken: Counter[str],
        said: Counter[str],
        late: frozenset[str],
    ) -> Iterator[Any]:
        """What is broken: (kind, detail). *stored* counts ids; *taken* and *said* the texts of replies, as
        the hub has them and as customers heard them: whether one is heard is for the others to judge.
        What is *late* was set aside and brought back, and may come at any time."""
        texts = Counter(text for _, text in self.put_in())
        for push in pushes:
            name = f"{push.openid} #{push.k}"
            if push.shop == self.shop and stored[push.message_id] and not texts[name]:
                yield "ticket lost", f"{name} is stored and in no ticket"
        for text, count in texts.items():
            if count > 1:
                yield "ticket doubled", f"{text} is in tickets {count} times"
        for post, count in self._posts().items():
            if count > 1:
                yield "ticket doubled", f"the hub's post {post} is there {count} times"
        # What was never answered may have come at any time too.
        acked = {
            f"{one.openid} #{one.k}" for one in pushes if one.acked and one.message_id not in late
        }
        yield from self._out_of_order(acked)
        for openid, text in self.replies:
            if taken[text] != 1 or said[text] > 1:
                times = f"was taken {taken[text]} times and said {said[text]} times"
                yield "agent's reply", f"{text!r} to {openid} {times}"
        for text in taken + said:
            if text.startswith("note on "):
                yield "note left", text
        homes: dict[tuple[int, str], str] = {}
        for one in self.simulator.conversations.values():
            key = (one.contact["id"], str(one.attributes.get("hub_case")))
            if key in homes:
                yield "ticket doubled", f"{key} has two conversations"
            homes[key] = str(one.id)

    def _posts(self) -> Counter[str]:
        """What the hub has put in, by its own ids; notes on outcomes have none."""
        found = (
            str(message["source_id"])
            for one in self.simulator.conversations.values()
            for message in one.messages
            if message["source_id"]
        )
        return Counter(one for one in found if one != "hub:m:note")

    def _out_of_order(self, acked: set[str]) -> Iterator[Any]:
        last: dict[str, int] = defaultdict(int)
        for _, text in self.put_in():
            if text in acked and (said := SAID.fullmatch(text)) is not None:
                if int(said[2]) < last[said[1]]:
                    yield "ticket order", f"{text} came after #{last[said[1]]}"
                last[said[1]] = max(last[said[1]], int(said[2]))

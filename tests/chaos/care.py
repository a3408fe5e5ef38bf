"""Customer service as the crowd sees a shop: what is written stands in a feed, which the hub pulls."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from sandbox.wechat.push import PushResult
from sandbox.wechat_kefu import KefuSimulator

SMALL_PAGE = 3
THINK_S = 0.3
"""Nobody waits for an answer here, so people take their time by themselves."""


class Care:
    """One customer-service account. The platform keeps what was written, so every message counts as
    taken: the hub answers for it whether or not a bell arrives."""

    def __init__(self, time_scale: float, rng: random.Random) -> None:
        self.simulator = KefuSimulator(time_scale=time_scale)
        self.desk = self.simulator.desks.open("care")
        self.simulator.api.page_size, self.simulator.api.empty_pages = SMALL_PAGE, True
        self._rng = rng
        self._bells: set[asyncio.Task[Any]] = set()
        self.callback_url = ""

    @property
    def api_base(self) -> str:
        return self.simulator.api_base

    @property
    def settings(self) -> dict[str, Any]:
        """The account as the configuration names it."""
        made = self.simulator.credentials
        return {
            "channel": "wechat_kefu",
            "corp_id": made.corp_id,
            "secret": made.secret,
            "token": made.token,
            "aes_key": made.aes_key,
            "open_kfids": [self.desk],
            "poll_s": 2,
            "profiles": False,
            "api_base": self.api_base,
        }

    async def start(self) -> None:
        await self.simulator.start()

    async def stop(self) -> None:
        for bell in self._bells:
            bell.cancel()
        await asyncio.gather(*self._bells, return_exceptions=True)
        await self.simulator.stop()

    async def push_text(self, customer: str, text: str) -> PushResult:
        """Write it, and ring for three of four; nobody waits for the bell."""
        await asyncio.sleep(self._rng.uniform(0, 2 * THINK_S))
        item = self.simulator.write(self.desk, customer, content=text)
        if self._rng.random() < 0.75:
            bell = asyncio.create_task(self.simulator.ring(self.desk, to=self.callback_url))
            self._bells.add(bell)
            bell.add_done_callback(self._bells.discard)
        return PushResult(0, customer, item["msgid"], 1, "acked", 200)

    def fail(self, kind: Any, *, path: str, count: int = 1, **more: Any) -> None:
        """Make the next calls of customer service go wrong, whatever *path* an official account has."""
        self.simulator.fail(kind, path="/cgi-bin/kf/send_msg", count=count, **more)

    def hurt_pulling(self) -> None:
        """An answer of ``sync_msg`` that is lost, too many calls at once, a bell's token that is over."""
        roll = self._rng.random()
        if roll < 0.4:
            self.simulator.fail("drop_answer", path="/cgi-bin/kf/sync_msg")
        elif roll < 0.6:
            self.simulator.fail("errcode", code=45033, path="/cgi-bin/kf/sync_msg")
        elif roll < 0.8:
            self.simulator.desks.get(self.desk).tokens.clear()

    @property
    def tokens(self) -> Any:
        return self.simulator.tokens

    def log(self, kind: str) -> list[dict[str, Any]]:
        """The simulator's record, with the customer under the name that official accounts use."""
        return [{**entry, "openid": entry["customer"]} for entry in self.simulator.log(kind)]

    def ahead(self, cursors: Mapping[str, Any]) -> int:
        """How many items lie ahead of the stored cursor."""
        cursor = cursors.get(f"sync_msg:{self.desk}", {}).get("cursor")
        desk = self.simulator.desks.get(self.desk)
        return len(self.simulator.desks.page(desk, cursor, 10**9)[0])

    def disagreement(self, cursors: Mapping[str, Any], keys: set[str]) -> str | None:
        """How the stored cursor and the stored items disagree, at one moment; None: they agree."""
        feed, ahead = self.simulator.feed(self.desk), self.ahead(cursors)
        passed = {f"kf:{item['msgid']}" for item in feed[: len(feed) - ahead]}
        if lost := passed - keys:
            return f"the cursor has passed {len(lost)} items that are not stored"
        if early := keys - passed:
            return f"{len(early)} items are stored that the cursor has not passed"
        return None

"""One trial's world: two shops, two desks, and processes of each kind that come back when they die."""

import asyncio
import contextlib
import json
import random
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

import asyncpg
from rig.ground import (
    Desk,
    Ground,
    Shop,
    configuration,
    environment,
    new_token,
    plain_url,
)
from rig.nursery import Nursery
from rig.process import Process, tail, until_ready

from chaos.care import Care
from chaos.crowd import Crowd
from chaos.desk import Helpdesk
from chaos.tickets import NAME as TICKETS
from chaos.tickets import Tickets
from sandbox.helpdesk import new_webhook_secret
from sandbox.http import free_port
from sandbox.wechat import WeChatSimulator

SHOPS = ("north", "south")
PEOPLE = 10
"""Customers of each shop: few and busy, for that is where races show."""


class Options(NamedTuple):
    """How the hub runs in a trial. *lease_s* None: its own leases, of 30 s."""

    lease_s: float | None = None
    bells: bool = True
    sabotage: str | None = None
    webs: int = 2
    workers: int = 3
    time_scale: float = 0.3
    think_s: float = 0.03
    answer_each: int = 4
    care: bool = False
    """Whether customers write to customer service too."""
    tickets: bool = False
    """Whether a helpdesk with tickets serves the first shop too."""

    def launch(self, *hub: str) -> Sequence[str]:
        """The module and arguments that start a process of the hub so."""
        lease = ("--lease", str(self.lease_s)) if self.lease_s else ()
        bells = () if self.bells else ("--bells", "off")
        sabotage = ("--sabotage", self.sabotage) if self.sabotage else ()
        return ("chaos.launch", *lease, *bells, *sabotage, "--", *hub)


@dataclass
class Slot:
    """A place for a process: when the one in it dies, another follows.

    *armed* is the failpoint of its next life, *point* that of this one; *ends* are the ends that
    nobody here brought about.
    """

    process: Process
    armed: str | None = None
    point: str | None = None
    struck: bool = False
    lives: int = 0
    reached: list[str] = field(default_factory=list)


class Pause(NamedTuple):
    """A worker was stopped for longer than its lease, and went on at *resumed*."""

    stopped: float
    resumed: float


class World:
    """Everything of one trial; as a context manager it starts and ends it all."""

    def __init__(
        self, ground: Ground, nursery: Nursery, name: str, seed: int, options: Options
    ) -> None:
        self.ground = ground
        self.nursery = nursery
        self.name = name
        self.options = options
        self.rng = random.Random(f"{seed} {name}")
        self.folder = ground.path / name
        self.port = free_port()
        self.shops: dict[str, WeChatSimulator | Care] = {
            shop: WeChatSimulator(time_scale=options.time_scale) for shop in SHOPS
        }
        self.care = Care(options.time_scale, self.rng) if options.care else None
        if self.care is not None:
            self.shops["care"] = self.care
        self.tickets = Tickets(SHOPS[0], self.rng) if options.tickets else None
        self.desk = Helpdesk(self.rng, options.answer_each)
        self.crowd = Crowd(self.shops, PEOPLE, self.rng, options.think_s)
        self.webs: list[Slot] = []
        self.workers: list[Slot] = []
        self.faults: list[tuple[float, str]] = []
        self.pauses: list[Pause] = []
        self.notes: dict[str, float] = {}
        self.wrong: list[str] = []
        self.starts_s = 0.0
        """How long the processes took to start: a busy machine is to be hurt more slowly."""

        self.late: frozenset[str] = frozenset()
        self.replayed = 0
        self.db: asyncpg.Connection | None = None
        self.database_url = ""
        self._closing = False
        self._stack = AsyncExitStack()
        self._watchers: list[asyncio.Task[None]] = []

    # -- starting and ending ---------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.folder.mkdir()
        self._stack.push_async_callback(self._clean)
        self.database_url = await self.ground.new_database(f"chaos_{self.name}")
        self.desk.token = await new_token(self.database_url)
        self.desk.hub_url = f"http://127.0.0.1:{self.port}"
        await self.desk.start()
        for name, shop in self.shops.items():
            await shop.start()
            channel = "wechat_kefu" if shop is self.care else "wechat"
            shop.callback_url = f"http://127.0.0.1:{self.port}/in/{channel}/{name}"
        if self.tickets is not None:
            await self.tickets.start(self.desk.hub_url)
        (self.folder / "hub.toml").write_text(self._configuration())
        self.webs = [self._slot(f"web{n}", "web", "--reuse-port") for n in range(self.options.webs)]
        self.workers = [self._slot(f"worker{n}", "worker") for n in range(self.options.workers)]
        started = time.monotonic()
        for slot in self.slots:
            await slot.process.start()
        self._watchers = [asyncio.create_task(self._watch(slot)) for slot in self.slots]
        await until_ready(self.port, self.webs[0].process)
        await self._all_beat()
        self.starts_s = time.monotonic() - started
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _clean(self) -> None:
        self._closing = True
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*(slot.process.kill() for slot in self.slots if slot.process.runs))
        await self.desk.close()
        if self.tickets is not None:
            await self.tickets.stop()
        for shop in self.shops.values():
            await shop.stop()
        await self.ground.drop_database(f"chaos_{self.name}")

    @property
    def slots(self) -> list[Slot]:
        """All places for processes."""
        return [*self.webs, *self.workers]

    def _configuration(self) -> str:
        timeout_s = min(15.0, (self.options.lease_s or 30.0) / 2)
        desks = []
        for name in self.shops:
            secret = new_webhook_secret()
            self.desk.add(name, secret)
            url = f"http://127.0.0.1:{self.desk.port}/{name}"
            desks.append(Desk(f"desk-{name}", url, secret, (name,), timeout_s=timeout_s))
        shops = [
            Shop(name, shop.credentials, shop.api_base)
            for name, shop in self.shops.items()
            if isinstance(shop, WeChatSimulator)
        ]
        others = {"care": self.care.settings} if self.care else {}
        # The hub gives up a little before the platform does, as it does with the real five seconds.
        hub = {"overload_wait_s": 4.0 * self.options.time_scale}
        more = {TICKETS: self.tickets.settings(timeout_s)} if self.tickets else {}
        return configuration(shops, desks, hub, others, more)

    def _slot(self, name: str, *hub: str) -> Slot:
        config = self.folder / "hub.toml"
        env = environment(self.ground, self.database_url, config, self.port)
        log = self.folder / f"{name}.log"
        return Slot(self.nursery.process(name, self.options.launch(*hub), env, log))

    async def _all_beat(self) -> None:
        """Wait until every process works."""
        for _ in range(300):
            rows = await self.query("SELECT count(*) AS n FROM processes")
            if rows[0]["n"] >= len(self.slots):
                return
            await asyncio.sleep(0.1)
        raise RuntimeError("not every process has started")

    async def query(self, sql: str, *values: object) -> list[asyncpg.Record]:
        """Rows of the trial's database; one connection for each call, for servers die here."""
        connection = await asyncpg.connect(plain_url(self.database_url), timeout=10)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    # -- processes -------------------------------------------------------------------------------------

    async def _watch(self, slot: Slot) -> None:
        """Start what has died anew; note whoever ended by itself."""
        while True:
            status = await slot.process.wait(3600)
            if self._closing or status is None:
                return
            if status == -signal.SIGKILL and slot.point and not slot.struck:
                slot.reached.append(slot.point.partition(":")[0])
                self.fault(f"failpoint {slot.point}")
            elif not slot.struck:
                self.wrong.append(
                    f"{slot.process.name} ended with status {status}: {tail(slot.process.log, 3)}"
                )
            slot.struck = False
            slot.point, slot.armed = slot.armed, None
            extra = {"HUB_FAILPOINT": slot.point} if slot.point else {}
            await asyncio.sleep(0.02)
            await slot.process.start(**extra)
            slot.lives += 1

    def fault(self, what: str) -> None:
        """Note that something was injected."""
        self.faults.append((time.monotonic(), what))

    def kill(self, slot: Slot, armed: str | None = None) -> None:
        """SIGKILL; the next life may carry a failpoint."""
        self.fault(f"kill {slot.process.name}")
        slot.armed = armed
        slot.struck = True
        slot.process.send(signal.SIGKILL)

    async def terminate(self, slot: Slot) -> float:
        """SIGTERM; how long it took to end, with a note when it was not in good order."""
        slot.struck = True
        process, lives = slot.process, slot.lives
        started = time.monotonic()
        process.send(signal.SIGTERM)
        while slot.lives == lives and time.monotonic() - started < 30:
            await asyncio.sleep(0.02)
        took = time.monotonic() - started
        if took > 15:
            self.wrong.append(f"{process.name} took {took:.1f} s to end after SIGTERM")
        return took

    async def pause(self, slot: Slot, seconds: float) -> None:
        """SIGSTOP for *seconds*, then SIGCONT."""
        self.fault(f"pause {slot.process.name}")
        stopped = time.monotonic()
        slot.process.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.pauses.append(Pause(stopped, time.monotonic()))
        slot.process.send(signal.SIGCONT)

    # -- waiting ---------------------------------------------------------------------------------------

    async def flows_again(self, what: str, limit_s: float) -> None:
        """Wait for the next delivery of a message pushed from now on, and note how long it took."""
        since = time.monotonic()
        while time.monotonic() - since < limit_s + 15:
            fresh = {one.message_id for one in self.crowd.pushes if one.started > since}
            for receipt in reversed(self.desk.receipts):
                if receipt.at < since:
                    break
                if _message_id(receipt.data) in fresh:
                    took = time.monotonic() - since
                    self.notes[what] = max(self.notes.get(what, 0.0), round(took, 1))
                    if took > limit_s:
                        self.wrong.append(f"{what}: deliveries flow again after {took:.1f} s")
                    return
            await asyncio.sleep(0.05)
        self.wrong.append(f"{what}: deliveries do not flow again")

    def slowest(self, since: float) -> float:
        """The longest that a message of that time took from its 200 to the helpdesk, or takes still."""
        came: dict[str, float] = {}
        for receipt in self.desk.receipts:
            if receipt.taken and (external := _message_id(receipt.data)):
                came.setdefault(external, receipt.at)
        now = time.monotonic()
        waits = [
            came.get(one.message_id, now) - one.ended
            for one in self.crowd.pushes
            if one.acked and one.started > since
        ]
        return max(waits, default=0.0)

    async def compare_cursor(self) -> None:
        """In one look at the database: what the cursor of customer service has passed is stored, and
        nothing else is."""
        if self.care is None:
            return
        (row,) = await self.query(
            f"SELECT {_CURSORS} AS cursors, "
            "(SELECT array_agg(dedupe_key) FROM inbox WHERE account = 'care') AS keys"
        )
        said = self.care.disagreement(json.loads(row["cursors"] or "{}"), set(row["keys"] or ()))
        self.notes["cursor compared"] = self.notes.get("cursor compared", 0) + 1
        if said:
            self.wrong.append(said)

    async def replay(self) -> bool:
        """Bring back the rows that were set aside after three crashes, as ``hub replay`` does."""
        rows = await self.query(
            "UPDATE inbox SET state = 0, crashes = 0 WHERE state = 2 "
            "AND error LIKE 'crashed%' RETURNING CASE WHEN dedupe_key LIKE 'kf:%' "
            "THEN split_part(dedupe_key, ':', 2) ELSE split_part(dedupe_key, ':', 3) END AS message_id"
        )
        self.late |= {row["message_id"] for row in rows}
        self.replayed += len(rows)
        return bool(rows)

    async def drained(self, limit_s: float) -> list[str]:
        """Wait until nothing is left to do; what is left after *limit_s*."""
        deadline = time.monotonic() + limit_s
        left = ["?"]
        while left and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                left = await self._left()
        return left

    async def _left(self) -> list[str]:
        (row,) = await self.query(
            "SELECT (SELECT count(*) FROM inbox WHERE state NOT IN (1, 2)) AS unfiled, "
            "(SELECT count(*) FROM lanes WHERE kind = 'deliver' AND wanted > handled) AS lanes, "
            "(SELECT count(*) FROM messages WHERE direction = 'outbound' "
            "AND status IN ('queued', 'sending')) AS replies"
        )
        left = [f"{row[name]} {name}" for name in ("unfiled", "lanes", "replies") if row[name]]
        if self.care is not None:
            (row,) = await self.query(f"SELECT {_CURSORS} AS cursors")
            ahead = self.care.ahead(json.loads(row["cursors"] or "{}"))
            left += [f"{ahead} items not pulled"] if ahead else []
        if self.tickets is not None and (unread := await self.tickets.unread(self.query)) > 0:
            left.append(f"{unread} answers of agents not taken")
        return left + ["answers not with the hub"] * self.desk.talking


_CURSORS = "(SELECT jsonb_object_agg(key, value)::text FROM checkpoints WHERE account = 'care')"


def _message_id(data: dict[str, object]) -> str | None:
    message = data.get("message")
    return message.get("external_id") if isinstance(message, dict) else None

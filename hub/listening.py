"""Step 1 for pulled sources: one leased owner in the cluster runs each listener."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from hub.channel import Bell
from hub.core import Core
from hub.errors import BadCredentials, SendError
from hub.model import Checkpoint, InboundEvent
from hub.settings import AccountPlan
from hub.store import AWAY, Transaction, leases
from hub.store.inbox import (
    Arrived,
    LeaseLost,
    ensure_partitions,
    insert_events,
    load_checkpoint,
    save_checkpoint,
)
from hub.store.running import note_listener, note_listening

__all__ = ["Listening", "StoreEmit"]

LOOK_S = 2.0
RENEW_S = 10.0
MIN_PAUSE_S, MAX_PAUSE_S = 1.0, 300.0
REFUSED_PAUSE_S = 900.0
SOUND_AFTER_S = 60.0
"""A listener that goes on for so long after a failure is well; a try that hangs ends sooner."""
DEAF_S = 5.0
"""How often a listener looks by itself while no bell of another process can reach it."""

_log = structlog.get_logger("hub.listening")


class _ListenerFailed(Exception):
    """The listener raised *error*: the trouble is the account's, not the database's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class StoreEmit:
    """Stores what a listener or a socket emits; see :class:`hub.channel.Emit`.

    With a *lease* every checkpoint is fenced by its *epoch*; a socket has none.
    """

    def __init__(
        self, core: Core, account: str, channel: str, lease: str | None = None, epoch: int = 0
    ) -> None:
        self._core = core
        self._account = account
        self._channel = channel
        self._lease = lease
        self._epoch = epoch

    async def __call__(
        self, events: Sequence[InboundEvent], checkpoint: Checkpoint | None = None
    ) -> None:
        """Returns when *events* and *checkpoint* are committed, however long the database is away.

        Raises:
            LeaseLost: another process listens for this account now; nothing was stored.
        """
        arrived = [Arrived(self._account, self._channel, event) for event in events]

        async def work(tx: Transaction) -> None:
            if checkpoint is not None:
                await save_checkpoint(tx, self._lease, self._epoch, self._account, checkpoint)
            await insert_events(tx, arrived)

        pause = 0.1
        while True:
            try:
                await self._core.db.transaction(work)
                break
            except AWAY as error:
                _log.warning("database_away", error=type(error).__name__, account=self._account)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
        if events:
            self._core.bells.ring("ingest")

    async def checkpoint(self, key: str) -> Mapping[str, Any] | None:
        """The value last stored under *key*, or None."""
        return await load_checkpoint(self._core.db, self._account, key)


class _BellWake:
    """Where a listener waits; callbacks of its account ring, if it has any."""

    def __init__(self, core: Core, plan: AccountPlan) -> None:
        self._core = core
        self._kind = f"listen:{plan.account.name}"
        self._is_rung = plan.channel.adapter is not None
        self._waiting: list[Bell] = []

    async def wait(self, timeout: float) -> Bell | None:
        """The next bell; None after *timeout* seconds, or when one may have been lost."""
        if not self._waiting:
            if self._is_rung and self._core.bells.is_deaf:
                timeout = min(timeout, DEAF_S)
            facts = await self._core.bells.wait(self._kind, timeout)
            self._waiting = [Bell(str(one.get("key", "")), one.get("facts", {})) for one in facts]
        return self._waiting.pop(0) if self._waiting else None


class Listening:
    """Runs the listeners of the accounts, those whose lease this process gets."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._tasks: dict[str, tuple[AccountPlan, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Keep a task for each account that has a listener, until cancelled."""
        try:
            while True:
                self._reconcile()
                await asyncio.sleep(LOOK_S)
        finally:
            tasks = [task for _, task in self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _reconcile(self) -> None:
        plans = {
            name: plan
            for name, plan in self._core.settings.accounts.items()
            if plan.enabled and plan.channel.listener is not None and self._listens(name)
        }
        for name, (plan, task) in list(self._tasks.items()):
            if plans.get(name) != plan or task.done():
                task.cancel()
                del self._tasks[name]
        for name, plan in plans.items():
            if name not in self._tasks:
                task = asyncio.create_task(self._own(plan), name=f"listener-{name}")
                self._tasks[name] = (plan, task)

    def _listens(self, name: str) -> bool:
        """False when the account was built, and has nothing to listen to."""
        running = self._core.accounts.get(name)
        return running is None or running.listener is not None

    async def _own(self, plan: AccountPlan) -> None:
        """Wait for the lease, listen while it is ours, and start anew when listening fails."""
        pause = MIN_PAUSE_S
        while True:
            started = asyncio.get_running_loop().time()
            try:
                async with self._lease(plan) as epoch:
                    if epoch is not None:
                        await self._listen(plan, epoch)
            except (LeaseLost, *AWAY) as error:
                _log.warning("listener_let_go", account=plan.account.name, error=repr(error))
            except Exception as failure:
                cause = failure.error if isinstance(failure, _ListenerFailed) else failure
                await self._note_failure(plan, cause)
                if isinstance(cause, BadCredentials) and cause.advice:
                    await self._stop(plan, cause)
                if asyncio.get_running_loop().time() - started > SOUND_AFTER_S:
                    pause = MIN_PAUSE_S
                # Providers lock a mailbox that is tried again and again with a wrong password.
                longest = REFUSED_PAUSE_S if isinstance(cause, BadCredentials) else pause
                wished = cause.retry_after if isinstance(cause, SendError) else None
                await asyncio.sleep(longest if wished is None else wished)
                pause = min(pause * 2, MAX_PAUSE_S)
                continue
            await asyncio.sleep(LOOK_S)

    async def _note_failure(self, plan: AccountPlan, error: Exception) -> None:
        _log.warning("listener_failed", account=plan.account.name, error=repr(error))
        text = f"{type(error).__name__}: {error}"
        with contextlib.suppress(*AWAY):
            await note_listener(self._core.db, plan.account.name, "failing", text)

    async def _stop(self, plan: AccountPlan, error: BadCredentials) -> None:
        """The platform refuses the account as a whole: nothing is sent either, and its owner is told."""
        with contextlib.suppress(*AWAY):
            await self._core.accounts.stop_account(plan.account.name, error.reason)

    @asynccontextmanager
    async def _lease(self, plan: AccountPlan) -> AsyncIterator[int | None]:
        """The lease's epoch, or None while another process has it."""
        name = f"listener:{plan.account.name}"
        epoch = await leases.acquire(self._core.db, name, self._core.name)
        try:
            yield epoch
        finally:
            if epoch is not None:
                with contextlib.suppress(*AWAY):
                    await leases.release(self._core.db, name, epoch)

    async def _listen(self, plan: AccountPlan, epoch: int) -> None:
        account = plan.account.name
        running = self._core.accounts.get(account)
        if running is None or running.listener is None:
            return
        name = f"listener:{account}"
        emit = StoreEmit(self._core, account, plan.channel.key, name, epoch)
        await ensure_partitions(self._core.db, [account])
        has_failed = not await note_listening(self._core.db, account)
        listen = asyncio.ensure_future(running.listener.listen(emit, _BellWake(self._core, plan)))
        renew = asyncio.create_task(self._renew(name, epoch), name=f"{name}-renew")
        tasks: list[asyncio.Future[None]] = [listen, renew]
        if has_failed:
            tasks.append(asyncio.create_task(self._note_sound(account), name=f"{name}-sound"))
        try:
            done, _ = await asyncio.wait({listen, renew}, return_when=asyncio.FIRST_COMPLETED)
            error = listen.exception() if listen in done else None
            if isinstance(error, Exception) and not isinstance(error, LeaseLost):
                raise _ListenerFailed(error) from error
            for task in done:
                task.result()
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _note_sound(self, account: str) -> None:
        """After a failure, of whichever process, and some time without another."""
        while True:
            await asyncio.sleep(SOUND_AFTER_S)
            with contextlib.suppress(*AWAY):
                return await note_listener(self._core.db, account, "listening", None)

    async def _renew(self, name: str, epoch: int) -> None:
        """Keep the lease; raises LeaseLost when it is gone, or could not be kept in time."""
        kept = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                if not await leases.renew(self._core.db, name, epoch):
                    raise LeaseLost(name)
                kept = asyncio.get_running_loop().time()
            except AWAY as error:
                if asyncio.get_running_loop().time() - kept > 2 * RENEW_S:
                    raise LeaseLost(name) from error

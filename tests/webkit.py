"""What the tests of the web server share: a small channel, accounts of it, and raw sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from msgspec import Struct

from hub.bells import Bells
from hub.channel import (
    Account,
    Bell,
    Capabilities,
    Channel,
    Connection,
    Emit,
    Intake,
    IntakeRequest,
    NotAuthentic,
    NotRecognised,
    Response,
)
from hub.core import Core, now
from hub.intake import Overloaded
from hub.model import Checkpoint, InboundEvent, Secret
from hub.settings import AccountPlan, HubSettings, Settings
from hub.web.app import Web, make_app
from hub.web.server import Listening, listen


class TestSettings(Struct, frozen=True):
    """The test channel has none."""

    __test__ = False


class EchoAdapter:
    """Takes every body; words in it ask for what can go wrong."""

    def __init__(self) -> None:
        self.requests: list[IntakeRequest] = []

    async def accept(self, request: IntakeRequest) -> Intake:
        self.requests.append(request)
        if request.body == b"forged":
            raise NotAuthentic
        if request.body == b"strange":
            raise NotRecognised
        if request.body == b"bug":
            raise KeyError("secret-value")
        if request.body == b"bell":
            return Intake(bells=(Bell("kf", {"token": "t"}),))
        event = InboundEvent(
            dedupe_key=request.body.decode("latin-1")[:40],
            order_key="a",
            body=request.body,
            received_at=request.received_at,
        )
        return Intake(events=(event,), response=Response(200, b"success", {"X-Answer": "1"}))


class EchoSocket:
    """Stores every frame and sends it back."""

    async def serve(self, connection: Connection, emit: Emit) -> None:
        if connection.headers.get("authorization") != "Bearer good":
            raise NotAuthentic
        while True:
            frame = await connection.receive()
            data = frame.encode() if isinstance(frame, str) else frame
            await emit(
                [InboundEvent(dedupe_key="k", order_key="a", body=data, received_at=now())], None
            )
            await connection.send(frame)


def channel(key: str = "echo", **changes: Any) -> Channel:
    """A channel that can be told apart by *key*."""
    return Channel(
        key=key,
        title=key.title(),
        settings=TestSettings,
        normalize=lambda event, account: (),
        capabilities=changes.pop("capabilities", Capabilities()),
        docs_url="",
        **changes,
    )


def running(
    name: str,
    *,
    of: Channel | None = None,
    secret: str | None = None,
    enabled: bool = True,
    socket: Any = None,
    adapter: Any = None,
) -> Any:
    """An account that runs, as ``core.accounts`` gives it."""
    kind = of or channel()
    plan = AccountPlan(
        Account(name, kind.key, TestSettings()),
        kind,
        enabled,
        "hold",
        Secret(secret) if secret else None,
        None,
    )
    return SimpleNamespace(
        plan=plan,
        adapter=adapter if adapter is not None or socket is not None else EchoAdapter(),
        listener=None,
        socket=socket,
        sender=None,
        media=None,
        checker=None,
    )


class MemoryIntake:
    """Stands for the committer: *behaviour* is what happens to the next events."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, str, InboundEvent]] = []
        self.overloaded = False
        self.filling = 0.0

    async def store(self, account: str, channel: str, events: Sequence[InboundEvent]) -> None:
        if self.overloaded:
            raise Overloaded
        self.stored += [(account, channel, event) for event in events]

    def emit_for(self, account: str, channel: str) -> Emit:
        intake = self

        class MemoryEmit:
            async def __call__(
                self, events: Sequence[InboundEvent], checkpoint: Checkpoint | None = None
            ) -> None:
                await intake.store(account, channel, events)

            async def checkpoint(self, key: str) -> Mapping[str, Any] | None:
                return None

        return MemoryEmit()


@dataclass
class Stage:
    """A web server in memory and what stands behind it."""

    core: Core
    intake: MemoryIntake
    web: Web
    listening: Listening = field(init=False)

    @property
    def port(self) -> int:
        return self.listening.port


def settings(**hub: Any) -> Settings:
    """Settings with nothing configured but *hub*."""
    return Settings(HubSettings(**hub), {}, {}, [], {}, "0" * 64, None, ())


def core_with(accounts: Iterable[Any], db: Any = None, **hub: Any) -> Core:
    """A core whose accounts are *accounts*."""
    by_name = {one.plan.account.name: one for one in accounts}
    chosen = settings(**hub)._replace(accounts={name: one.plan for name, one in by_name.items()})
    everyone: Any = by_name
    nothing: Any = None
    return Core(settings=chosen, db=db, bells=Bells(None), accounts=everyone, media=nothing)


@asynccontextmanager
async def stage(
    *accounts: Any, max_connections: int = 100, db: Any = None, **hub: Any
) -> AsyncIterator[Stage]:
    """A web server on a free port, with *accounts*."""
    core = core_with(accounts, db, **hub)
    intake = MemoryIntake()
    made = Stage(core, intake, make_app(core, intake, emit_for=intake.emit_for))
    made.listening = await listen(
        made.web.callbacks,
        "127.0.0.1",
        0,
        intake=made.web.intake.answer,
        max_connections=max_connections,
    )
    try:
        yield made
    finally:
        await made.listening.stop()


async def raw(port: int, data: bytes, *, wait_s: float = 2.0) -> bytes:
    """What comes back for *data* until the server closes or is silent for *wait_s*."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(data)
        async with asyncio.timeout(wait_s):
            while part := await reader.read(65536):
                answer += part
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return answer


async def until(condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Returns when *condition* holds."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)

"""Listening: one port or two, stopping in good order, limits, and how the hub says that it is unwell."""

import asyncio
from typing import Any

import pytest

from hub.channel import Intake, IntakeRequest
from hub.status import status
from hub.web import server
from hub.web.app import make_app, serve
from hub.web.server import room_for_connections
from tests import corekit
from tests.apikit import api
from tests.webkit import EchoAdapter, MemoryIntake, core_with, raw, running, stage

GET = b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
POST = b"POST /in/echo/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_callbacks_and_admin_side_can_be_apart() -> None:
    """Nothing of one answers on the port of the other; both tell that they live."""
    core = core_with([running("shop")], port=0, admin_port=0)
    intake = MemoryIntake()
    made = make_app(core, intake, apart=True)
    callbacks, admin = await serve(core, made)
    try:
        assert status_of(await raw(callbacks.port, POST)) == 200
        assert status_of(await raw(callbacks.port, GET % b"/v1/docs")) == 404
        assert status_of(await raw(callbacks.port, GET % b"/metrics")) == 404
        assert status_of(await raw(admin.port, POST)) == 404
        assert status_of(await raw(admin.port, GET % b"/v1/docs")) == 200
        for one in (callbacks, admin):
            assert status_of(await raw(one.port, GET % b"/live")) == 200
    finally:
        await admin.stop()
        await callbacks.stop()
    assert len(intake.stored) == 1


async def test_a_taken_port_is_told() -> None:
    """And nothing stays behind."""
    core = core_with([], port=0)
    (first,) = await serve(core, make_app(core, MemoryIntake()))
    taken = core_with([], port=first.port)
    with pytest.raises(OSError, match="in use"):
        await serve(taken, make_app(taken, MemoryIntake()))
    await first.stop()


class SlowAdapter(EchoAdapter):
    """Takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def accept(self, request: IntakeRequest) -> Intake:
        self.begun.set()
        await self.go_on.wait()
        return await super().accept(request)


async def test_stopping_lets_requests_end_and_takes_no_more() -> None:
    """What was being taken in is stored and answered."""
    adapter = SlowAdapter()
    async with stage(running("shop", adapter=adapter)) as made:
        asked = asyncio.create_task(raw(made.port, POST))
        await adapter.begun.wait()
        stopping = asyncio.create_task(made.listening.stop())
        await asyncio.sleep(0.05)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", made.port)
        adapter.go_on.set()
        assert status_of(await asked) == 200
        await stopping
        assert len(made.intake.stored) == 1


async def test_a_request_that_never_ends_does_not_hold_up_a_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has the time that is said, not twice as much: a process that is told to end is killed soon after."""
    monkeypatch.setattr(server, "STOP_S", 5.0)
    adapter = SlowAdapter()
    async with stage(running("shop", adapter=adapter)) as made:
        asked = asyncio.create_task(raw(made.port, POST))
        await adapter.begun.wait()
        async with asyncio.timeout(9.5):
            await made.listening.stop()
        assert await asked == b""


async def test_idle_connections_do_not_hold_up_a_stop() -> None:
    """They are closed at once."""
    async with stage() as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        async with asyncio.timeout(2):
            await made.listening.stop()
            assert await reader.read() == b""
        writer.close()


def test_room_is_made_within_the_limit_of_open_files() -> None:
    """Never more connections than files."""
    assert 16 <= room_for_connections(5000) <= 5000


@pytest.mark.parametrize(
    "where", ["/in/echo/safe/SEGMENT-SECRET", "/in/echo/safe/SEGMENT-SECRET?x=1"]
)
async def test_a_secret_segment_is_in_no_log(
    where: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither when it opens nor when the channel breaks behind it."""
    async with stage(running("safe", secret="SEGMENT-SECRET")) as made:
        for body in (b"x", b"bug"):
            head = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
            await raw(made.port, head % (where.encode(), len(body)) + body, wait_s=0.3)
        assert len(made.intake.stored) == 1
    assert "SEGMENT-SECRET" not in "".join(capsys.readouterr()) + caplog.text


async def test_health_needs_room_and_a_loop(database_url: str) -> None:
    """A full queue, or a process that stops, is not ready; a late loop is not alive."""
    async with api(database_url) as made:
        made.core.db.unsafe = False
        health = made.web.health

        async def ready() -> Any:
            health._looked = float("-inf")
            answer = await made.nobody.get("/ready")
            return answer.status, {one["name"] for one in answer.json["findings"] if not one["ok"]}

        assert await ready() == (200, set())
        health._filling = lambda: 0.9
        health.stopping = True
        assert await ready() == (503, {"queue", "running"})
        health._lag = 1.5
        assert (await made.nobody.get("/live")).status == 503


# --- status -----------------------------------------------------------------------------------------

STOPPED = "INSERT INTO accounts (name, state, reason) VALUES ('shop', 'stopped', 'bad secret')"


@pytest.mark.parametrize(
    "damage, light, word",
    [
        ("SELECT 1", "green", None),
        (STOPPED, "red", "bad secret"),
        ("UPDATE inbox SET state = 2", "red", "could not be filed"),
        ("UPDATE inbox SET state = 0, received_at = now() - interval '5 minutes'", "red", "worker"),
    ],
)  # fmt: skip
async def test_status_of_an_account(
    database_url: str, damage: str, light: str, word: str | None
) -> None:
    """The gravest thing that is wrong decides the light, and is advised on."""
    async with api(database_url) as made:
        await made.say({"id": "m1", "from": "ann", "text": "hello"})
        await made.core.db.fetch("UPDATE deliveries SET state = 1")
        await made.core.db.fetch(damage)
        (one,) = (await status(made.core)).accounts
        assert one.light == light
        assert (word is None and one.advice is None) or (word in (one.advice or ""))  # type: ignore[operator]


@pytest.mark.parametrize(
    "damage, light, word",
    [
        ("UPDATE deliveries SET state = 1", "green", None),
        ("UPDATE deliveries SET state = 2", "red", "dead letters"),
        (
            "UPDATE destinations SET state = 'open', last_error = 'answered 500'",
            "red",
            "answered 500",
        ),
        ("UPDATE deliveries SET created_at = now() - interval '5 minutes'", "yellow", "worker"),
    ],
)
async def test_status_of_a_destination(
    database_url: str, damage: str, light: str, word: str | None
) -> None:
    """Down, dead letters, or slow: each with what to do."""
    async with api(database_url) as made:
        await made.say({"id": "m1", "from": "ann", "text": "hello"})
        await made.core.db.fetch(damage)
        (one,) = (await status(made.core)).destinations
        assert one.light == light
        assert (word is None and one.advice is None) or (word in (one.advice or ""))  # type: ignore[operator]


async def test_status_without_a_destination_warns(database_url: str) -> None:
    """Messages are kept and reach nobody: that must be seen."""
    async with api(database_url, corekit.settings_for()) as made:
        report = await status(made.core)
        assert report.light == "yellow"
        assert any("No destination" in one for one in report.warnings)

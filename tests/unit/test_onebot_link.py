"""One connection to an implementation, played by hand: answers, silence, lies."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from adapters._onebot_link import Link, Role
from adapters.onebot import OneBotSettings
from hub.channel import Account, Question
from hub.errors import Ambiguous, BadCredentials, Unreachable
from hub.model import Checkpoint, InboundEvent, Secret
from hub.testing import Workbench

SETTINGS = OneBotSettings(self_id=10001000, access_token=Secret("t"))
ACCOUNT: Account[Any] = Account("shop", "onebot", SETTINGS)


class Wire:
    """A connection whose other side is the test."""

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}
        self.incoming: asyncio.Queue[str | bytes | Exception] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(self) -> str | bytes:
        frame = await self.incoming.get()
        if isinstance(frame, Exception):
            raise frame
        return frame

    async def send(self, frame: str | bytes) -> None:
        self.sent.put_nowait(msgspec.json.decode(frame))

    async def close(self, code: int = 1000) -> None:
        self.incoming.put_nowait(ConnectionError("closed"))

    def give(self, value: Any) -> None:
        self.incoming.put_nowait(msgspec.json.encode(value).decode())

    def end(self) -> None:
        self.incoming.put_nowait(ConnectionError("gone"))


class Store:
    """Remembers what was emitted, and the last checkpoint."""

    def __init__(self, seen: Mapping[str, Any] | None = None) -> None:
        self.seen = seen
        self.events: list[InboundEvent] = []

    async def __call__(
        self, events: Sequence[InboundEvent], checkpoint: Checkpoint | None = None
    ) -> None:
        self.events += events
        if checkpoint is not None:
            self.seen = checkpoint.value

    async def checkpoint(self, key: str) -> Mapping[str, Any] | None:
        return self.seen


class Served:
    """A relay that only takes part: questions come from the test."""

    def __init__(self) -> None:
        self.answer: Callable[[Question], Any] | None = None

    async def ask(self, question: Question, *, timeout: float = 15.0) -> Question:
        raise Unreachable("nobody")

    async def serve(self, answer: Callable[[Question], Any]) -> None:
        self.answer = answer
        await asyncio.Event().wait()


def made(wire: Wire, store: Store, role: Role = Role.UNIVERSAL) -> Link:
    tools = msgspec.structs.replace(Workbench().tools, relay=Served())
    return Link(wire, store, ACCOUNT, tools, role)


def message(number: int) -> dict[str, Any]:
    return {
        "time": 1767323000 + number,
        "self_id": 10001000,
        "post_type": "message",
        "message_type": "private",
        "message_id": number,
        "user_id": 12345678,
        "message": f"number {number}",
    }


BEAT = {
    "post_type": "meta_event",
    "meta_event_type": "heartbeat",
    "interval": 100,
    "status": {"online": True},
}


async def test_everything_that_was_read_is_stored_before_it_ends() -> None:
    """Also what was still waiting when the peer went."""
    wire, store = Wire(), Store()
    for number in range(250):
        wire.give(message(number))
    wire.end()
    with pytest.raises(ConnectionError):
        await made(wire, store).run()
    assert [msgspec.json.decode(one.body)["message_id"] for one in store.events] == [*range(250)]


async def test_answers_find_their_call_whatever_their_order() -> None:
    """By echo; one that nobody waits for is dropped."""
    wire = Wire()
    link = made(wire, Store())
    run = asyncio.create_task(link.run())
    calls = [asyncio.create_task(link.call("get_msg", {"n": n}, 10.0)) for n in range(3)]
    frames = [await wire.sent.get() for _ in calls]
    wire.give({"status": "ok", "retcode": 0, "data": None, "echo": "long ago"})
    for frame in reversed(frames):
        data = frame["params"]["n"]
        wire.give({"status": "ok", "retcode": 0, "data": data, "echo": frame["echo"]})
    assert [(await call)["data"] for call in calls] == [0, 1, 2]
    wire.end()
    with pytest.raises(ConnectionError):
        await run


async def test_a_call_without_an_answer_is_ambiguous() -> None:
    """In time, or when the connection ends; afterwards nothing is sent at all."""
    wire = Wire()
    link = made(wire, Store())
    run = asyncio.create_task(link.run())
    with pytest.raises(Ambiguous):
        await link.call("send_msg", {}, 0.01)
    call = asyncio.create_task(link.call("send_msg", {}, 10.0))
    await wire.sent.get()
    await wire.sent.get()
    wire.end()
    with pytest.raises(Ambiguous):
        await call
    with pytest.raises(ConnectionError):
        await run
    with pytest.raises(Unreachable):
        await link.call("send_msg", {}, 10.0)


async def test_silence_after_heartbeats_ends_it() -> None:
    """Three of them missed; without heartbeats nothing is expected."""
    wire = Wire()
    wire.give(BEAT)
    with pytest.raises(ConnectionError, match="dead"):
        await asyncio.wait_for(made(wire, Store()).run(), 10)


async def test_a_refused_token_is_told_as_that() -> None:
    """NapCat answers a forward connection with a frame, and closes."""
    wire = Wire()
    wire.give({"status": "failed", "retcode": 1403, "data": None, "echo": None})
    with pytest.raises(BadCredentials):
        await made(wire, Store()).run()


@pytest.mark.parametrize(
    "frame", ["", "{", "{}", "[]", "null", "\ud83d", b"\xff\xfe", '{"post_type":3}']
)
async def test_hostile_frames_are_kept_and_end_nothing(frame: str | bytes) -> None:
    """They are authentic: they are stored as they came, and the next message is, too."""
    wire, store = Wire(), Store()
    wire.incoming.put_nowait(frame)
    wire.give(message(1))
    wire.end()
    with pytest.raises(ConnectionError, match="gone"):
        await made(wire, store).run()
    assert len(store.events) == 2


async def test_a_cut_while_asking_for_what_was_missed_moves_no_checkpoint() -> None:
    """The next connection asks again, from the same moment on; what came live is stored."""
    wire, store = Wire(), Store({"at": 1767322000.0})
    run = asyncio.create_task(made(wire, store).run())
    asked = await wire.sent.get()
    assert asked["action"] == "get_recent_contact"
    wire.give(message(1))
    wire.end()
    with pytest.raises(ConnectionError):
        await run
    assert [one.proof for one in store.events] == ["websocket"]
    assert store.seen == {"at": 1767322000.0}


async def test_what_was_missed_comes_before_what_is_new() -> None:
    """Messages that arrive while the history is read wait for it."""
    wire, store = Wire(), Store({"at": 1767322990.0})
    run = asyncio.create_task(made(wire, store).run())
    contacts = await wire.sent.get()
    wire.give(message(9))
    recent = [
        {"peerUin": "1", "chatType": 103, "msgTime": "1767323005"},  # a service account
        {"peerUin": "12345678", "chatType": 1, "msgTime": "1767323005"},
    ]
    wire.give({"status": "ok", "retcode": 0, "data": recent, "echo": contacts["echo"]})
    history = await wire.sent.get()
    assert history["params"]["user_id"] == 12345678
    own = message(3) | {"user_id": 10001000}
    told = {"messages": [message(5), own, message(2)]}
    wire.give({"status": "ok", "retcode": 0, "data": told, "echo": history["echo"]})
    wire.end()
    with pytest.raises(ConnectionError):
        await run
    bodies = [msgspec.json.decode(one.body) for one in store.events]
    assert [one.get("message_id") for one in bodies] == [2, 3, 5, 9]
    assert [one["post_type"] for one in bodies] == ["message", "message_sent", "message", "message"]


async def test_a_connection_for_actions_stores_nothing() -> None:
    """Its events would be the other one's."""
    wire, store = Wire(), Store()
    wire.give(message(1))
    wire.end()
    with pytest.raises(ConnectionError):
        await made(wire, store, Role.API).run()
    assert store.events == []

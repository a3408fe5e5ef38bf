"""The pool of killable parsers, with a channel that does all it should not."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from hub.channel import Account
from hub.children import Limits, ParserCrashed, Parsers
from hub.model import Ignored, InboundEvent, Message, Secret

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = """
import ctypes, os, sys, time
from datetime import UTC, datetime
from msgspec import Struct
from hub.channel import Capabilities, Channel
from hub.model import *

class Settings(Struct):
    address: str
    secret: Secret

def deep(n):
    return deep(n + 1) + 1

def normalize(event, account):
    what = event.body.decode()
    if what == "loop":
        while True:
            pass
    if what == "c-loop":
        (10 ** 8) ** (10 ** 7)
    if what == "sleep":
        time.sleep(60)
    if what == "memory":
        x = bytearray(4 << 30)
    if what == "memory-slowly":
        x = []
        while True:
            x.append("x" * (1 << 20) + str(len(x)))
    if what == "exit":
        os._exit(3)
    if what == "segv":
        ctypes.string_at(0)
    if what == "deep":
        deep(0)
    if what == "raise":
        raise ValueError("not a mail")
    if what == "print":
        print("x" * 10000); os.write(1, b"y" * 10000)
    if what == "who":
        return [Ignored(str(os.getpid()), {"secret": account.settings.secret.reveal(),
            "address": account.settings.address, "environ": sorted(os.environ)})]
    sender = Participant("contact", Address("email", "", "a@b.example"), "A")
    return [
        Message(channel="toy", account=account.name, kind="text", text="你好", sender=sender,
            conversation=ConversationRef(thread_key="t"), dedupe_key=event.dedupe_key,
            sent_at=event.received_at,
            attachments=(Attachment(kind="file", content=event.body, filename="a"),),
            extra={"at": event.received_at, "n": [1, None, {"x": 1.5}]}, thread_hints=("a", "b"),
            drafts=(Draft(method="POST", url="https://a.example", json={"a": [1]}),)),
        Notice(channel="toy", account=account.name, kind="k", text="t", dedupe_key="d",
            sent_at=event.received_at),
        Receipt(status="delivered", external_id="1"),
        Ignored("left"),
    ]

CHANNEL = Channel(key="toy", title="Toy", settings=Settings, normalize=normalize,
    capabilities=Capabilities(), docs_url="", hostile=True)
"""


class Settings(Struct):
    address: str
    secret: Secret


ACCOUNT: Account[Any] = Account("mail", "toy", Settings("a@b.example", Secret("hunter2")))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with the channel "toy", as pip would leave it."""
    (tmp_path / "toy_channel.py").write_text(SOURCE)
    facts = tmp_path / "toy_channel-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-channel\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[hub.channels]\ntoy = toy_channel:CHANNEL\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HUB_SECRET_KEY", "s" * 40)


@pytest.fixture
async def parsers(installed: None) -> AsyncIterator[Parsers]:
    pool = Parsers(limits=Limits(256 << 20, cpu_s=0.5, wall_s=1.5))
    yield pool
    await pool.close()


async def parse(parsers: Parsers, what: str) -> list[Any]:
    event = InboundEvent(dedupe_key="1", order_key="o", body=what.encode(), received_at=NOW)
    return await parsers.normalize("toy", event, ACCOUNT)


async def test_results_arrive_whole(parsers: Parsers) -> None:
    """Every kind of result comes back as it was, bytes and times too."""
    message, notice, receipt, ignored = await parse(parsers, "\u0000bytes")
    assert isinstance(message, Message)
    assert (message.text, message.sent_at, message.thread_hints) == ("你好", NOW, ("a", "b"))
    assert message.attachments[0].content == b"\x00bytes"
    assert message.extra == {"at": NOW, "n": [1, None, {"x": 1.5}]}
    assert message.drafts[0].json == {"a": [1]}
    assert (notice.kind, receipt.status, ignored) == ("k", "delivered", Ignored("left"))


@pytest.mark.parametrize(
    "what, reason",
    [
        ("loop", "more than 0.5 s of CPU"),
        ("c-loop", "more than 0.5 s of CPU"),
        ("sleep", "more than 1.5 s"),
        ("memory", "more than 256 MiB"),
        ("memory-slowly", "more than 256 MiB"),
        ("exit", "status 3"),
        ("segv", "SIGSEGV"),
        ("deep", "RecursionError"),
        ("raise", "ValueError: not a mail"),
    ],
)
async def test_a_bad_job_is_refused_and_the_next_is_not(
    parsers: Parsers, what: str, reason: str
) -> None:
    """Whatever one event does to its child, the pool goes on."""
    with pytest.raises(ParserCrashed, match=reason):
        await parse(parsers, what)
    assert len(await parse(parsers, "x")) == 4


async def test_bad_jobs_do_not_hold_up_good_ones(parsers: Parsers) -> None:
    """With one child lost in a loop, the other works on."""
    bad = asyncio.create_task(parse(parsers, "sleep"))
    await asyncio.sleep(0)
    started = time.monotonic()
    for _ in range(20):
        await parse(parsers, "x")
    assert not bad.done() or time.monotonic() - started > 1.4
    with pytest.raises(ParserCrashed):
        await bad


async def test_prints_do_not_mix_with_answers(parsers: Parsers) -> None:
    """What a library writes to standard output is lost, not taken for an answer."""
    assert len(await parse(parsers, "print")) == 4
    assert len(await parse(parsers, "x")) == 4


async def test_a_child_holds_no_secret(parsers: Parsers) -> None:
    """Hostile input that took a child over would find nothing."""
    (one,) = await parse(parsers, "who")
    assert (one.extra["secret"], one.extra["address"]) == ("", "a@b.example")
    assert "HUB_SECRET_KEY" not in one.extra["environ"]


async def test_at_most_two_children_and_they_are_kept(parsers: Parsers) -> None:
    """Ten jobs at once are done by two processes."""
    results = await asyncio.gather(*(parse(parsers, "who") for _ in range(10)))
    assert len({result[0].reason for result in results}) <= 2


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while running(pid):
            await asyncio.sleep(0.02)


async def test_idle_children_end(installed: None) -> None:
    """A hub without mail keeps no process for it; the next mail starts one."""
    pool = Parsers(idle_s=0.05)
    pid = int((await parse(pool, "who"))[0].reason)
    await gone(pid)
    assert int((await parse(pool, "who"))[0].reason) != pid
    await pool.close()


async def test_a_cancelled_job_leaves_no_child_behind(parsers: Parsers) -> None:
    """Its answer must not be taken for the next one's."""
    task = asyncio.create_task(parse(parsers, "sleep"))
    await parse(parsers, "x")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance((await parse(parsers, "who"))[0], Ignored)


PARENT = """
import asyncio, sys
from tests_children import ACCOUNT, parse
from hub.children import Limits, Parsers

async def main():
    pool = Parsers(limits=Limits(wall_s=60, cpu_s=60))
    print((await parse(pool, "who"))[0].reason, flush=True)
    await parse(pool, sys.argv[1])

asyncio.run(main())
"""


@pytest.mark.parametrize("what", ["sleep", "loop"])
async def test_children_die_with_their_parent(installed: None, tmp_path: Path, what: str) -> None:
    """Even one that is in the middle of a job, when the parent is killed."""
    (tmp_path / "tests_children.py").write_text(Path(__file__).read_text())
    (tmp_path / "parent.py").write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        str(tmp_path / "parent.py"),
        what,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert running(pid)
    parent.kill()
    await parent.wait()
    await gone(pid)

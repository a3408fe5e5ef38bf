"""What servers do to a listener, played by a scripted one: it passes over, tells, and loses nothing."""

import asyncio

import pytest

from adapters.email import reading
from hub.errors import BadCredentials
from sandbox.imap_fake import TAG, Command, Hangup
from tests.mailkit import (
    Memory,
    Running,
    account,
    eventually,
    results,
    server,
    shorten_limits,
    simple_mail,
)


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time limits that tests can wait for."""
    shorten_limits(monkeypatch)


async def test_a_mail_that_cannot_be_fetched_is_passed_over_and_told() -> None:
    """Three refusals; the next mail goes on; an agent sees that something is there."""

    async def refuse_two(command: Command) -> bytes:
        if command.argument.startswith(b"2 "):
            return TAG + b" NO [SERVERBUG] cannot\r\n"
        return command.connection._usual(command)

    mails = [simple_mail(number) for number in (1, 2, 3)]
    memory = Memory()
    settings = {"script": {"UID FETCH": refuse_two}, "mails": []}
    async with server(**settings) as fake, Running(account(imap_port=fake.port), memory) as running:
        await running.is_ready()
        fake.mails.extend(mails)
        await fake.tell(b"* 3 EXISTS\r\n")
        events = await memory.wait_for(3)

    assert [one.body for one in events] == [mails[0], b"", mails[2]]
    (shown,) = results(events[1].body, **events[1].headers)
    assert shown.kind == "unsupported"
    assert memory.checkpoints["INBOX"]["gaps"] == [2]
    assert memory.checkpoints["INBOX"]["last_uid"] == 3


async def test_a_mail_that_breaks_the_connection_blocks_nothing() -> None:
    """The tries are counted over reconnects."""

    async def die_on_two(command: Command) -> bytes:
        if command.argument.startswith(b"2 ") and b"BODY" in command.argument:
            raise Hangup
        return command.connection._usual(command)

    memory = Memory()
    script = {"UID FETCH": die_on_two}
    async with server(script=script) as fake, Running(account(imap_port=fake.port), memory) as run:
        await run.is_ready()
        fake.mails.extend(simple_mail(number) for number in (1, 2, 3))
        await fake.tell(b"* 3 EXISTS\r\n")
        events = await memory.wait_for(3)
    assert [bool(one.body) for one in events] == [True, False, True]
    tries = [line for line in fake.received if b"FETCH 2 (UID BODY.PEEK[])" in line]
    assert len(tries) == reading.MAX_TRIES


async def test_facts_that_break_the_connection_are_asked_for_one_by_one() -> None:
    """A question about many that kills the session does not stop the mailbox."""

    async def die_on_many(command: Command) -> bytes:
        if b"," in command.argument.split(b" ")[0]:
            raise Hangup
        return command.connection._usual(command)

    memory = Memory()
    script = {"UID FETCH": die_on_many}
    async with server(script=script) as fake, Running(account(imap_port=fake.port), memory) as run:
        await run.is_ready()
        fake.mails.extend(simple_mail(number) for number in range(30))
        await fake.tell(b"* 30 EXISTS\r\n")
        events = await memory.wait_for(30)
    assert [one.body for one in events] == [simple_mail(number) for number in range(30)]


async def test_a_gap_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the server hands the mail out after all, it is taken in."""
    monkeypatch.setattr("adapters.email.listener.GAP_RETRY_S", 0.0)
    monkeypatch.setattr("adapters.email.listener.MAX_IDLE_S", 0.05)
    broken = True

    async def moody(command: Command) -> bytes:
        if broken and command.argument.startswith(b"1 "):
            return TAG + b" NO not now\r\n"
        return command.connection._usual(command)

    memory = Memory()
    script = {"UID FETCH": moody}
    async with server(script=script) as fake, Running(account(imap_port=fake.port), memory) as run:
        await run.is_ready()
        fake.mails.append(simple_mail(1))
        await fake.tell(b"* 1 EXISTS\r\n")
        await memory.wait_for(1)
        broken = False
        events = await memory.wait_for(2)
        await memory.wait_until(lambda: not memory.checkpoints["INBOX"]["gaps"])
    assert events[1].body == simple_mail(1)


async def test_a_mail_that_is_gone_meanwhile_is_no_error() -> None:
    """Found by the search, deleted before the fetch: the mark passes it."""

    async def without_one(command: Command) -> bytes:
        lines = command.connection._usual(command).split(b"* ")
        return b"".join(b"* " + line for line in lines[1:] if b"UID 1 " not in line) or (
            TAG + b" OK [EXPUNGEISSUED] some are gone\r\n"
        )

    memory = Memory()
    script = {"UID FETCH": without_one}
    async with server(script=script) as fake, Running(account(imap_port=fake.port), memory) as run:
        await run.is_ready()
        fake.mails.extend(simple_mail(number) for number in (1, 2))
        await fake.tell(b"* 2 EXISTS\r\n")
        (only,) = await memory.wait_for(1)
    assert only.body == simple_mail(2)


async def test_without_idle_the_mailbox_is_polled() -> None:
    """Mail is found by looking."""
    memory = Memory()
    settings = {"capabilities": b"IMAP4rev1 ID"}
    async with server(**settings) as fake, Running(account(imap_port=fake.port), memory) as run:
        await run.is_ready()
        fake.mails.append(simple_mail(1))
        await memory.wait_for(1)
    assert fake.commands("IDLE") == []


async def test_a_server_that_does_not_push_is_asked_more_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It offers IDLE and tells nothing: after two surprises poll_seconds is the limit."""
    monkeypatch.setattr("adapters.email.listener.MAX_IDLE_S", 0.3)
    memory = Memory()
    async with server() as fake, Running(account(imap_port=fake.port), memory) as run:
        await run.is_ready()
        for number in (1, 2):
            idles = len(fake.commands("IDLE"))
            await eventually(lambda idles=idles: len(fake.commands("IDLE")) > idles)  # type: ignore[misc]
            fake.mails.append(simple_mail(number))
            await memory.wait_for(number)
        await eventually(lambda: run.listener._idle_s == 0.05)


async def test_a_mail_that_comes_while_idle_begins_is_found_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server does not push what arrived just before it began to watch (pymap, some others)."""
    monkeypatch.setattr("adapters.email.listener.FIRST_IDLE_S", 0.1)

    async def arrives_now(command: Command) -> bytes:
        command.connection.server.mails.append(simple_mail(1))
        return command.connection._usual(command)

    memory = Memory()
    script = {"IDLE": [arrives_now]}
    async with server(script=script) as fake, Running(account(imap_port=fake.port), memory):
        await memory.wait_for(1, timeout=3)


async def test_a_server_that_cries_wolf_is_not_hammered() -> None:
    """EXISTS with every answer: the listener slows down."""
    answer = b"* 0 EXISTS\r\n* SEARCH\r\nTAG OK done\r\n"
    memory = Memory()
    async with server(script={"UID SEARCH": answer}) as fake:
        async with Running(account(imap_port=fake.port, poll_seconds=60.0), memory) as run:
            await run.is_ready()
            await asyncio.sleep(0.5)
        assert len(fake.commands("SEARCH")) < 6


async def test_a_missing_folder_does_not_stop_the_others() -> None:
    """It is logged, and the others are read."""

    async def only_inbox(command: Command) -> bytes:
        if b"INBOX" not in command.argument:
            return TAG + b" NO [NONEXISTENT] no such folder\r\n"
        return command.connection._usual(command)

    memory = Memory()
    async with server(script={"SELECT": only_inbox}) as fake:
        settings = account(imap_port=fake.port, folders=["Nowhere", "INBOX"])
        async with Running(settings, memory) as run:
            await run.is_ready()
            fake.mails.append(simple_mail(1))
            await memory.wait_for(1)
            await eventually(
                lambda: any(line[1] == "mailbox.folder_refused" for line in run.bench.log.lines)
            )


async def test_a_failed_mark_is_no_error() -> None:
    """STORE refused: the mail is in, and read no second time."""
    memory = Memory()
    script = {"UID STORE": TAG + b" NO read-only today\r\n"}
    async with server(script=script) as fake, Running(account(imap_port=fake.port), memory) as run:
        await run.is_ready()
        fake.mails.append(simple_mail(1))
        await fake.tell(b"* 1 EXISTS\r\n")
        await memory.wait_for(1)
        fake.mails.append(simple_mail(2))
        await fake.tell(b"* 2 EXISTS\r\n")
        await memory.wait_for(2)
    assert len([line for line in fake.received if b"FETCH 1 (UID BODY" in line]) == 1


async def test_a_refused_login_is_raised_once() -> None:
    """One try, then it is the admin's turn."""
    script = {"LOGIN": TAG + b" NO [AUTHENTICATIONFAILED] no\r\n"}
    async with (
        server(script=script) as fake,
        Running(account(imap_port=fake.port), Memory()) as run,
    ):
        assert run.task is not None
        with pytest.raises(BadCredentials):
            await run.task
    assert len(fake.commands("LOGIN")) == 1

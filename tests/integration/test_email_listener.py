"""The listener against a real IMAP server (pymap)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub.errors import BadCredentials, Unreachable
from hub.model import InboundEvent, Secret
from sandbox.imap_fake import TAG, FakeImapServer
from sandbox.mail import MailPair
from tests.mailkit import (
    ANNA,
    PASSWORD,
    SUPPORT,
    Memory,
    Running,
    account,
    eventually,
    results,
    simple_mail,
)


@pytest.fixture
async def mail() -> AsyncIterator[MailPair]:
    mail = MailPair({SUPPORT: PASSWORD, ANNA: "x"})
    await mail.start()
    yield mail
    await mail.close()


async def seen_flags(mail: MailPair) -> list[bytes]:
    """The flag lines of all mails in the inbox."""
    import aioimaplib

    client = aioimaplib.IMAP4("127.0.0.1", mail.imap_port, timeout=5)
    await client.wait_hello_from_server()
    await client.login(SUPPORT, PASSWORD)
    await client.select("INBOX")
    _, lines = await client.uid("fetch", "1:*", "(UID FLAGS)")
    await client.logout()
    return [bytes(line) for line in lines if b"FLAGS" in line]


async def test_a_mail_that_comes_in_while_idling_is_emitted_byte_for_byte(mail: MailPair) -> None:
    """Pushed, fetched without marking, and stored with what the server knows of it."""
    memory = Memory()
    raw = simple_mail()
    async with Running(account(imap_port=mail.imap_port), memory) as running:
        await running.is_ready()
        await mail.imap.deliver(SUPPORT, raw)
        (event,) = await memory.wait_for(1)

    assert event.body == raw
    assert event.proof == "imap"
    assert event.headers["folder"] == "INBOX"
    assert event.headers["size_bytes"] == str(len(raw))
    assert event.headers["internal_date"].startswith("20")
    assert event.dedupe_key.startswith("imap:INBOX:")
    assert event.order_key == f"mailbox:{SUPPORT}"


async def test_a_mail_is_marked_only_after_it_was_stored(mail: MailPair) -> None:
    """When the mails reach storage none is seen; afterwards all are."""
    memory = Memory()
    async with Running(account(imap_port=mail.imap_port), memory) as running:
        await running.is_ready()
        for number in range(3):
            await mail.imap.deliver(SUPPORT, simple_mail(number))
        await memory.wait_for(3)
        async with asyncio.timeout(5):
            while not all(b"\\Seen" in line for line in await seen_flags(mail)):
                await asyncio.sleep(0.02)

    memory = Memory()
    refused: list[InboundEvent] = []

    def storage_is_away(events: object) -> None:
        if events:
            refused.extend(events)  # type: ignore[call-overload]
            raise OSError("database away")

    async with Running(account(imap_port=mail.imap_port), memory) as running:
        await running.is_ready()
        memory.before = storage_is_away
        await mail.imap.deliver(SUPPORT, simple_mail(9))
        assert running.task is not None
        with pytest.raises(OSError):
            await running.task
    assert [b"\\Seen" in line for line in await seen_flags(mail)] == [True, True, True, False]
    assert len(refused) == 1


async def test_nothing_is_marked_when_the_settings_say_so(mail: MailPair) -> None:
    """after_store = "nothing" leaves the mailbox as it is."""
    memory = Memory()
    settings = account(imap_port=mail.imap_port, after_store="nothing")
    async with Running(settings, memory) as running:
        await running.is_ready()
        await mail.imap.deliver(SUPPORT, simple_mail(1))
        await mail.imap.deliver(SUPPORT, simple_mail(2))
        await memory.wait_for(2)
    assert not any(b"\\Seen" in line for line in await seen_flags(mail))


async def test_old_mail_is_left_alone_unless_asked_for(mail: MailPair) -> None:
    """The first start begins behind what is there; a look-back takes it in."""
    await mail.imap.deliver(SUPPORT, simple_mail(1))
    fresh, looking_back = Memory(), Memory()
    async with Running(account(imap_port=mail.imap_port), fresh) as running:
        await running.is_ready()
        await mail.imap.deliver(SUPPORT, simple_mail(2))
        await fresh.wait_for(1)
    settings = account(imap_port=mail.imap_port, initial_lookback_days=2)
    async with Running(settings, looking_back):
        await looking_back.wait_for(2)

    assert [b"mail 2" in one.body for one in fresh.events.values()] == [True]
    assert len(looking_back.events) == 2


async def test_reading_goes_on_where_it_stopped(mail: MailPair) -> None:
    """Mail that came while nobody listened is taken in, and nothing twice."""
    memory = Memory()
    async with Running(account(imap_port=mail.imap_port), memory) as running:
        await running.is_ready()
        await mail.imap.deliver(SUPPORT, simple_mail(1))
        await memory.wait_for(1)
    for number in (2, 3):
        await mail.imap.deliver(SUPPORT, simple_mail(number))
    async with Running(account(imap_port=mail.imap_port), memory):
        events = await memory.wait_for(3)
    assert [one.body for one in events] == [simple_mail(number) for number in (1, 2, 3)]


async def test_dropped_connections_lose_and_double_nothing(mail: MailPair) -> None:
    """300 mails over a mailbox whose connections are cut again and again: each once, in order."""
    memory = Memory()
    wanted = 300
    async with Running(account(imap_port=mail.imap_port), memory) as running:
        await running.is_ready()
        for number in range(wanted):
            await mail.imap.deliver(SUPPORT, simple_mail(number))
            if number % 75 == 40:
                mail.drop_all()
        events = await memory.wait_for(wanted, timeout=40)
    assert [one.body for one in events] == [simple_mail(number) for number in range(wanted)]


async def test_restarts_at_any_point_lose_and_double_nothing(mail: MailPair) -> None:
    """The listener is ended in the middle of its work, many times: each mail is stored once."""
    memory = Memory()
    wanted = 200
    async with Running(account(imap_port=mail.imap_port), memory) as running:
        await running.is_ready()
    for number in range(wanted):
        await mail.imap.deliver(SUPPORT, simple_mail(number))
    stored = 0
    while len(memory.order) < wanted:
        async with Running(account(imap_port=mail.imap_port), memory):
            await memory.wait_for(stored + 1)
        stored = len(memory.order)
    assert [memory.events[key].body for key in memory.order] == [
        simple_mail(number) for number in range(wanted)
    ]


async def test_a_renumbered_mailbox_loses_nothing(mail: MailPair) -> None:
    """After a new UIDVALIDITY recent mail is read again; its messages keep their keys."""
    memory = Memory()
    async with Running(account(imap_port=mail.imap_port), memory) as running:
        await running.is_ready()
        await mail.imap.deliver(SUPPORT, simple_mail(1))
        await memory.wait_for(1)
        mail.wipe(SUPPORT)
        for number in (1, 2):
            await mail.imap.deliver(SUPPORT, simple_mail(number))
        events = await memory.wait_for(3)

    keys = [results(one.body)[0].dedupe_key for one in events]
    assert keys[0] == keys[1]
    assert keys[2] != keys[0]


async def test_of_a_mail_too_large_only_the_header_is_read(mail: MailPair) -> None:
    """It is shown as a message that says so, and does not stop the others."""
    memory = Memory()
    large = simple_mail(1, body="x" * 200_000)
    async with Running(account(imap_port=mail.imap_port, max_size_bytes=65536), memory) as running:
        await running.is_ready()
        await mail.imap.deliver(SUPPORT, large)
        await mail.imap.deliver(SUPPORT, simple_mail(2))
        first, second = await memory.wait_for(2)

    assert first.headers["oversized"] == str(len(large))
    assert b"xxx" not in first.body
    (shown,) = results(first.body, **first.headers)
    assert shown.extra["oversized"] is True
    assert shown.subject == "mail 1"
    assert second.body == simple_mail(2)


async def test_several_folders_are_read(mail: MailPair) -> None:
    """The first by push, the others by looking."""
    import aioimaplib

    client = aioimaplib.IMAP4("127.0.0.1", mail.imap_port, timeout=5)
    await client.wait_hello_from_server()
    await client.login(SUPPORT, PASSWORD)
    await client.create('"Web &kAB35Q-"')
    await client.logout()
    memory = Memory()
    settings = account(imap_port=mail.imap_port, folders=["INBOX", "Web 退知"])
    async with Running(settings, memory):
        await memory.wait_until(lambda: len(memory.checkpoints) == 2)
        await mail.imap.deliver(SUPPORT, simple_mail(1), folder="Web 退知")
        await mail.imap.deliver(SUPPORT, simple_mail(2))
        events = await memory.wait_for(2)
    assert {one.headers["folder"] for one in events} == {"INBOX", "Web 退知"}


async def test_a_wrong_password_is_told_at_once(mail: MailPair) -> None:
    """No second try: providers lock mailboxes."""
    memory = Memory()
    settings = account(imap_port=mail.imap_port, password=Secret("wrong"))
    async with Running(settings, memory) as running:
        assert running.task is not None
        with pytest.raises(BadCredentials) as raised:
            async with asyncio.timeout(5):
                await running.task
    assert "wrong" not in repr(raised.value)


async def test_a_server_that_stays_away_is_told(
    mail: MailPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short interruptions are bridged, long ones are shown to the admin."""
    monkeypatch.setattr("adapters.email.listener.FIRST_DELAY_S", 0.001)
    async with Running(account(imap_port=mail.imap_port), Memory()) as running:
        await running.is_ready()
        await mail.stop()
        assert running.task is not None
        with pytest.raises(Unreachable):
            async with asyncio.timeout(5):
                await running.task


async def test_a_server_that_was_never_there_is_told_at_once(mail: MailPair) -> None:
    """A wrong host or port is no interruption: the admin sees it within seconds."""
    await mail.stop()
    async with Running(account(imap_port=mail.imap_port), Memory()) as running:
        assert running.task is not None
        with pytest.raises(Unreachable):
            async with asyncio.timeout(20):  # bridged, it would be a minute
                await running.task


@pytest.mark.parametrize(
    "capabilities", [b"IMAP4rev1 MOVE UIDPLUS", b"IMAP4rev1 UIDPLUS", b"IMAP4rev1"]
)
async def test_stored_mails_are_moved_or_copied_and_deleted(capabilities: bytes) -> None:
    """By MOVE; else by COPY, and only our own mail is expunged; the folder is made when it is missing."""
    no_folder = TAG + b" NO [TRYCREATE] no such folder\r\n"
    script = {"UID MOVE": [no_folder], "UID COPY": [no_folder]}
    fake = FakeImapServer(capabilities=capabilities, mails=[simple_mail(1)], script=script)
    await fake.start()
    memory = Memory()
    settings = {"after_store": "move", "move_to": "已处理", "initial_lookback_days": 1}
    try:
        async with Running(account(imap_port=fake.port, **settings), memory):
            await memory.wait_for(1)
            last = "EXPUNGE" if b"UIDPLUS" in capabilities else "STORE"
            last = "MOVE" if b"MOVE" in capabilities else last
            await eventually(lambda: len(fake.commands(last)) >= 1 + (last == "MOVE"))
    finally:
        await fake.stop()
    assert len(fake.commands("CREATE")) == 1
    assert b'"&XfJZBHQG-"' in fake.commands("CREATE")[0]
    if last == "EXPUNGE":
        assert b"UID EXPUNGE 1" in fake.commands("EXPUNGE")[0]


async def test_mails_move_on_a_real_server(mail: MailPair) -> None:
    """Out of the folder that is read, into the other, and never read twice."""
    settings = account(imap_port=mail.imap_port, after_store="move", move_to="Done")
    memory = Memory()
    async with Running(settings, memory) as running:
        await running.is_ready()
        for number in range(3):
            await mail.send_raw(ANNA, SUPPORT, simple_mail(number))
        await memory.wait_for(3)
        async with asyncio.timeout(10):
            while await mail.imap.count(SUPPORT):
                await asyncio.sleep(0.02)
        assert await mail.imap.count(SUPPORT, folder="Done") == 3
    assert len(memory.order) == 3


async def test_a_large_mail_is_read_from_a_real_server(mail: MailPair) -> None:
    """In pieces, and whole in the end."""
    raw = simple_mail(1, body="0123456789abcdef" * 200_000)
    memory = Memory()
    async with Running(account(imap_port=mail.imap_port), memory) as running:
        await running.is_ready()
        await mail.imap.deliver(SUPPORT, raw)
        (event,) = await memory.wait_for(1, timeout=40)
    assert event.body == raw

"""Every measured fault of servers and of the IMAP library, played by a scripted server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.email import EmailChecker, mailbox
from adapters.email.mailbox import ConnectionLost, LoginRefused, Mailbox, Refused
from hub.errors import Unreachable
from hub.testing import Workbench
from sandbox.imap_fake import TAG, Command, FakeImapServer, Hangup
from tests.mailkit import (
    Memory,
    Running,
    account,
    self_signed,
    server,
    shorten_limits,
    simple_mail,
)


@asynccontextmanager
async def opened(fake: FakeImapServer) -> AsyncIterator[Mailbox]:
    box = Mailbox("127.0.0.1", fake.port, None)
    try:
        await box.open("user", "secret")
        await box.select("INBOX")
        yield box
    finally:
        await box.close()


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time limits that tests can wait for."""
    shorten_limits(monkeypatch)


async def hang(_command: Command) -> bytes:
    await asyncio.sleep(30)
    return b""


async def hang_up(_command: Command) -> bytes:
    raise Hangup


async def every_command(box: Mailbox) -> None:
    await box.open("user", "secret")
    await box.select("INBOX")
    await box.search("ALL")
    await box.raw(1)
    await box.mark_seen([1])
    await box.noop()


# --- the session ---------------------------------------------------------------------------------


async def test_a_thousand_lines_at_once_are_read() -> None:
    """The library alone hangs for ever on them (one recursion per line)."""
    mails = [simple_mail(number) for number in range(1500)]
    async with server(mails=mails) as fake, opened(fake) as box:
        found = await box.facts(range(1, 1501))
    assert len(found) == 1500


async def test_a_flood_of_pushes_does_not_break_idle() -> None:
    """3,000 expunges in one piece, then a new mail: it is heard of."""
    async with server() as fake, opened(fake) as box:
        waiting = asyncio.create_task(box.wait_for_news(5))
        while not fake.commands("IDLE"):
            await asyncio.sleep(0.01)
        await fake.tell(b"* 1 EXPUNGE\r\n" * 3000 + b"* 7 EXISTS\r\n")
        assert await waiting is True


@pytest.mark.parametrize("piece", [1, 7])
async def test_answers_in_tiny_pieces_are_read(piece: int) -> None:
    """Cut anywhere, also inside literals."""
    async with server(mails=[simple_mail(1)], piece_bytes=piece) as fake, opened(fake) as box:
        assert await box.raw(1) == simple_mail(1)


@pytest.mark.parametrize(
    "name", ["LOGIN", "SELECT", "UID SEARCH", "UID FETCH", "UID STORE", "NOOP"]
)
@pytest.mark.parametrize("fault", [hang, hang_up])
async def test_no_command_waits_for_ever(name: str, fault: Any) -> None:
    """Silence ends in time, a closed connection at once; the session is over then."""
    async with server(script={name: fault}, mails=[simple_mail(1)]) as fake:
        box = Mailbox("127.0.0.1", fake.port, None)
        with pytest.raises(ConnectionLost):
            await asyncio.wait_for(every_command(box), 5)
        await box.close()


@pytest.mark.parametrize(
    "greeting", [b"* BYE too busy\r\n", b"SSH-2.0-OpenSSH\r\n", b"", b"* NO go away\r\n"]
)
async def test_a_wrong_greeting_ends_the_wait(greeting: bytes) -> None:
    """BYE, another protocol, or nothing at all."""
    async with server(greeting=greeting) as fake:
        box = Mailbox("127.0.0.1", fake.port, None)
        with pytest.raises(ConnectionLost):
            async with asyncio.timeout(5):
                await box.open("user", "secret")
        await box.close()


async def test_a_connection_lost_in_idle_is_noticed_at_once() -> None:
    """The library alone would wait 29 minutes."""
    async with server() as fake, opened(fake) as box:
        waiting = asyncio.create_task(box.wait_for_news(60))
        while not fake.commands("IDLE"):
            await asyncio.sleep(0.01)
        fake.drop_all()
        with pytest.raises(ConnectionLost):
            async with asyncio.timeout(1):
                await waiting


async def test_bye_in_idle_ends_the_session() -> None:
    """The server says goodbye and is believed, even if it keeps the connection open."""
    async with server() as fake, opened(fake) as box:
        waiting = asyncio.create_task(box.wait_for_news(60))
        while not fake.commands("IDLE"):
            await asyncio.sleep(0.01)
        await fake.tell(b"* BYE maintenance\r\n")
        with pytest.raises(ConnectionLost, match="maintenance"):
            async with asyncio.timeout(1):
                await waiting


async def test_a_push_that_rides_on_another_answer_is_not_lost() -> None:
    """EXISTS during a STORE: the next wait ends at once, without IDLE."""
    script = {"UID STORE": b"* 9 EXISTS\r\nTAG OK done\r\n"}
    async with server(script=script, mails=[simple_mail(1)]) as fake, opened(fake) as box:
        await box.search("ALL")
        await box.mark_seen([1])
        assert await box.wait_for_news(30) is True
        assert fake.commands("IDLE") == []


async def test_an_idle_without_news_ends_by_itself_and_again() -> None:
    """Two renewals in a row; stale pushes do not wake the second."""
    async with server() as fake, opened(fake) as box:
        assert await box.wait_for_news(0.05) is False
        await fake.tell(b"* OK Still here\r\n")
        assert await box.wait_for_news(0.05) is False
    assert len(fake.commands("DONE")) == 2


async def test_numbers_in_the_closing_line_are_no_uids() -> None:
    """No SEARCH line at all, and a tagged text with a number in it."""
    script = {"UID SEARCH": TAG + b" OK Search completed 12 took 5\r\n"}
    async with server(script=script) as fake, opened(fake) as box:
        assert await box.search("ALL") == []


async def test_the_highest_mail_is_not_new() -> None:
    """``n:*`` always matches the last mail; below the mark it is left out."""
    async with server(mails=[simple_mail(1), simple_mail(2)]) as fake, opened(fake) as box:
        assert await box.search_after(2) == []
        assert await box.search_after(1) == [2]


@pytest.mark.parametrize(
    "answer, expected",
    [
        (b'* 1 FETCH (UID 1 BODY[] "short \\"mail\\"")\r\n', b'short "mail"'),
        (b"* 1 FETCH (UID 1 BODY[] NIL)\r\n", b""),
        (b"* 1 FETCH (BODY[] {4}\r\nmail UID 1)\r\n", b"mail"),
        (b"* 1 FETCH (UID 1 BODY[] {0}\r\n)\r\n", b""),
        (b"* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n* 1 FETCH (UID 1 BODY[] {4}\r\nmail)\r\n", b"mail"),
        (b"* 1 FETCH (UID 1 BODY[] {5}\r\n) \r\n()\r\n", b") \r\n("),
        (b"* 2 FETCH (UID 2 BODY[] {5}\r\nother)\r\n", None),
        (b"", None),
    ],
)
async def test_texts_come_in_many_forms(answer: bytes, expected: bytes | None) -> None:
    """Quoted, NIL, facts after the text, other mails' flags between; and not at all: gone."""
    script = {"UID FETCH": answer + TAG + b" OK done\r\n"}
    async with server(script=script) as fake, opened(fake) as box:
        assert await box.raw(1) == expected


async def test_names_are_quoted() -> None:
    """Spaces, quotes and other scripts cannot break a command."""
    async with server() as fake:
        box = Mailbox("127.0.0.1", fake.port, None)
        await box.open('us er"x', 'pass"\\word')
        await box.select('A "b" & 收件箱')
        await box.close()
    assert any(b'LOGIN "us er\\"x" "pass\\"\\\\word"' in line for line in fake.received)
    assert any(b'SELECT "A \\"b\\" &- &ZTZO9nux-"' in line for line in fake.received)


async def test_capabilities_of_the_login_answer_are_asked_for_again() -> None:
    """The library takes ``[CAPABILITY … IDLE]`` apart wrongly."""
    script = {"LOGIN": TAG + b" OK [CAPABILITY IMAP4rev1 IDLE] welcome\r\n"}
    async with server(script=script) as fake, opened(fake) as box:
        assert box.can("IDLE")
        assert len(fake.commands("CAPABILITY")) == 2


@pytest.mark.parametrize("offered, count", [(b"IMAP4rev1 ID IDLE", 1), (b"IMAP4rev1 IDLE", 0)])
async def test_id_is_sent_only_where_it_is_offered(offered: bytes, count: int) -> None:
    """163 demands it; QQ hangs up on commands that it does not know."""
    async with server(capabilities=offered) as fake, opened(fake):
        pass
    assert sum(b" ID (" in line for line in fake.received) == count


async def test_a_refused_login_and_a_busy_server_are_told_apart() -> None:
    """One is for the admin, the other for later."""
    no = {"LOGIN": TAG + b" NO [AUTHENTICATIONFAILED] wrong\r\n"}
    busy = {"LOGIN": TAG + b" NO [UNAVAILABLE] try later\r\n"}
    for script, error in ((no, LoginRefused), (busy, ConnectionLost)):
        async with server(script=script) as fake:
            box = Mailbox("127.0.0.1", fake.port, None)
            with pytest.raises(error):
                await box.open("user", "secret")
            await box.close()


async def test_a_refused_folder_is_told() -> None:
    """The unsafe login of 163, with advice from the checker."""
    text = b" NO SELECT Unsafe Login. Please contact kefu@188.com for help\r\n"
    async with server(script={"SELECT": TAG + text}) as fake:
        box = Mailbox("127.0.0.1", fake.port, None)
        await box.open("user", "secret")
        with pytest.raises(Refused, match="Unsafe Login"):
            await box.select("INBOX")
        await box.close()
        settings = account(imap_port=fake.port, smtp_host="")
        checks = [one async for one in EmailChecker(settings, Workbench().tools).check(None)]
    assert not checks[-1].ok
    assert "163" in (checks[-1].advice or "")


# --- TLS -----------------------------------------------------------------------------------------


async def test_certificates_are_verified(tmp_path: Path) -> None:
    """An unknown certificate is refused and explained; a private authority can be named."""
    certificate, context = self_signed(tmp_path)
    fake = FakeImapServer()
    tls_server = await asyncio.start_server(fake._connected, "127.0.0.1", 0, ssl=context)
    port = tls_server.sockets[0].getsockname()[1]
    try:
        settings = account(imap_port=port, imap_security="tls", smtp_host="")
        async with Running(settings, Memory()) as run:
            assert run.task is not None
            with pytest.raises(Unreachable, match="certificate"):
                await run.task
        (check,) = [one async for one in EmailChecker(settings, Workbench().tools).check(None)]
        assert not check.ok
        assert "certificate" in check.detail

        trusted = account(
            imap_port=port,
            imap_security="tls",
            smtp_host="",
            ca_file=str(certificate),
        )
        checks = [one async for one in EmailChecker(trusted, Workbench().tools).check(None)]
        assert all(one.ok for one in checks)
    finally:
        tls_server.close()
        fake.drop_all()


# --- what the library would hide -----------------------------------------------------------------


async def test_a_server_that_hangs_up_before_idling_is_noticed() -> None:
    """The library alone waits for its "+" for ever."""
    async with server(script={"IDLE": hang_up}) as fake, opened(fake) as box:
        with pytest.raises(ConnectionLost):
            await asyncio.wait_for(box.wait_for_news(30), 5)


@pytest.mark.parametrize("name", ["UID MOVE", "UID COPY", "UID EXPUNGE"])
@pytest.mark.parametrize("fault", [hang, hang_up])
async def test_moving_ends_in_time(name: str, fault: Any) -> None:
    """The library has no time limit on any of them."""
    offered = b"IMAP4rev1 MOVE UIDPLUS" if name == "UID MOVE" else b"IMAP4rev1 UIDPLUS"
    async with server(script={name: fault}, capabilities=offered) as fake, opened(fake) as box:
        with pytest.raises(ConnectionLost):
            await asyncio.wait_for(box.move([1], "Done"), 5)


async def test_news_that_nobody_read_is_not_news_again() -> None:
    """What stayed in the library's queue after an IDLE does not end the next one."""
    async with server(mails=[simple_mail(1)]) as fake, opened(fake) as box:
        waiting = asyncio.create_task(box.wait_for_news(5))
        while not fake.commands("IDLE"):
            await asyncio.sleep(0.01)
        await fake.tell(b"* 2 EXISTS\r\n* 3 EXISTS\r\n* 1 FETCH (FLAGS (\\Seen))\r\n")
        assert await waiting is True
        await box.search("ALL")
        assert await box.wait_for_news(0.2) is False


async def test_subjects_in_answers_cannot_confuse_the_parser() -> None:
    """Parentheses and "* " inside of answers break it: only numbers, dates and texts are asked for."""
    mail = b'Subject: hi :( "a* b* c" {3}\r\n\r\n* 9 EXISTS\r\n)\r\nA1 OK done\r\n'
    async with server(mails=[mail, simple_mail(2)]) as fake, opened(fake) as box:
        assert sorted(await box.facts([1, 2])) == [1, 2]
        assert await box.raw(1) == mail
        assert await box.head(1) == mail.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        asked = b" ".join(fake.commands("FETCH")).upper()
        await box.noop()
    assert b"ENVELOPE" not in asked
    assert b"BODYSTRUCTURE" not in asked


async def test_after_a_time_out_the_connection_is_not_used_again() -> None:
    """The library never clears the pending command."""
    async with server(script={"NOOP": [hang]}) as fake, opened(fake) as box:
        with pytest.raises(ConnectionLost):
            await box.noop()
        with pytest.raises(ConnectionLost):
            await asyncio.wait_for(box.search("ALL"), 5)


async def test_no_password_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    """The library formats what it sends and receives."""
    caplog.set_level("DEBUG")
    async with server(mails=[simple_mail(1, body="private")]) as fake:
        box = Mailbox("127.0.0.1", fake.port, None)
        await box.open("user", "hunter2")
        await box.select("INBOX")
        await box.raw(1)
        await box.close()
    assert "hunter2" not in caplog.text
    assert "private" not in caplog.text


async def test_a_large_mail_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own time limit; together they are the mail, byte for byte."""
    monkeypatch.setattr(mailbox, "PIECE_BYTES", 1000)
    mails = [b"Subject: %d\r\n\r\n" % size + bytes(range(256)) * size for size in (8, 9, 10)]
    mails.append(b"x" * 3000)  # a whole number of pieces
    async with server(mails=mails) as fake, opened(fake) as box:
        for uid, mail in enumerate(mails, 1):
            assert await box.raw(uid, size_bytes=len(mail) - 7) == mail
        assert len(fake.commands("BODY.PEEK[]<")) == 3 + 3 + 3 + 4
        assert await box.raw(99, size_bytes=5000) is None

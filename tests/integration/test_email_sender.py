"""Replies over a real SMTP server (aiosmtpd), and what its answers become."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope

from adapters.email import EmailChecker, EmailSender
from hub.errors import (
    Ambiguous,
    BadCredentials,
    RateLimited,
    RecipientGone,
    Rejected,
    SendError,
    Unreachable,
    Unsupported,
)
from hub.model import Address, Receipt, Reply, ReplyAttachment, Secret
from hub.testing import Workbench
from sandbox.mail import DROP, MailPair
from tests.mailkit import ANNA, PASSWORD, SUPPORT, account, eventually, self_signed

REPLY = Reply(
    to=Address("email", "", ANNA),
    text="好的，请寄回。",
    message_id="msg_01h455vb4pex5vsknk084sn02q",
    created_at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
    reply_context={
        "message_id": "question@home.example",
        "references": ["root@home.example"],
        "subject": "退货",
        "reply_to": None,
    },
)


@pytest.fixture
async def mail() -> AsyncIterator[MailPair]:
    mail = MailPair({SUPPORT: PASSWORD, ANNA: "x"})
    await mail.start()
    yield mail
    await mail.close()


async def sent(sender: EmailSender, reply: Reply = REPLY) -> Receipt:
    """Compose and send, as the core does."""
    (draft,) = sender.compose(reply, [])
    return await sender.send(draft, {})


def sender_for(mail: MailPair, bench: Workbench | None = None) -> EmailSender:
    return EmailSender(account(smtp_port=mail.smtp_port), (bench or Workbench()).tools)


async def test_a_reply_arrives_in_its_thread(mail: MailPair) -> None:
    """Subject, ids and text reach the customer's mailbox; the receipt names our id."""
    sender = sender_for(mail)
    receipt = await sent(sender)
    letter = await mail.wait_for_letter(ANNA)
    await sender.close()

    assert receipt.status == "sent"
    assert receipt.external_id == letter.message_id.strip("<>")
    assert letter.subject == "Re: 退货"
    assert letter.text.strip() == "好的，请寄回。"
    assert [one.strip("<>") for one in letter.references] == [
        "root@home.example",
        "question@home.example",
    ]


async def test_files_are_loaded_when_the_mail_is_sent(mail: MailPair) -> None:
    """Named by id, read from the store, and in the mail byte for byte."""
    bench = Workbench()
    content = bytes(range(256)) * 1000
    bench.media.files["att_1"] = content
    file = ReplyAttachment(id="att_1", filename="发票 2026.pdf", mime_type="application/pdf")
    sender = sender_for(mail, bench)
    reply = Reply(to=REPLY.to, text="invoice", attachments=(file,), message_id="msg_1")
    (draft,) = sender.compose(reply, [])
    await sender.send(draft, {})
    letter = await mail.wait_for_letter(ANNA)
    await sender.close()

    parsed = message_from_bytes(letter.raw, policy=policy.default)
    (part,) = parsed.iter_attachments()
    assert part.get_filename() == "发票 2026.pdf"
    assert part.get_payload(decode=True) == content
    assert draft.body is not None
    assert len(draft.body) < 4000


async def test_a_missing_file_is_said_before_anything_is_sent(mail: MailPair) -> None:
    """Unsupported, and no half mail leaves."""
    sender = sender_for(mail)
    reply = Reply(to=REPLY.to, text="x", attachments=(ReplyAttachment(id="att_9"),))
    with pytest.raises(Unsupported):
        await sent(sender, reply)
    assert mail.letters(ANNA) == []


async def test_few_connections_serve_many_replies(mail: MailPair) -> None:
    """Twenty at once go over three; all arrive."""
    sender = sender_for(mail)
    replies = [
        Reply(to=REPLY.to, text=f"answer {number}", message_id=f"msg_{number}")
        for number in range(20)
    ]
    receipts = await asyncio.gather(*(sent(sender, reply) for reply in replies))
    await sender.close()
    assert len({receipt.external_id for receipt in receipts}) == 20
    assert len([one for one in mail.letters(ANNA) if one.direction == "received"]) == 20


async def test_a_connection_that_died_while_idle_is_replaced(mail: MailPair) -> None:
    """The next reply goes out over a new one."""
    sender = sender_for(mail)
    await sent(sender)
    mail.drop_all()
    assert (await sent(sender)).status == "sent"
    await sender.close()


@pytest.mark.parametrize(
    "stage, answer, error",
    [
        ("mail", "450 4.7.1 slow down", RateLimited),
        ("mail", "421 4.3.2 closing", Unreachable),
        ("mail", "550 5.7.1 sender not allowed", Rejected),
        ("mail", "530 5.7.0 log in first", BadCredentials),
        ("mail", DROP, Unreachable),
        ("rcpt", "450 4.2.0 greylisted", RateLimited),
        ("rcpt", "452 4.2.2 mailbox full", RateLimited),
        ("rcpt", "550 5.1.1 no such user", RecipientGone),
        ("rcpt", "553 5.1.3 bad address", RecipientGone),
        ("rcpt", "550 5.7.1 relaying denied", Rejected),
        ("rcpt", DROP, Unreachable),
        ("data", "451 4.3.0 later", RateLimited),
        ("data", "554 5.7.1 spam", Rejected),
        ("data", "552 5.3.4 too big", Rejected),
        ("data", "550 5.7.30 Basic authentication is not supported", BadCredentials),
        ("data", "550 Connection frequency limited", RateLimited),
        ("data", DROP, Ambiguous),
        ("after_data", DROP, Ambiguous),
    ],
)
async def test_refusals_become_the_hubs_errors(
    mail: MailPair, stage: str, answer: str, error: type[SendError]
) -> None:
    """Judged by code and stage; afterwards the same sender can send."""
    sender = sender_for(mail)
    mail.fail_smtp(stage, answer)  # type: ignore[arg-type]
    with pytest.raises(SendError) as raised:
        await sent(sender)
    assert type(raised.value) is error
    assert PASSWORD not in repr(raised.value)
    assert (await sent(sender)).status == "sent"
    await sender.close()


async def test_a_customer_without_a_mailbox_is_gone(mail: MailPair) -> None:
    """The server's 550 names the recipient."""
    sender = sender_for(mail)
    reply = Reply(to=Address("email", "", "nobody@home.example"), text="x")
    with pytest.raises(RecipientGone) as raised:
        await sent(sender, reply)
    assert raised.value.external_code == "550"
    await sender.close()


async def test_a_wrong_password_stops_the_account(mail: MailPair) -> None:
    """BadCredentials, without the password in it."""
    settings = account(smtp_port=mail.smtp_port, password=Secret("not this"))
    with pytest.raises(BadCredentials) as raised:
        await sent(EmailSender(settings, Workbench().tools))
    assert "not this" not in repr(raised.value)


async def test_a_server_that_is_not_there_is_unreachable(mail: MailPair) -> None:
    """Nothing was sent, so it may be tried again."""
    await mail.stop()
    with pytest.raises(Unreachable):
        await sent(sender_for(mail))


async def test_a_server_that_does_not_answer_has_sent_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Told in time, before the core has to assume the worst."""
    monkeypatch.setattr("outbound.email.transport.BEFORE_TEXT_S", 0.2)
    async with answering(b"silent") as port:
        with pytest.raises(Unreachable):
            await sent(EmailSender(account(smtp_port=port), Workbench().tools))


async def test_a_reply_that_waits_for_a_connection_was_not_sent(
    mail: MailPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More replies than connections, and a server that keeps them: the others say so."""
    monkeypatch.setattr("outbound.email.transport.BEFORE_TEXT_S", 0.3)
    async with answering(b"hold") as port:
        sender = EmailSender(account(smtp_port=port, password=Secret("")), Workbench().tools)
        tasks = [asyncio.create_task(sent(sender)) for _ in range(5)]
        done, waiting = await asyncio.wait(tasks, timeout=2)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert len(waiting) == 3
    assert all(isinstance(task.exception(), Unreachable) for task in done)


@asynccontextmanager
async def answering(script: bytes) -> AsyncIterator[int]:
    """The port of a server that takes a mail up to DATA and then does as *script* says."""
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        if script == b"silent":
            await reader.read()
        else:
            await talk(reader, writer)
        writer.close()
        open_now.discard(writer)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        while line := await reader.readline():
            if line.upper().startswith(b"DATA"):
                if script == b"before":
                    break
                if script == b"hold":
                    await reader.read()
                    break
                writer.write(b"354 go\r\n")
                while (text := await reader.readline()) not in (b".\r\n", b""):
                    del text
                break
            writer.write(b"250 ok\r\n")

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await eventually(lambda: not open_now)


@pytest.mark.parametrize("script, error", [(b"before", Unreachable), (b"after", Ambiguous)])
async def test_a_connection_lost_around_the_text(script: bytes, error: type[SendError]) -> None:
    """Before the server asked for the text nothing was sent; after it nobody knows."""
    async with answering(script) as port:
        sender = EmailSender(account(smtp_port=port, password=Secret("")), Workbench().tools)
        with pytest.raises(SendError) as raised:
            await sent(sender)
    assert type(raised.value) is error


async def test_check_tells_what_works_and_what_does_not(mail: MailPair) -> None:
    """Logins, capabilities and folders, each with advice where it is wrong."""
    good = account(imap_port=mail.imap_port, smtp_port=mail.smtp_port)
    checks = [one async for one in EmailChecker(good, Workbench().tools).check(None)]
    assert [one.ok for one in checks] == [True, True, True, True]
    assert "IDLE" in checks[1].detail

    bad = account(imap_port=mail.imap_port, smtp_port=mail.smtp_port, folders=["INBOX", "没有这个"])
    folder = [one async for one in EmailChecker(bad, Workbench().tools).check(None)][3]
    assert not folder.ok
    assert folder.advice

    wrong = account(imap_port=mail.imap_port, smtp_port=mail.smtp_port, password=Secret("not this"))
    checks = [one async for one in EmailChecker(wrong, Workbench().tools).check(None)]
    assert [(one.name, one.ok) for one in checks] == [("IMAP login", False), ("SMTP login", False)]
    assert all(one.advice and "not this" not in one.detail for one in checks)


async def test_check_explains_a_server_that_is_not_there(mail: MailPair) -> None:
    """Host and port are named."""
    settings = account(imap_port=mail.imap_port, smtp_port=mail.smtp_port)
    await mail.stop()
    checks = [one async for one in EmailChecker(settings, Workbench().tools).check(None)]
    assert [one.ok for one in checks] == [False, False]
    assert all("127.0.0.1" in one.detail for one in checks)


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_certificates_are_verified(security: str, tmp_path: Path) -> None:
    """An unknown certificate is refused and named; with its authority known the mail goes out."""
    certificate, context = self_signed(tmp_path)
    taken: list[bytes] = []

    class Handler:
        async def handle_DATA(self, _server: object, _session: object, mail: Envelope) -> str:  # noqa: N802
            taken.append(bytes(mail.content or b""))
            return "250 ok"

    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(
            Handler(),
            hostname="localhost",
            tls_context=context if security == "starttls" else None,
        ),
        "127.0.0.1",
        0,
        ssl=context if security == "tls" else None,
    )
    port = server.sockets[0].getsockname()[1]
    settings = {"smtp_port": port, "smtp_security": security, "password": Secret("")}
    with pytest.raises(Unreachable, match="certificate"):
        await sent(EmailSender(account(**settings), Workbench().tools))
    sender = EmailSender(account(**settings, ca_file=str(certificate)), Workbench().tools)
    await sent(sender)
    await sender.close()
    server.close()
    assert len(taken) == 1


async def test_a_server_without_starttls_is_not_used_in_the_clear(mail: MailPair) -> None:
    """starttls is a demand, not a wish."""
    settings = account(smtp_port=mail.smtp_port, smtp_security="starttls")
    with pytest.raises(Unreachable):
        await sent(EmailSender(settings, Workbench().tools))


# --- copies and other scripts --------------------------------------------------------------------


async def test_copies_arrive_and_refused_ones_stop_nothing(mail: MailPair) -> None:
    """The receipt tells which were refused."""
    await mail.add_user("ben@home.example")
    sender = sender_for(mail)
    context = {"message_id": "q@home.example", "cc": ["ben@home.example", "nobody@home.example"]}
    receipt = await sent(sender, Reply(to=REPLY.to, text="hi", reply_context=context))
    letter = await mail.wait_for_letter("ben@home.example")
    await sender.close()
    assert letter.text.strip() == "hi"
    assert list(receipt.extra["refused_copies"]) == ["nobody@home.example"]


async def test_an_address_in_another_script_gets_its_mail(mail: MailPair) -> None:
    """By SMTPUTF8, which the server offers."""
    await mail.add_user("安娜@例子.example")
    sender = sender_for(mail)
    await sent(sender, Reply(to=Address("email", "", "安娜@例子.example"), text="你好"))
    letter = await mail.wait_for_letter("安娜@例子.example")
    await sender.close()
    assert letter.text.strip() == "你好"


async def test_without_smtputf8_such_an_address_cannot_be_reached() -> None:
    """The server's answer would be a riddle: it is said before."""
    async with answering(b"after") as port:
        sender = EmailSender(account(smtp_port=port, password=Secret("")), Workbench().tools)
        with pytest.raises(RecipientGone):
            await sent(sender, Reply(to=Address("email", "", "安娜@例子.example"), text="hi"))
        await sender.close()

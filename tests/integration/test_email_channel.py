"""A mail there and back through the whole hub: IMAP in, a conversation, SMTP out, a report in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.core import Core
from hub.store.models import AttachmentRow, Conversation, Inbox, MessageRow, NoticeRow
from sandbox.mail import File, Letter, MailPair
from tests.corekit import eventually
from tests.mailhub import answer, mail_account, mail_hub, said
from tests.mailkit import ANNA, PASSWORD, SUPPORT, simple_mail


@pytest.fixture
async def mail() -> AsyncIterator[MailPair]:
    mail = MailPair({SUPPORT: PASSWORD, ANNA: "x"})
    await mail.start()
    yield mail
    await mail.close()


@pytest.fixture
async def core(
    mail: MailPair, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Core]:
    """A process that does everything, once it reads the mailbox."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    accounts = mail_account(mail, "support", SUPPORT, PASSWORD, 'from_name = "客服"\n')
    async with mail_hub(tmp_path, accounts, "support") as core:
        yield core


def ids(letter: Letter) -> list[str]:
    return [one.strip("<>") for one in letter.references]


async def test_there_and_back_in_one_thread(mail: MailPair, core: Core) -> None:
    """A question, the answer below it, and the customer's next mail in the same conversation."""
    question = await mail.send_as(
        ANNA, SUPPORT, "退货", "我要退货。", name="安娜", files=[File("a.txt", "text/plain", b"hi")]
    )
    (first,) = await said(1)
    conversation = await Conversation.get(id=first.conversation_id)
    (file,) = await AttachmentRow.filter(message_id=first.id)
    await answer(core, conversation, "好的，请寄回。")
    reply = await mail.wait_for_letter(ANNA, timeout=40)
    await mail.send_as(ANNA, SUPPORT, "Re: 退货", "已寄出。", answering=reply)
    messages = await said(3)

    assert reply.subject == "Re: 退货"
    assert reply.text.strip() == "好的，请寄回。"
    assert ids(reply) == [question.message_id.strip("<>")]
    assert [(one.seq, one.direction) for one in messages] == [
        (1, "inbound"),
        (2, "outbound"),
        (3, "inbound"),
    ]
    assert {one.conversation_id for one in messages} == {conversation.id}
    assert (file.state, file.size_bytes) == ("stored", 2)
    await eventually(lambda: _status_is(messages[1], "sent"), timeout=40)


async def _status_is(message: MessageRow, status: str) -> bool:
    return (await MessageRow.get(id=message.id)).status == status


async def test_a_report_fails_the_reply_that_it_is_about(mail: MailPair, core: Core) -> None:
    """And opens no conversation."""
    await mail.send_as(ANNA, SUPPORT, "hello", "hello")
    (first,) = await said(1)
    await answer(core, await Conversation.get(id=first.conversation_id), "hi")
    reply = await mail.wait_for_letter(ANNA, timeout=40)
    own = reply.message_id.strip("<>")
    report = (
        f"From: MAILER-DAEMON@home.example\r\nTo: {SUPPORT}\r\nSubject: failed\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\n\r\nnot delivered\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        f"Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; {ANNA}\r\nAction: failed\r\n"
        "Status: 5.2.2\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        f"Message-ID: <{own}>\r\n\r\n--b--\r\n"
    )
    await mail.send_raw("mailer-daemon@home.example", SUPPORT, report.encode())
    (outbound,) = await said(1, direction="outbound")
    await eventually(lambda: _status_is(outbound, "failed"), timeout=40)
    assert await Conversation.all().count() == 1


async def test_a_mailbox_read_twice_is_filed_once(mail: MailPair, core: Core) -> None:
    """A new UIDVALIDITY makes the listener read again; the messages are known."""
    letters = [await mail.send_as(ANNA, SUPPORT, f"mail {n}", f"text {n}") for n in range(3)]
    await said(3)
    mail.wipe(SUPPORT)
    for letter in letters:
        await mail.imap.deliver(SUPPORT, letter.raw)
    await mail.send_as(ANNA, SUPPORT, "mail 3", "text 3")
    await said(4)
    assert await Inbox.all().count() == 7
    assert await MessageRow.all().count() == 4


async def test_a_hostile_mail_does_not_stop_the_next(mail: MailPair, core: Core) -> None:
    """It is parsed apart, and shown as what it is."""
    nested = b"".join(
        b'--b%d\r\nContent-Type: multipart/mixed; boundary="b%d"\r\n\r\n' % (n, n + 1)
        for n in range(60)
    )
    bomb = b'From: x@y.example\r\nContent-Type: multipart/mixed; boundary="b0"\r\n\r\n' + nested
    for raw in (bomb, b"\xff\xfe\x00 no mail at all", simple_mail(1)):
        await mail.imap.deliver(SUPPORT, raw)
    messages = await said(3)
    assert sorted(one.kind for one in messages) == ["text", "unsupported", "unsupported"]


async def test_a_bounce_says_why_and_a_complaint_is_told(mail: MailPair, core: Core) -> None:
    """A server without standards: the reply fails, its customer is gone; the complaint stands there, too."""
    await mail.send_as(ANNA, SUPPORT, "hello", "hello")
    (first,) = await said(1)
    await answer(core, await Conversation.get(id=first.conversation_id), "hi")
    reply = await mail.wait_for_letter(ANNA, timeout=40)
    own = reply.message_id
    bounce = (
        f"Return-Path: <>\r\nFrom: MAILER-DAEMON@home.example\r\nTo: {SUPPORT}\r\n"
        "Subject: failure notice\r\n\r\n"
        f"I could not deliver your mail to:\r\n<{ANNA}>: 550 user unknown\r\n\r\nMessage-ID: {own}\r\n"
    )
    await mail.send_raw("mailer-daemon@home.example", SUPPORT, bounce.encode())
    (outbound,) = await said(1, direction="outbound")
    await eventually(lambda: _status_is(outbound, "failed"), timeout=40)
    failed = await MessageRow.get(id=outbound.id)
    complaint = (
        "From: fbl@provider.example\r\nContent-Type: multipart/report; report-type=feedback-report; "
        "boundary=b\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        f"Feedback-Type: abuse\r\nOriginal-Rcpt-To: {ANNA}\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {own}\r\n\r\n--b--\r\n"
    )
    await mail.send_raw("fbl@provider.example", SUPPORT, complaint.encode())
    await eventually(lambda: NoticeRow.filter(kind="complaint").exists(), timeout=40)
    notice = await NoticeRow.get(kind="complaint")
    assert failed.body["error"]["code"] == "recipient_gone"
    assert notice.conversation_id == first.conversation_id
    assert await Conversation.all().count() == 1

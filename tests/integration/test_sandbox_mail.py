"""The mail pair over real sockets, with the clients that the hub uses."""

import asyncio
from collections.abc import AsyncIterator
from email.message import EmailMessage

import aioimaplib
import aiosmtplib
import pytest

from sandbox.imap_fake import Command, FakeImapServer, Hangup
from sandbox.mail import DROP, File, MailPair, read_letter

SUPPORT = "support@shop.example"
ANNA = "anna@home.example"
PASSWORD = "correct horse"


@pytest.fixture
async def mail() -> AsyncIterator[MailPair]:
    mail = MailPair({SUPPORT: PASSWORD})
    await mail.start()
    yield mail
    await mail.close()


async def logged_in(mail: MailPair) -> aioimaplib.IMAP4:
    client = aioimaplib.IMAP4("127.0.0.1", mail.imap_port, timeout=5)
    await client.wait_hello_from_server()
    assert (await client.login(SUPPORT, PASSWORD))[0] == "OK"
    assert (await client.select("INBOX"))[0] == "OK"
    return client


async def fetched(client: aioimaplib.IMAP4, uid: int) -> bytes:
    _, lines = await client.uid("fetch", str(uid), "(BODY.PEEK[])")
    return bytes(next(line for line in lines if isinstance(line, bytearray)))


async def uid_validity(client: aioimaplib.IMAP4) -> bytes:
    _, lines = await client.select("INBOX")
    return next(line for line in lines if b"UIDVALIDITY" in line)


async def submit(mail: MailPair, message: EmailMessage, password: str = PASSWORD) -> None:
    await aiosmtplib.send(
        message,
        hostname="127.0.0.1",
        port=mail.smtp_port,
        username=SUPPORT,
        password=password,
        start_tls=False,
        local_hostname="hub.example",
    )


def written(to: str = ANNA, subject: str = "Re: 退货") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SUPPORT, to, subject
    message["Message-ID"] = "<answer-1@shop.example>"
    message.set_content("好的，请寄回。")
    return message


# There and back ----------------------------------------------------------


async def test_a_customers_mail_wakes_a_client_in_idle(mail: MailPair) -> None:
    """Delivered, pushed, and read byte for byte."""
    client = await logged_in(mail)
    idle = await client.idle_start(timeout=10)

    letter = await mail.send_as(ANNA, SUPPORT, "退货", "我要退货。", name="安娜")
    pushed = await client.wait_server_push(timeout=5)
    client.idle_done()
    await asyncio.wait_for(idle, 5)
    raw = await fetched(client, 101)
    await client.logout()

    assert b"1 EXISTS" in pushed
    assert raw.endswith(letter.raw)
    assert (
        read_letter(raw, number=1, at=0, direction="received", recipients=[SUPPORT]).text
        == "我要退货。"
    )


async def test_an_answer_reaches_the_customers_mailbox(mail: MailPair) -> None:
    """Sent by SMTP with a login, found in the mailbox of the customer."""
    await mail.add_user(ANNA)

    await submit(mail, written())
    letter = await mail.wait_for_letter(ANNA)

    assert (letter.subject, letter.text) == ("Re: 退货", "好的，请寄回。")
    assert letter.message_id == "<answer-1@shop.example>"


async def test_a_customer_answers_in_the_same_thread(mail: MailPair) -> None:
    """In-Reply-To and References stay whole, however long the Message-ID is."""
    long_id = f"<{'a' * 120}@shop.example>"
    await mail.add_user(ANNA)
    question = await mail.send_raw(SUPPORT, ANNA, f"Message-ID: {long_id}\r\n\r\nhi".encode())
    received = mail.letters(ANNA)[-1]

    answer = await mail.send_as(ANNA, SUPPORT, "Re: hi", "yes", answering=received)
    third = await mail.send_as(SUPPORT, ANNA, "Re: hi", "fine", answering=answer)

    assert question.message_id == long_id
    assert answer.in_reply_to == long_id
    assert third.references == (long_id, answer.message_id)
    assert f"In-Reply-To: {long_id}\r\n".encode() in answer.raw


async def test_files_and_html_arrive(mail: MailPair) -> None:
    """A customer's attachment keeps its Chinese name and its bytes."""
    file = File("发票.pdf", "application/pdf", b"%PDF-1.7 \0\xff")

    await mail.send_as(ANNA, SUPPORT, "发票", "见附件", html="<p>见附件</p>", files=[file])

    received = mail.letters(SUPPORT)[-1]
    assert received.files == (file,)
    assert received.text == "见附件"


async def test_a_plus_address_belongs_to_its_owner(mail: MailPair) -> None:
    """Mail for support+case17@ is found in support@."""
    await mail.send_as(ANNA, "support+case17@shop.example", "hi", "hi")

    assert await mail.imap.count(SUPPORT) == 1


# Refusals ----------------------------------------------------------------


async def test_a_wrong_password_is_refused(mail: MailPair) -> None:
    """By SMTP and by IMAP."""
    client = aioimaplib.IMAP4("127.0.0.1", mail.imap_port, timeout=5)
    await client.wait_hello_from_server()

    assert (await client.login(SUPPORT, "wrong"))[0] == "NO"
    with pytest.raises(aiosmtplib.SMTPAuthenticationError):
        await submit(mail, written(), password="wrong")
    await client.logout()


async def test_an_unknown_recipient_is_refused(mail: MailPair) -> None:
    """550 5.1.1, as a real server says."""
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await submit(mail, written(to="nobody@home.example"))

    assert refused.value.recipients[0].code == 550


async def test_mail_without_a_login_is_refused(mail: MailPair) -> None:
    """530, before anything is said."""
    await mail.add_user(ANNA)

    with pytest.raises(aiosmtplib.SMTPSenderRefused) as refused:
        await aiosmtplib.send(written(), hostname="127.0.0.1", port=mail.smtp_port, start_tls=False)

    assert refused.value.code == 530


async def test_it_is_known_when_a_client_watches(mail: MailPair) -> None:
    """Not before it has selected the folder."""
    with pytest.raises(TimeoutError):
        await mail.wait_until_watched(SUPPORT, timeout=0.05)
    client = await logged_in(mail)

    await mail.wait_until_watched(SUPPORT, timeout=1)

    await client.logout()


# Faults ------------------------------------------------------------------


async def test_a_refusal_can_be_ordered(mail: MailPair) -> None:
    """Once, with the given code; then all is well again."""
    await mail.add_user(ANNA)
    mail.fail_smtp("data", "451 4.3.0 try again later")

    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await submit(mail, written())
    await submit(mail, written())

    assert refused.value.code == 451
    assert len(mail.letters(ANNA)) == 1


@pytest.mark.parametrize("stage,taken", [("data", 0), ("after_data", 1)])
async def test_a_lost_answer_hides_whether_the_mail_was_taken(
    mail: MailPair, stage: str, taken: int
) -> None:
    """The sender sees the same broken connection both times."""
    await mail.add_user(ANNA)
    mail.fail_smtp(stage, DROP)  # type: ignore[arg-type]

    with pytest.raises(aiosmtplib.SMTPException):
        await submit(mail, written())

    assert len(mail.letters(ANNA)) == taken


async def test_a_restart_keeps_ports_and_mail(mail: MailPair) -> None:
    """A client that comes back finds the same mailbox, not a new one."""
    await mail.send_as(ANNA, SUPPORT, "before", "1")
    client = await logged_in(mail)
    before, ports = await uid_validity(client), (mail.imap_port, mail.smtp_port)
    await client.logout()

    await mail.stop()
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", ports[0])
    await mail.start()
    client = await logged_in(mail)
    after = await uid_validity(client)
    raw = await fetched(client, 101)
    await client.logout()

    assert (mail.imap_port, mail.smtp_port) == ports
    assert after == before
    assert b"Subject: before" in raw


async def test_a_wiped_mailbox_has_another_uid_validity(mail: MailPair) -> None:
    """And it is empty."""
    await mail.send_as(ANNA, SUPPORT, "old", "1")
    client = await logged_in(mail)
    before = await uid_validity(client)

    mail.wipe(SUPPORT)
    client = await logged_in(mail)
    after = await uid_validity(client)
    await client.logout()

    assert after != before
    assert await mail.imap.count(SUPPORT) == 0


async def test_connections_can_be_cut(mail: MailPair) -> None:
    """A client in the middle of something sees the end of the stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", mail.imap_port)
    await reader.readline()

    mail.drop_all()

    assert await asyncio.wait_for(the_end_of(reader), 5)
    writer.close()


async def the_end_of(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


# The scripted server -----------------------------------------------------


@pytest.fixture
async def fake() -> AsyncIterator[FakeImapServer]:
    fake = FakeImapServer(mails=[b"Subject: one\r\n\r\n1\r\n", b"Subject: two\r\n\r\n2\r\n"])
    await fake.start()
    yield fake
    await fake.stop()


async def connected(fake: FakeImapServer) -> aioimaplib.IMAP4:
    client = aioimaplib.IMAP4("127.0.0.1", fake.port, timeout=1)
    await client.wait_hello_from_server()
    await client.login("u", "p")
    return client


async def test_the_fake_behaves_until_it_is_told_otherwise(fake: FakeImapServer) -> None:
    """Search, fetch and IDLE work with the hub's IMAP client."""
    client = await connected(fake)
    await client.select("INBOX")
    _, found = await client.uid_search("UID 2:*", charset=None)
    raw = await fetched(client, 2)
    idle = await client.idle_start(timeout=5)
    await fake.tell(b"* 3 EXISTS\r\n")
    pushed = await client.wait_server_push(timeout=5)
    client.idle_done()
    await asyncio.wait_for(idle, 5)
    await client.logout()

    assert found[0] == b"2"
    assert raw == b"Subject: two\r\n\r\n2\r\n"
    assert pushed == [b"3 EXISTS"]


async def test_answers_can_be_scripted_by_turn(fake: FakeImapServer) -> None:
    """The first SELECT is refused, the second hangs up, the third is as usual."""

    async def hang_up(command: Command) -> bytes:
        raise Hangup

    fake.script = {"SELECT": [b"TAG NO Unsafe Login\r\n", hang_up]}
    client = await connected(fake)
    first = (await client.select("INBOX"))[0]
    with pytest.raises((TimeoutError, aioimaplib.Abort)):
        await asyncio.wait_for(client.select("INBOX"), 0.5)
    again = await connected(fake)
    third = (await again.select("INBOX"))[0]
    await again.logout()

    assert (first, third) == ("NO", "OK")


async def test_bytes_can_come_in_crumbs(fake: FakeImapServer) -> None:
    """One byte at a time is still the same mail."""
    fake.piece_bytes = 1
    client = await connected(fake)
    await client.select("INBOX")

    assert await fetched(client, 1) == b"Subject: one\r\n\r\n1\r\n"
    await client.logout()

"""What whole mails become: messages, their threads, and receipts for mails of ours."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.model import Ignored, Message, Receipt
from tests.mailkit import PLAIN, SUPPORT, message, multipart, results


def mail(*fields: str, body: str = "hello") -> bytes:
    head = "".join(f"{field}\r\n" for field in ("From: a@b.example", *fields))
    return f"{head}\r\n{body}\r\n".encode()


def test_one_message_id_with_two_bodies_is_two_messages() -> None:
    """Broken form mailers use one id for ever; a copy with other line ends is the same mail."""
    first = message(mail("Message-ID: <1@x>"))
    again = message(b"Received: by other\r\n" + mail("Message-ID: <1@x>").replace(b"\r\n", b"\n"))
    other = message(mail("Message-ID: <1@x>", body="something else"))
    assert first.dedupe_key == again.dedupe_key != other.dedupe_key


def test_without_an_id_the_content_is_the_key() -> None:
    """Deterministic, and different for different mails of one second."""
    one = mail("Date: Fri, 2 Jan 2026 10:00:00 +0000", "Subject: a")
    two = mail("Date: Fri, 2 Jan 2026 10:00:00 +0000", "Subject: b")
    assert message(one).dedupe_key == message(one).dedupe_key != message(two).dedupe_key


def test_threads_are_hinted_from_the_nearest_mail_to_the_root() -> None:
    """In-Reply-To, then References backwards; every id is remembered."""
    found = message(
        mail("Message-ID: <4@x>", "In-Reply-To: <3@x>", "References: <1@x> <2@x> <3@x>")
    )
    assert found.thread_hints == ("3@x", "2@x", "1@x")
    assert found.conversation.thread_key == "1@x"
    assert set(found.known_ids) == {"1@x", "2@x", "3@x", "4@x"}
    assert found.in_reply_to == "3@x"
    assert found.reply_context["message_id"] == "4@x"
    assert found.reply_context["references"] == ["1@x", "2@x", "3@x"]


def test_a_mail_alone_begins_its_own_thread() -> None:
    """By its id, or by a key made from it."""
    assert message(mail("Message-ID: <1@x>")).conversation.thread_key == "1@x"
    assert (message(mail()).conversation.thread_key or "").startswith("mail:sha256:")


@pytest.mark.parametrize(
    "fields, generated, silent",
    [
        ((), False, False),
        (("Auto-Submitted: no",), False, False),
        (("Auto-Submitted: auto-replied; owner-email=x",), True, True),
        (("Auto-Submitted: AUTO-GENERATED",), True, True),
        (("X-Autoreply: yes",), True, True),
        (("Precedence: auto_reply",), True, True),
        (("Precedence: bulk",), False, True),
        (("List-Id: <x.y>",), False, True),
        (("X-Auto-Response-Suppress: DR, OOF, AutoReply",), False, True),
        (("X-Auto-Response-Suppress: DR",), False, False),
        (("Return-Path: <>",), False, True),
        (("X-Loop: x",), False, True),
    ],
)
def test_automatic_mail(fields: tuple[str, ...], generated: bool, silent: bool) -> None:
    """Written by a machine, and not to be answered by one: two flags."""
    found = message(mail(*fields))
    assert found.extra["is_auto_generated"] is generated
    assert found.extra["suppress_auto_reply"] is silent


@pytest.mark.parametrize(
    "sender", ["mailer-daemon@x.example", "no-reply@x.example", "donotreply@x.example", SUPPORT]
)
def test_senders_that_nobody_answers(sender: str) -> None:
    """Machines' addresses, and our own."""
    found = message(mail().replace(b"a@b.example", sender.encode()))
    assert found.extra["suppress_auto_reply"] is True


OWN = "hub.msg_1.0123456789@shop.example"


def report(action: str, status: str = "5.1.1", original: str = OWN) -> bytes:
    return multipart(
        "report; report-type=delivery-status",
        PLAIN,
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
        + f"Final-Recipient: RFC822; A@b.example\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"\r\nOriginal-Recipient: rfc822;c@d.example\r\nAction: {action}\r\nStatus: {status}\r\n"
        .encode(),
        f"Content-Type: message/rfc822\r\n\r\nMessage-ID: <{original}>\r\nSubject: cut".encode(),
    )  # fmt: skip


def test_a_report_on_our_mail_is_a_receipt_for_each_recipient() -> None:
    """Never a conversation."""
    found = results(report("failed"))
    assert all(isinstance(one, Receipt) for one in found)
    assert [(r.status, r.external_id, r.code) for r in found if isinstance(r, Receipt)] == [
        ("failed", OWN, "5.1.1"),
        ("failed", OWN, "5.1.1"),
    ]
    assert [r.address.value for r in found if isinstance(r, Receipt) and r.address] == [
        "a@b.example",
        "c@d.example",
    ]


def test_reports_of_other_kinds() -> None:
    """Delivered is a receipt, delayed is nothing yet, a report on another's mail is shown."""
    (delivered, _) = results(report("delivered", "2.0.0"))
    assert isinstance(delivered, Receipt)
    assert delivered.status == "delivered"
    (delayed,) = results(report("delayed", "4.0.0"))
    assert isinstance(delayed, Ignored)
    foreign = message(report("failed", original="x@other.example"))
    assert foreign.extra["is_bounce"] is True


def test_our_own_copies_are_left_alone_but_only_ours() -> None:
    """The id alone does not make a mail ours: a customer may quote it."""
    own = mail(f"Message-ID: <{OWN}>").replace(b"a@b.example", SUPPORT.encode())
    (left,) = results(own)
    assert isinstance(left, Ignored)
    assert isinstance(results(mail(f"Message-ID: <{OWN}>"))[0], Message)


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Fri, 32 Jan 2026 99:99:99 +9999", "Fri, 2 Jan 2099 10:00:00 +0000"]
)
def test_without_a_sane_date_the_arrival_counts(date: str) -> None:
    """As the server noted it."""
    found = message(mail(f"Date: {date}"), internal_date="2026-11-20T08:00:00+00:00")
    assert found.sent_at.isoformat() == "2026-11-20T08:00:00+00:00"


def test_an_error_in_the_parser_costs_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown as unreadable, with the reason."""

    def broken(_raw: bytes) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("normalizers.email.read_tree", broken)
    found = message(mail())
    assert found.kind == "unsupported"
    assert "too deep" in found.extra["reason"]


@given(st.binary(max_size=2000))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_message(raw: bytes) -> None:
    """Whatever is in the mailbox."""
    assert results(raw)
    assert results(b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=a\r\n" + raw)


def test_only_the_first_mail_of_a_thread_says_where_answers_go() -> None:
    """A mail that names another cannot lead the answers to an address of its own."""
    first = b"From: ann@x.example\r\nReply-To: form@x.example\r\nMessage-ID: <1@x>\r\n\r\nhello\r\n"
    later = first.replace(b"Message-ID: <1@x>", b"Message-ID: <2@x>\r\nIn-Reply-To: <1@x>")
    assert message(first).reply_context["reply_to"] == "form@x.example"
    assert message(later).reply_context["reply_to"] is None

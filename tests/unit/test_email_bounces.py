"""Bounces in the words of many servers, complaints and read receipts."""

from typing import Any

import pytest

from hub.model import Message, Notice, Receipt
from tests.mailkit import message, results

OWN = "hub.msg_01h455vb4pex5vsknk084sn02q.0a1b2c3d4e@shop.example"
FROM_A_SERVER = b"Return-Path: <>\r\nFrom: Mail Delivery System <mailer-daemon@mx.example>\r\n"


def returned(text: str, subject: str = "Undelivered Mail Returned to Sender") -> bytes:
    """A bounce that follows no standard: words, then the header of our mail."""
    return (
        FROM_A_SERVER
        + f"To: support@shop.example\r\nSubject: {subject}\r\n\r\n{text}\r\n\r\n".encode()
        + f"--- header of the mail ---\r\nMessage-ID: <{OWN}>\r\nSubject: Re: order\r\n".encode()
    )


@pytest.mark.parametrize(
    "text, reason",
    [
        (
            "The following address failed:\r\n<anna@home.example>:\r\n550 user unknown",
            "user_unknown",
        ),
        (
            "Hi. This is the qmail-send program.\r\n<anna@home.example>:\r\nmailbox is full",
            "over_quota",
        ),
        ("<anna@home.example>: host mx said: 554 message rejected as spam", "spam"),
        ("<anna@home.example>: Host or domain name not found.", "domain_error"),
        ("无法投递到 anna@home.example，该用户不存在，退回。", "user_unknown"),
    ],
)
def test_a_bounce_in_own_words_fails_the_very_mail(text: str, reason: str) -> None:
    """Servers that know no standard are understood, too."""
    (found,) = results(returned(text))
    assert isinstance(found, Receipt)
    assert (found.status, found.external_id) == ("failed", OWN)
    assert found.extra["reason"] == reason
    assert found.is_recipient_gone is (reason == "user_unknown")


def test_a_warning_is_no_failure() -> None:
    """The server goes on trying: nothing is decided."""
    text = (
        "Warning: message still undelivered after 4 hours. Will keep trying until it is 5 days old."
    )
    assert [type(one).__name__ for one in results(returned(text))] == ["Ignored"]


@pytest.mark.parametrize(
    "status, permanent", [("5.1.1", True), ("5.2.2", True), ("4.2.2", False), ("4.4.7", False)]
)
def test_permanent_and_transient_are_told_apart(status: str, permanent: bool) -> None:
    """A full mailbox may take mail tomorrow."""
    raw = (
        FROM_A_SERVER + b'Content-Type: multipart/report; boundary="b"\r\n\r\n--b\r\n\r\nsorry\r\n'
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n"
        b"Final-Recipient: rfc822; anna@home.example\r\nAction: failed\r\nStatus: "
        + status.encode()
        + b"\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <"
        + OWN.encode()
        + b">\r\n--b--"
    )
    (found,) = results(raw)
    assert isinstance(found, Receipt)
    assert found.extra["permanent"] is permanent


def test_a_person_who_quotes_a_bounce_sends_no_bounce() -> None:
    """A customer asks about a bounce: that is a message."""
    raw = (
        b"From: anna@home.example\r\nSubject: your mail\r\n\r\nI got this:\r\n"
        b"> <shop@x.example>: 550 user unknown\r\n"
    )
    found = message(raw)
    assert found.extra["is_bounce"] is False


def test_an_out_of_office_of_a_server_is_no_bounce() -> None:
    """A null sender alone proves nothing: answering machines use it as they should (RFC 3834)."""
    raw = (
        b"Return-Path: <>\r\nFrom: anna@home.example\r\nAuto-Submitted: auto-replied\r\n"
        b"Subject: Out of office\r\n\r\nI am back on Monday.\r\n"
    )
    found = message(raw)
    assert (found.extra["is_bounce"], found.extra["is_auto_generated"]) == (False, True)


def arf(original: str = OWN, **fields: str) -> bytes:
    lines = {"Feedback-Type": "abuse", "User-Agent": "Provider/1", "Version": "1"} | fields
    report = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return (
        b'From: fbl@provider.example\r\nContent-Type: multipart/report; report-type=feedback-report; '
        b'boundary="b"\r\n\r\n--b\r\n\r\nThis is an abuse report.\r\n'
        b"--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        + report.encode()
        + b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        + f"Message-ID: <{original}>\r\n\r\nx\r\n--b--".encode()
    )  # fmt: skip


def test_a_complaint_is_a_notice_in_its_conversation() -> None:
    """Somebody pressed "this is spam" on our reply."""
    (found,) = results(arf(Original_Rcpt_To="<anna@home.example>"))
    assert isinstance(found, Notice)
    assert (found.kind, found.thread_hints, found.external_id) == ("complaint", (OWN,), OWN)
    assert found.sender is not None
    assert found.sender.address.value == "anna@home.example"
    assert found.extra["feedback_type"] == "abuse"


def test_a_complaint_about_nobody_known_stands_alone() -> None:
    """Providers leave the recipient out; the owner is told all the same."""
    (found,) = results(arf("foreign@x.example"))
    assert isinstance(found, Notice)
    assert (found.sender, found.conversation, found.thread_hints) == (None, None, ())


@pytest.mark.parametrize("disposition, read", [("displayed", True), ("deleted", False)])
def test_a_read_receipt_is_a_receipt(disposition: str, read: bool) -> None:
    """RFC 8098: only "displayed" says that somebody saw the mail."""
    raw = (
        b"From: anna@home.example\r\nContent-Type: multipart/report; "
        b'report-type=disposition-notification; boundary="b"\r\n\r\n--b\r\n\r\nread\r\n'
        b"--b\r\nContent-Type: message/disposition-notification\r\n\r\n"
        b"Final-Recipient: rfc822;anna@home.example\r\nOriginal-Message-ID: <"
        + OWN.encode()
        + b">\r\nDisposition: manual-action/MDN-sent-manually; "
        + disposition.encode()
        + b"\r\n\r\n--b--"
    )
    (found,) = results(raw)
    expected: type[Any] = Receipt if read else Message
    assert isinstance(found, expected)
    assert not isinstance(found, Receipt) or (found.status, found.external_id) == ("read", OWN)

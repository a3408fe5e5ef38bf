"""Whether the sender is who they say, and where answers may go because of it."""

import pytest

from normalizers.email.headers import read_block
from normalizers.email.trust import Trust, trust_in
from tests.mailkit import account, event, normalize_for

MX = "mx.shop.example"
ANNA = "anna@home.example"


def found(*fields: str, sender: str = ANNA, authserv: str = MX) -> Trust:
    raw = "".join(f"{field}\r\n" for field in fields).encode() + b"\r\n"
    headers, _ = read_block(raw, 0, len(raw))
    return trust_in(headers, sender, authserv)


@pytest.mark.parametrize(
    "results, verdict",
    [
        ("spf=pass smtp.mailfrom=anna@home.example; dkim=pass header.d=home.example", "pass"),
        ("dmarc=pass (p=none dis=none) header.from=home.example", "pass"),
        (
            "dkim=pass (2048-bit key; unprotected) header.d=home.example header.i=@home.example",
            "pass",
        ),
        ("dkim=pass header.d=mail.home.example", "pass"),
        (
            "dkim=pass header.d=lists.example; spf=pass smtp.mailfrom=bounce@lists.example",
            "unknown",
        ),
        ("dmarc=fail header.from=home.example; dkim=pass header.d=evil.example", "fail"),
        ("spf=softfail smtp.mailfrom=home.example", "fail"),
        ("dkim=none; spf=none", "unknown"),
        ("spf=pass smtp.mail=anna@home.example;", "pass"),  # 163 ends so, and says "mail"
        ("none", "unknown"),
        ("((((", "unknown"),
    ],
)
def test_verdicts(results: str, verdict: str) -> None:
    """A pass counts only for the domain in From."""
    assert found(f"Authentication-Results: {MX}; {results}").verdict == verdict


def test_what_others_write_is_not_believed() -> None:
    """Anybody can put such a field into a mail: only the topmost of the trusted server counts."""
    forged = "Authentication-Results: mx.evil.example; dmarc=pass header.from=home.example"
    assert found(forged) == Trust()
    below = f"Authentication-Results: {MX}; dmarc=pass header.from=home.example"
    assert found(f"Authentication-Results: {MX}; dmarc=fail", below).verdict == "fail"
    assert found(below, authserv="") == Trust()


def test_microsoft_does_not_say_who_it_is() -> None:
    """Its field has no name in front; the setting names it all the same."""
    field = (
        "Authentication-Results: spf=pass (sender IP is 1.2.3.4) smtp.mailfrom=home.example; "
        "dkim=pass (signature was verified) header.d=home.example;dmarc=pass action=none "
        "header.from=home.example;compauth=pass reason=100"
    )
    assert found(field, authserv="protection.outlook.com").verdict == "pass"
    assert found(field).verdict == "unknown"


def test_a_forged_sender_is_shown_and_led_nowhere() -> None:
    """No machine answers it, and its copies get nothing."""
    raw = (
        f"Authentication-Results: {MX}; dmarc=fail header.from=home.example\r\n"
        f"From: {ANNA}\r\nTo: support@shop.example\r\nCc: eve@elsewhere.example\r\n"
        "In-Reply-To: <a@b>\r\nSubject: s\r\n\r\nhello\r\n"
    ).encode()
    (message,) = normalize_for(event(raw), account(trusted_authserv=MX))
    assert message.extra["sender_trust"] == "fail"
    assert message.extra["suppress_auto_reply"] is True
    assert message.reply_context["cc"] == []


def test_copies_are_kept_without_us_and_without_the_sender() -> None:
    """Our address counts as ours with a tag, too."""
    raw = (
        f"From: Anna <{ANNA}>\r\nTo: support@shop.example, Ben <ben@x.example>\r\n"
        f"Cc: support+abcdefghijklmnop@shop.example, {ANNA.upper()}, carl@x.example\r\n\r\nhello\r\n"
    ).encode()
    (message,) = normalize_for(event(raw), account())
    assert message.reply_context["cc"] == ["ben@x.example", "carl@x.example"]


def test_tags_are_read_where_relays_leave_them() -> None:
    """Only ours, and only where the account uses them."""
    tag = "abcdefghijklmnop"
    raw = (
        f"Delivered-To: support+{tag}@shop.example\r\nFrom: {ANNA}\r\nTo: x@shop.example\r\n"
        f"Cc: other+{tag}@shop.example\r\nReply-To: eve@elsewhere.example\r\n"
        "Subject: Re: order [#ABCDEFGHIJ]\r\n\r\nhello\r\n"
    ).encode()
    secret = {"tag_secret": "0123456789abcdef"}
    (tagged,) = normalize_for(event(raw), account(tags=["address", "subject"], **secret))
    assert tagged.open_hints == (f"tag:{tag}",)
    assert tagged.thread_hints == ("subject:abcdefghij",)
    assert tagged.reply_context["reply_to"] is None
    (plain,) = normalize_for(event(raw), account())
    assert (plain.open_hints, plain.thread_hints) == ((), ())

"""Mail that is posted to us, by three services and by anybody who can sign."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest

from adapters.email import EmailAdapter
from hub.channel import IntakeRequest, NotAuthentic, NotRecognised
from hub.model import Message
from hub.signing import Signer
from hub.testing import Workbench
from normalizers.email import normalize
from tests.mailkit import ANNA, NOW, SUPPORT, account, simple_mail

KEY = "whsec_" + base64.b64encode(bytes(32)).decode()
STAMP = str(int(NOW.timestamp()))
MAIL = (
    b"From: Anna <anna@home.example>\r\nTo: support@shop.example\r\nSubject: =?gbk?B?tqm1pQ==?=\r\n"
    b"Message-ID: <1@home.example>\r\nContent-Type: text/plain; charset=gbk\r\n\r\n\xc4\xe3\xba\xc3\r\n"
)
FORM = "multipart/form-data; boundary=xx"


def place(intake: str, secret: str) -> Any:
    return account(intake=intake, imap_host="", webhook_secret=secret)


def request(body: bytes, headers: Mapping[str, str], method: str = "POST") -> IntakeRequest:
    return IntakeRequest(method, "/in/email/mail", "", headers, body, NOW)


async def taken(intake: str, secret: str, asked: IntakeRequest) -> Message:
    """The one message of an authentic request."""
    where = place(intake, secret)
    intaken = await EmailAdapter(where, Workbench().tools).accept(asked)
    (event,) = intaken.events
    assert event.body == asked.body
    (found,) = normalize(event, where)
    assert isinstance(found, Message)
    return found


def form(fields: Mapping[str, bytes], files: Mapping[str, tuple[str, str, bytes]] = {}) -> bytes:
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value
        for name, value in fields.items()
    ]
    parts += [
        f'Content-Disposition: form-data; name="{name}"; filename="{file}"\r\n'.encode()
        + f"Content-Type: {kind}\r\n\r\n".encode()
        + content
        for name, (file, kind, content) in files.items()
    ]
    return b"".join(b"--xx\r\n" + part + b"\r\n" for part in parts) + b"--xx--\r\n"


def signed(body: bytes = MAIL, **changes: str) -> IntakeRequest:
    signature = Signer([KEY]).sign("id-1", int(STAMP), body)
    headers = {"webhook-id": "id-1", "webhook-timestamp": STAMP, "webhook-signature": signature}
    return request(body, headers | {"x-envelope-to": "support+x@shop.example"} | changes)


def by_mailgun(**more: bytes) -> bytes:
    signature = hmac.new(b"key", f"{STAMP}tok".encode(), hashlib.sha256).hexdigest()
    proof = {"timestamp": STAMP.encode(), "token": b"tok", "signature": signature.encode()}
    return form({"sender": ANNA.encode(), "recipient": SUPPORT.encode()} | proof | more)


BASIC = {"authorization": "Basic " + base64.b64encode(b"user:word").decode()}


# --- as it is, signed ----------------------------------------------------------------------------


async def test_a_signed_mail_is_taken_byte_for_byte() -> None:
    """Any script can post one: Standard Webhooks over the mail."""
    found = await taken("mime", KEY, signed())
    assert (found.subject, found.text) == ("订单", "你好")
    assert found.extra["envelope_to"] == "support+x@shop.example"


@pytest.mark.parametrize(
    "asked",
    [
        signed(**{"webhook-signature": "v1,AAAA"}),
        signed(**{"webhook-timestamp": str(int(STAMP) - 3600)}),
        signed(**{"webhook-id": "id-2"}),
        request(MAIL, {}),
        request(MAIL + b"x", signed().headers),
        request(MAIL, {"webhook-id": "id-1"}),
    ],
)
async def test_what_is_not_signed_is_refused(asked: IntakeRequest) -> None:
    """Missing, foreign, old, or for another mail."""
    with pytest.raises(NotAuthentic):
        await EmailAdapter(place("mime", KEY), Workbench().tools).accept(asked)


async def test_a_mailbox_that_is_read_takes_no_posts() -> None:
    """Nobody puts mail into it from outside."""
    with pytest.raises(NotAuthentic):
        await EmailAdapter(account(), Workbench().tools).accept(signed())


# --- Mailgun -------------------------------------------------------------------------------------


async def test_mailgun_posts_the_mail_itself() -> None:
    """A route that ends in "mime": other charsets survive, since the field is read as bytes."""
    found = await taken(
        "mailgun", "key", request(by_mailgun(**{"body-mime": MAIL}), {"content-type": FORM})
    )
    assert (found.subject, found.text, found.external_id) == ("订单", "你好", "1@home.example")


async def test_mailgun_posts_pieces() -> None:
    """Without "mime" the mail is put together again, its files with it."""
    headers = [
        ["From", "安娜 <anna@home.example>"],
        ["Message-Id", "<2@home.example>"],
        ["Subject", "Hi"],
    ]
    fields = {"message-headers": json.dumps(headers).encode(), "body-plain": "你好".encode()}
    body = by_mailgun(**fields)[: -len(b"--xx--\r\n")]
    body += b'--xx\r\nContent-Disposition: form-data; name="attachment-1"; filename="a.txt"\r\n'
    body += b"Content-Type: text/plain\r\n\r\nfile\r\n--xx--\r\n"
    found = await taken("mailgun", "key", request(body, {"content-type": FORM}))
    assert (found.text, found.sender.name, found.external_id) == ("你好", "安娜", "2@home.example")
    assert [(one.filename, one.content) for one in found.attachments] == [("a.txt", b"file")]


@pytest.mark.parametrize(
    "body, content_type",
    [
        (by_mailgun(token=b"other"), FORM),
        (by_mailgun(signature=b""), FORM),
        (by_mailgun(timestamp=b"1"), FORM),
        (b"", FORM),
        (b"token=a", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
    ],
)
async def test_mailgun_signs(body: bytes, content_type: str) -> None:
    """Timestamp and token, with the account's key."""
    asked = request(body, {"content-type": content_type})
    with pytest.raises(NotAuthentic):
        await EmailAdapter(place("mailgun", "key"), Workbench().tools).accept(asked)


async def test_a_repeat_of_mailgun_is_the_same_event() -> None:
    """The token is good for one event."""
    adapter = EmailAdapter(place("mailgun", "key"), Workbench().tools)
    bodies = [by_mailgun(**{"body-mime": mail}) for mail in (MAIL, simple_mail(2))]
    keys = [
        (await adapter.accept(request(body, {"content-type": FORM}))).events[0].dedupe_key
        for body in bodies
    ]
    assert keys[0] == keys[1]


# --- Postmark and SendGrid -----------------------------------------------------------------------

POSTMARK: dict[str, Any] = {
    "From": "anna@home.example",
    "To": "support+x@shop.example",
    "OriginalRecipient": "support+x@shop.example",
    "Subject": "订单",
    "Date": "Sat, 21 Nov 2026 11:00:00 +0000",
    "MessageID": "ab-12",
    "TextBody": "你好",
    "HtmlBody": '<p>你好<img src="cid:c1"></p>',
    "Headers": [{"Name": "In-Reply-To", "Value": "<a@b>"}, {"Name": "X\r\nY", "Value": "z"}],
    "Attachments": [
        {"Name": "a.png", "ContentType": "image/png", "Content": "iVBORw0KGgo=", "ContentID": "c1"}
    ],
}


async def test_postmark_posts_json() -> None:
    """Put together again; ids, files and pictures in their places."""
    body = json.dumps(POSTMARK).encode()
    found = await taken("postmark", "user:word", request(body, BASIC))
    assert (found.subject, found.text) == ("订单", "你好")
    assert found.thread_hints == ("a@b",)
    assert found.attachments[0].source["cid"] == "c1"
    assert found.extra["envelope_to"] == "support+x@shop.example"


async def test_postmark_posts_the_mail_itself() -> None:
    """With its option "Include raw email content"."""
    body = json.dumps(POSTMARK | {"RawEmail": simple_mail(7).decode()}).encode()
    found = await taken("postmark", "user:word", request(body, BASIC))
    assert found.text == "hello 7"


async def test_sendgrid_posts_the_mail_itself() -> None:
    """ "POST the raw, full MIME message": as bytes, whatever the form says of charsets."""
    envelope = json.dumps({"to": [SUPPORT], "from": ANNA}).encode()
    body = form({"email": MAIL, "envelope": envelope})
    found = await taken("sendgrid", "user:word", request(body, BASIC | {"content-type": FORM}))
    assert (found.subject, found.text) == ("订单", "你好")
    assert found.extra["envelope_from"] == ANNA


async def test_sendgrid_posts_fields_in_their_own_charsets() -> None:
    """The form's charset is not theirs."""
    fields = {
        "headers": b"From: anna@home.example\nMessage-ID: <3@home.example>\nSubject: Hi\n there",
        "text": "你好".encode("gbk"),
        "charsets": b'{"text": "gbk"}',
    }
    body = form(fields, {"attachment1": ("a.txt", "text/plain", b"file")})
    found = await taken("sendgrid", "user:word", request(body, BASIC | {"content-type": FORM}))
    assert (found.subject, found.text, found.external_id) == ("Hi there", "你好", "3@home.example")
    assert [one.filename for one in found.attachments] == ["a.txt"]


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic dXNlcjp3cm9uZw==", "Bearer dXNlcjp3b3Jk", "Basic é"]
)
@pytest.mark.parametrize("intake", ["postmark", "sendgrid"])
async def test_a_password_is_wanted(intake: str, header: str) -> None:
    """Neither service signs."""
    asked = request(b"{}", {"authorization": header})
    with pytest.raises(NotAuthentic):
        await EmailAdapter(place(intake, "user:word"), Workbench().tools).accept(asked)


@pytest.mark.parametrize(
    "intake, body",
    [
        ("postmark", b""),
        ("postmark", b"[1]"),
        ("postmark", b"[" * 100_000),
        ("sendgrid", b""),
        ("sendgrid", form({"a": b"b"})),
    ],
)
async def test_what_is_no_mail_is_refused(intake: str, body: bytes) -> None:
    """With 400: nothing that a service sends looks so."""
    asked = request(body, BASIC | {"content-type": FORM})
    with pytest.raises(NotRecognised):
        await EmailAdapter(place(intake, "user:word"), Workbench().tools).accept(asked)

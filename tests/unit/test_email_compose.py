"""What a reply becomes on the wire."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.email import EmailSender
from hub.errors import Unsupported
from hub.model import (
    Address,
    Draft,
    Link,
    Location,
    Menu,
    MenuChoice,
    Message,
    Reply,
    ReplyAttachment,
    Template,
)
from hub.testing import Workbench
from normalizers.email.bounces import OWN_ID
from outbound.email.dkim import Signer
from tests.mailkit import ANNA, SUPPORT, account, results

TO = Address("email", "", ANNA)
AT = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)
# An id as Exchange makes it: longer than a folded line.
LONG_ID = "AM0PR04MB" + "0123456789ABCDEF" * 7 + "@AM0PR04MB1234.eurprd04.prod.outlook.com"


def composed(reply: Reply, **changes: Any) -> Draft:
    (draft,) = EmailSender(account(**changes), Workbench().tools).compose(reply, [])
    return draft


def reply(**content: Any) -> Reply:
    return Reply(**{"to": TO, "text": "hello", "message_id": "msg_1", "created_at": AT} | content)


def parsed(draft: Draft) -> EmailMessage:
    assert draft.body is not None
    found = message_from_bytes(draft.body.encode("ascii"), policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def head_of(draft: Draft) -> str:
    assert draft.body is not None
    return draft.body.partition("\r\n\r\n")[0]


def as_the_hub_reads(draft: Draft) -> Message:
    """The mail read by our own normalizer, which shares no code with the writer."""
    assert draft.body is not None
    raw = draft.body.replace(f"<{SUPPORT}>", "<x@y.example>").replace(
        f"From: {SUPPORT}", "From: x@y.example"
    )
    (found,) = results(raw.encode("ascii"))
    assert isinstance(found, Message)
    return found


def test_a_reply_is_one_mail_to_the_customer() -> None:
    """Envelope, fields and text; nothing secret."""
    draft = composed(reply(text="好的，请寄回。"), from_name="客服")
    found = parsed(draft)

    assert (draft.method, draft.url) == ("SMTP", "smtp://127.0.0.1:1")
    assert draft.headers == {"from": SUPPORT, "to": ANNA}
    assert draft.role == "say"
    assert str(found["from"]) == f"客服 <{SUPPORT}>"
    assert found["to"] == ANNA
    assert found["date"].datetime == AT
    assert found.get_content().strip() == "好的，请寄回。"
    assert "Auto-Submitted" not in found


@pytest.mark.parametrize(
    "security, url",
    [("tls", "smtps://mx.example:1"), ("starttls", "smtp://mx.example:1")],
)
def test_the_url_names_the_server(security: str, url: str) -> None:
    """TLS from the first byte is smtps."""
    assert composed(reply(), smtp_host="mx.example", smtp_security=security).url == url


def test_the_same_reply_is_the_same_mail() -> None:
    """Composed again it keeps its Message-ID, its boundary and every other byte."""
    file = ReplyAttachment(filename="a.png", content=b"123", mime_type="image/png")
    first, again = composed(reply(attachments=(file,))), composed(reply(attachments=(file,)))
    other = composed(reply(attachments=(file,), message_id="msg_2"))
    assert first == again
    assert first.extra["message_id"] != other.extra["message_id"]


def test_our_ids_are_known_again_in_a_bounce() -> None:
    """Short, plain, and of the form that the normalizer looks for."""
    own = composed(reply(message_id="msg_01h455vb4pex5vsknk084sn02q")).extra["message_id"]
    assert OWN_ID.fullmatch(own)
    assert len(own) <= 64
    assert OWN_ID.fullmatch(composed(reply(message_id=None)).extra["message_id"])


def test_long_ids_stay_whole() -> None:
    """Outlook starts a new thread when a reference is folded or encoded."""
    context = {"message_id": LONG_ID, "references": ["root@x.example", LONG_ID + "2"]}
    head = head_of(composed(reply(reply_context=context)))
    assert f"In-Reply-To: <{LONG_ID}>" in head
    assert f"References: <root@x.example>\r\n <{LONG_ID}2>\r\n <{LONG_ID}>" in head
    assert "=?" not in head


def test_references_are_trimmed_in_the_middle() -> None:
    """The root and the latest stay."""
    context = {"message_id": "last@x", "references": [f"{number}@x" for number in range(100)]}
    found = parsed(composed(reply(reply_context=context)))
    ids = re.findall(r"<([^<>]+)>", str(found["references"]))
    assert len(ids) == 20
    assert (ids[0], ids[-2], ids[-1]) == ("0@x", "99@x", "last@x")


@pytest.mark.parametrize(
    "theirs, ours",
    [
        ("parcel", "Re: parcel"),
        ("Re: parcel", "Re: parcel"),
        ("回复：Re[2]: 答复: 包裹", "Re: 包裹"),
        ("AW: Antwort: Paket", "Re: Paket"),
        ("", "Re:"),
        ("Reparatur: Paket", "Re: Reparatur: Paket"),
    ],
)
def test_the_subject_has_one_re(theirs: str, ours: str) -> None:
    """Whatever clients piled up before it."""
    draft = composed(reply(reply_context={"message_id": "a@b", "subject": theirs}))
    assert str(parsed(draft)["subject"]).strip() == ours


def test_the_helpdesks_subject_wins() -> None:
    """And a first mail without one is named by its text."""
    context = {"message_id": "a@b", "subject": "parcel"}
    assert parsed(composed(reply(subject="发票", reply_context=context)))["subject"] == "发票"
    assert parsed(composed(reply(text="Your order\nis here")))["subject"] == "Your order is here"


def test_the_answer_goes_where_the_customer_wants_it() -> None:
    """Reply-To of the mail that is answered."""
    context = {"message_id": "a@b", "reply_to": "private@home.example"}
    draft = composed(reply(reply_context=context))
    assert draft.headers["to"] == "private@home.example"
    assert parsed(draft)["to"] == "private@home.example"


def test_an_explicit_answer_names_its_mail() -> None:
    """in_reply_to of the reply comes before the latest mail."""
    context = {"message_id": "latest@b", "references": ["root@b"]}
    found = parsed(composed(reply(in_reply_to="earlier@b", reply_context=context)))
    assert found["in-reply-to"] == "<earlier@b>"
    assert str(found["references"]).split() == ["<root@b>", "<earlier@b>"]


def test_html_stands_beside_the_text() -> None:
    """As alternatives; HTML alone gets words beside it."""
    both = parsed(composed(reply(html="<p>你好</p>")))
    assert [part.get_content_type() for part in both.iter_parts()] == ["text/plain", "text/html"]
    alone = parsed(composed(reply(text=None, html="<p>你好</p>")))
    assert [part.get_content_type() for part in alone.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content().strip() for part in alone.iter_parts()] == ["你好", "<p>你好</p>"]


def test_files_at_hand_are_in_the_mail() -> None:
    """Offline, where the bytes are given."""
    file = ReplyAttachment(filename="发票.pdf", content=b"%PDF-", mime_type="application/pdf")
    found = as_the_hub_reads(composed(reply(attachments=(file, file))))
    assert [(one.filename, one.content) for one in found.attachments] == [
        ("发票.pdf", b"%PDF-"),
        ("发票 (2).pdf", b"%PDF-"),
    ]


def test_files_elsewhere_leave_a_place() -> None:
    """Small drafts; the list of what to load survives storage."""
    file = ReplyAttachment(id="att_1", filename="a.pdf", size_bytes=20 << 20)
    draft = composed(reply(attachments=(file,)))
    kept = msgspec.json.decode(msgspec.json.encode(draft), type=Draft)
    (entry,) = kept.extra["attachments"]
    assert kept == draft
    assert draft.body is not None
    assert draft.body.count(entry["placeholder"]) == 1
    assert entry["id"] == "att_1"


def test_a_text_cannot_take_the_place_of_a_file() -> None:
    """A placeholder copied out of another mail is just text."""
    file = ReplyAttachment(id="att_1", filename="a.pdf")
    first = composed(reply(attachments=(file,)))
    copied = first.extra["attachments"][0]["placeholder"]
    second = composed(reply(attachments=(file,), text=copied, message_id="msg_2"))
    assert second.extra["attachments"][0]["placeholder"] != copied


@pytest.mark.parametrize(
    "content",
    [
        {"text": None},
        {"text": ""},
        {"template": Template("1")},
        {"to": Address("email", "", "not an address")},
        {"to": Address("email", "", "a@b.example\r\nRCPT TO:<x@y.example>")},
        {"to": Address("email", "", "a@b.example, c@d.example")},
        {"to": Address("email", "", "<a@b.example>")},
        {"to": Address("email", "", "unknown@invalid")},
        {"attachments": (ReplyAttachment(id="1", size_bytes=26 << 20),)},
        {"attachments": (ReplyAttachment(id="1", size_bytes=13 << 20),) * 2},
    ],
)
def test_what_no_mail_can_say_is_refused_early(content: dict[str, Any]) -> None:
    """Before anything is queued."""
    with pytest.raises(Unsupported):
        composed(reply(**content))


def test_domains_in_other_scripts_are_written_by_idna() -> None:
    """SMTP without SMTPUTF8 can carry them."""
    draft = composed(reply(to=Address("email", "", "anna@例子.example")))
    assert draft.headers["to"] == "anna@xn--fsqu00a.example"


def test_what_mail_lacks_is_written_out() -> None:
    """Menus, places and links become text, and the draft says so."""
    draft = composed(
        reply(
            text="Please",
            menu=Menu("Happy?", (MenuChoice("1", "yes"), MenuChoice("2", "no"))),
            location=Location(31.2, 121.5, "Shanghai"),
            link=Link("https://shop.example/1", "Order"),
        )
    )
    assert draft.text == (
        "Please\n\nHappy?\n1. yes\n2. no\n\nShanghai 31.2,121.5\n\nOrder\nhttps://shop.example/1"
    )
    assert draft.note == "menu written as text; location written as text; link written as text"


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
@example("a\r\nBcc: x@y.example", "b\r\n\r\nbody", 'c"\r\nX: y', "\r\n.\r\nQUIT\r\n")
@example("=?utf-8?Q?x?=", "\u2028X: y", "a\x85b.txt", "From me\n.\n..\n")
@settings(max_examples=150, deadline=None)
def test_no_value_breaks_out_of_its_place(
    subject: str, from_name: str, filename: str, text: str
) -> None:
    """Fields stay what they are, lines stay short, and all of it is ASCII with CRLF line ends."""
    file = ReplyAttachment(filename=filename, content=b"x" * 100, mime_type="text/plain")
    draft = composed(
        reply(subject=subject, text=text or "x", attachments=(file,)), from_name=from_name
    )
    assert draft.body is not None
    raw = draft.body.encode("ascii")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    names = re.findall(r"^([A-Za-z-]+):", head_of(draft), re.MULTILINE)
    assert names == ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"]


@given(ANY_TEXT, ANY_TEXT)
@settings(max_examples=150, deadline=None)
def test_subject_and_text_arrive_as_they_were(subject: str, text: str) -> None:
    """Read back by code that shares nothing with the writer; controls and outer space aside."""
    draft = composed(reply(subject=subject, text=text or "x"))
    found = as_the_hub_reads(draft)
    plain = re.sub(r"[\x01-\x1f\x7f-\x9f\u2028\u2029]+", " ", subject.replace("\x00", "\ufffd"))
    wanted = " ".join(plain.split()) or "x"
    if subject.strip() and plain.strip():
        assert (found.subject or "").split() == wanted.split()
    if text.strip() and not text.startswith("begin "):
        unix = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
        if unix.strip():
            assert found.text == unix.strip("\n").rstrip()


# --- copies, pictures, machines ------------------------------------------------------------------


def test_those_who_got_a_copy_get_one_of_the_answer() -> None:
    """In the field and in the envelope; never twice, never ourselves."""
    context = {"cc": ["ben@x.example", ANNA, SUPPORT, "ben@x.example", "no address", "a@b\r\nX: y"]}
    draft = composed(reply(reply_context=context))
    assert parsed(draft)["cc"] == "ben@x.example"
    assert draft.headers["cc"] == "ben@x.example"
    assert "cc" not in composed(reply(reply_context=context), keep_cc=False).headers


def test_a_picture_that_the_html_names_stands_in_it() -> None:
    """By its name, its id or its address at the hub; the others are attached."""
    files = (
        ReplyAttachment(filename="a b.png", content=b"1", mime_type="image/png"),
        ReplyAttachment(id="att_2", filename="c.png", content=b"2", mime_type="image/png"),
        ReplyAttachment(filename="d.pdf", content=b"3", mime_type="application/pdf"),
    )
    html = (
        '<img src="cid:a b.png"><img src="https://hub.example/v1/attachments/att_2">'
        "<p>cid:d.pdf</p>"
    )
    found = parsed(composed(reply(html=html, attachments=files)))
    related = next(part for part in found.walk() if part.get_content_type() == "multipart/related")
    names = {
        str(part["content-id"]).strip("<>"): part for part in related.walk() if part["content-id"]
    }
    shown = next(part for part in related.walk() if part.get_content_type() == "text/html")
    assert re.findall(r'src="cid:([^"]+)"', shown.get_content()) == list(names)
    assert [part.get_content_disposition() for part in names.values()] == ["inline", "inline"]
    attached = [part.get_filename() for part in found.iter_attachments()]
    assert attached == ["d.pdf"]


def test_the_answer_of_a_machine_says_so() -> None:
    """RFC 3834; a person's never does."""
    found = parsed(composed(reply(automatic=True)))
    assert found["auto-submitted"] == "auto-replied"
    assert found["x-auto-response-suppress"] == "All"
    (read,) = results(composed(reply(automatic=True)).body.encode())  # type: ignore[union-attr]
    assert getattr(read, "reason", "") or read.extra["is_auto_generated"]


def test_addresses_in_other_scripts_are_written_as_they_are() -> None:
    """RFC 6532; the server is asked for SMTPUTF8 then."""
    draft = composed(reply(to=Address("email", "", "安娜@例子.example")))
    assert draft.headers["to"] == "安娜@例子.example"
    assert "To: 安娜@例子.example\r\n" in (draft.body or "")


def test_tags_stand_where_the_settings_say() -> None:
    """The same for the whole conversation, another for each customer."""
    settings = {"tags": ["address", "subject"], "tag_secret": "0123456789abcdef"}
    first, again, other = (
        composed(reply(thread_key="t", message_id=f"msg_{number}", to=Address("email", "", to)), **settings)
        for number, to in enumerate((ANNA, ANNA, "ben@x.example"))
    )  # fmt: skip
    assert first.extra["known_ids"] == again.extra["known_ids"] != other.extra["known_ids"]
    tag = first.extra["known_ids"][0].removeprefix("tag:")
    assert parsed(first)["reply-to"] == f"support+{tag}@shop.example"
    assert str(parsed(first)["subject"]).endswith(f"[#{tag[:10].upper()}]")
    assert "reply-to" not in parsed(composed(reply()))


# Made by this very code; dkimpy 1.1.8 found it good, with t= as here, and any change to it bad.
KEY = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
-----END PRIVATE KEY-----
"""

SIGNATURE = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=shop.example;\r\n"
    b" s=sel; t=1700000000; h=from:subject:references:from:subject;\r\n"
    b" bh=VyqV/unA8yADB4nkiDcHr/4SSC+7HqBLPqgmfIeokPs=;\r\n"
    b" b=9J4c6aOdfG2e03SpzuQojDTq6ItLves7DqazPQNlg/5D4RCuJ3TZQIk+j+FeWY6ulokFCXuQ\r\n"
    b" 1xqxRWv1rkIACA==\r\n"
)


def test_a_signature_covers_the_mail() -> None:
    """Ed25519 gives the same for the same mail; another body gives another."""
    head = b"From: a@shop.example\r\nSubject: hi   there\r\nReferences: <a@b>\r\n <c@d>\r\n"
    raw = head + b"\r\nhello  world \r\n\r\n"
    signed = Signer("shop.example", "sel", KEY).signed(raw, 1700000000)
    assert signed.endswith(raw)
    assert signed.startswith(SIGNATURE)
    changed = Signer("shop.example", "sel", KEY).signed(raw.replace(b"hello", b"hallo"), 1700000000)
    assert not changed.startswith(SIGNATURE)

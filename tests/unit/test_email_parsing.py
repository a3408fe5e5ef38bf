"""How hostile and broken mail is read, piece by piece."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.html import harmless, text_of
from hub.model import Ignored, Message, Receipt
from normalizers.email.addresses import mailboxes
from normalizers.email.charsets import codec_of, decode
from normalizers.email.files import safe_name
from normalizers.email.headers import decode_words, ids_in, parameters, read_block
from normalizers.email.mime import read_tree
from tests.mailkit import SUPPORT, message, results


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


# --- charsets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data, declared, text",
    [
        ("朱镕基㊣€".encode("gb18030"), "gb2312", "朱镕基㊣€"),
        ("朱镕基㊣".encode("gbk"), "x-gbk", "朱镕基㊣"),
        ("其实是UTF-8".encode(), "gbk", "其实是UTF-8"),
        ("其实是UTF-8".encode(), "iso-8859-1", "其实是UTF-8"),
        ("這是繁體中文郵件".encode("big5hkscs"), "big5", "這是繁體中文郵件"),
        ("①②".encode("cp932"), "shift_jis", "①②"),
        ("€ “quoted”".encode("cp1252"), "iso-8859-1", "€ “quoted”"),
        ("안녕하세요".encode("cp949"), "ks_c_5601-1987", "안녕하세요"),
        (
            "你好，这是一封没有声明字符集的邮件".encode("gb18030"),
            None,
            "你好，这是一封没有声明字符集的邮件",
        ),
        ("你好，这是一封邮件".encode("gb18030"), "x-unknown", "你好，这是一封邮件"),
        ("Frösche".encode("latin-1"), None, "Frösche"),
        (b"~{VPND~}", "hz-gb-2312", "中文"),
        (b"+T2BZfQ-", "utf-7", "你好"),
        (b"+T2BZfQ-", None, "+T2BZfQ-"),
        ("你好世界，今天天气很好".encode()[:-1], "utf-8", "你好世界，今天天气很\ufffd"),
        ("你好世界，今天天气很好".encode("gb18030")[:-1], "gbk", "你好世界，今天天气很\ufffd"),
        (b"plain", "zlib", "plain"),
        (b"plain", "unicode_escape", "plain"),
        (b"", "gbk", ""),
        (b"nul\x00nul", None, "nulnul"),
        ("\ufeffbom".encode(), "utf-8", "bom"),
    ],
)
def test_charsets_are_tried_not_believed(data: bytes, declared: str | None, text: str) -> None:
    """Mislabelled, unknown, missing and broken ones."""
    assert decode(data, declared) == text


@given(st.binary(max_size=200), st.sampled_from(["gbk", "utf-7", "iso-2022-jp", "x", None, "hz"]))
def test_any_bytes_become_text_that_can_be_stored(data: bytes, declared: str | None) -> None:
    """No exception, no NUL, no lone surrogate."""
    text = decode(data, declared)
    assert "\x00" not in text
    assert text.encode("utf-8").decode("utf-8") == text


def test_names_that_are_no_charsets() -> None:
    """Codecs that are none of text are not used."""
    assert codec_of("base64") is None
    assert codec_of("../../etc") is None
    assert codec_of("GB2312") == "gb18030"


# --- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw, text",
    [
        (b"=?utf-8?B?5L2g5aW9?=", "你好"),
        (b"=?utf-8?B?5L2g5aW9?= =?utf-8?B?5L2g5aW9?=", "你好你好"),
        (b"a =?utf-8?Q?b=20c?= d", "a b c d"),
        (b"=?utf-8?B?5L2g5a?= =?utf-8?B?W9?=", "你好"),
        (b"=?UTF-8*zh?Q?=E4=BD=A0?=", "你"),
        (b"=?utf-8?Q?with space?=", "with space"),
        (b"=?utf-8?Q?what?_yes?=", "what? yes"),
        (b"=?gb2312?B?" + b64("㊣".encode("gbk")) + b"?=", "㊣"),
        (b"=?x-klingon?Q?hello?=", "hello"),
        (b"=?utf-8?B?!!!?=", ""),
        (b"=?utf-8?Q?", "=?utf-8?Q?"),
        ("你好".encode("gbk"), "你好"),
        ("=?utf-8?Q?a?= 你".encode(), "a 你"),
    ],
)
def test_encoded_words(raw: bytes, text: str) -> None:
    """Also cut in the middle of a character, and other things that are not allowed."""
    assert decode_words(raw, hint="gbk") == text


@pytest.mark.parametrize(
    "raw, kind, name, value",
    [
        (b'text/plain; charset="utf-8"', "text/plain", "charset", "utf-8"),
        (b"Text/Plain;charset=GBK;", "text/plain", "charset", "GBK"),
        (b"a/b; name*=utf-8''%E5%8F%91.pdf", "a/b", "name", "发.pdf"),
        (b"a/b; name=x.pdf; name*=utf-8''%E5%8F%91.pdf", "a/b", "name", "发.pdf"),
        (b"a/b; name*=utf-8''%E5%8F%91.pdf; name=x.pdf", "a/b", "name", "发.pdf"),
        (b"a/b; name*0*=utf-8''%E5%8F; name*1*=%91; name*2=.pdf", "a/b", "name", "发.pdf"),
        (b'a/b; name="=?utf-8?B?5Y+R?=.pdf"', "a/b", "name", "发.pdf"),
        (b"a/b; name==?utf-8?B?5Y+R?=.pdf", "a/b", "name", "发.pdf"),
        (b"a/b; name=my file.pdf; x=y", "a/b", "name", "my file.pdf"),
        (b'a/b; name="C:\\dir\\file.pdf"', "a/b", "name", "C:\\dir\\file.pdf"),
        (b'a/b; name="a\\"b"', "a/b", "name", 'a"b'),
        (b'a/b; name="a;b"', "a/b", "name", "a;b"),
        (b'a/b; name="open', "a/b", "name", "open"),
        ("a/b; name=发票.pdf".encode("gbk"), "a/b", "name", "发票.pdf"),
    ],
)
def test_parameters(raw: bytes, kind: str, name: str, value: str) -> None:
    """By RFC 2231, and in the ways that clients prefer."""
    found, pairs = parameters(raw, hint="gbk")
    assert (found, pairs[name]) == (kind, value)


@pytest.mark.parametrize(
    "raw, ids",
    [
        (b"<a@b> <c@d>", ["a@b", "c@d"]),
        (b"<a@b>,<a@b>\n <c@d>", ["a@b", "c@d"]),
        (b'Your message of "Mon" <a@b>', ["a@b"]),
        (b"<no-at-sign>", ["no-at-sign"]),
        (b"a@b", ["a@b"]),
        (b"<[abc@x]>", ["[abc@x]"]),
        (b"=?utf-8?q?=3Ca=40b=3E?= =?utf-8?q?_=3Cc=40d=3E?=", ["a@b", "c@d"]),
        (b"", []),
        (b"<" + b"a" * 600 + b"@x>", []),
    ],
)
def test_message_ids(raw: bytes, ids: list[str]) -> None:
    """Without brackets, each once; encoded by bad relays, or absurdly long."""
    assert ids_in(raw) == ids


@pytest.mark.parametrize(
    "raw, fields, body",
    [
        (b"A: 1\r\nB: 2\r\n\r\nbody", [("a", b"1"), ("b", b"2")], b"body"),
        (b"A: 1\r\n 2\r\n\t3\r\n\r\nbody", [("a", b"1 2\t3")], b"body"),
        (b"From x@y Mon\r\nA: 1\r\n\r\nbody", [("a", b"1")], b"body"),
        (b"A : 1\r\n\r\nbody", [("a", b"1")], b"body"),
        (b"A: 1\r\nno colon here\r\nB: 2\r\n\r\nbody", [("a", b"1"), ("b", b"2")], b"body"),
        (b"A: 1\r\nthe body begins\r\nat once", [("a", b"1")], b"the body begins\r\nat once"),
        (b"A: 1\n\nbody", [("a", b"1")], b"body"),
        (b"A:1", [("a", b"1")], b""),
    ],
)
def test_header_blocks(raw: bytes, fields: list[tuple[str, bytes]], body: bytes) -> None:
    """With folds, and with lines that do not belong there."""
    headers, start = read_block(raw, 0, len(raw))
    assert (headers.fields, raw[start:]) == (fields, body)


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw, found",
    [
        (b"a@b.c", [(None, "a@b.c")]),
        (b"Anna <A.B@EXAMPLE.com>", [("Anna", "A.B@example.com")]),
        (b'"Blume, Anna" <a@b.c>, x@y.z', [("Blume, Anna", "a@b.c"), (None, "x@y.z")]),
        (b"Blume, Anna <a@b.c>", [("Blume, Anna", "a@b.c")]),
        (b"a@b.c <d@e.f>", [("a@b.c", "d@e.f")]),
        (b'"a@b.c" <d@e.f>', [("a@b.c", "d@e.f")]),
        (b"<mailto:a@b.c>", [(None, "a@b.c")]),
        (b"a@b.c; d@e.f", [(None, "a@b.c"), (None, "d@e.f")]),
        (b"a@b.c (Anna)", [("Anna", "a@b.c")]),
        (b"undisclosed-recipients:;", []),
        (b"Team: a@b.c, d@e.f;", [(None, "a@b.c"), (None, "d@e.f")]),
        (b"=?utf-8?B?5L2g5aW9?= <a@b.c>", [("你好", "a@b.c")]),
        (b'"=?utf-8?B?5L2g5aW9?=" <a@b.c>', [("你好", "a@b.c")]),
        (b"=?utf-8?Q?a,b_=3Cx=40y.z=3E?= <a@b.c>", [("a,b <x@y.z>", "a@b.c")]),
        (b"=?utf-8?B?" + b64("你好 <a@b.c>".encode()) + b"?=", [("你好", "a@b.c")]),
        ("你好 <a@b.c>".encode("gbk"), [("你好", "a@b.c")]),
        ("Anna\u202ebalB <a@b.c>".encode(), [("AnnabalB", "a@b.c")]),
        ("用户@例子.中国".encode(), [(None, "用户@例子.中国")]),
        (b"Anna <a@b.c", [("Anna", "a@b.c")]),
        (b"nobody", []),
        (b"", []),
        (b"((((((a@b.c", []),
    ],
)
def test_addresses(raw: bytes, found: list[tuple[str | None, str]]) -> None:
    """Structure first, names after: no name can pretend to be an address."""
    assert [tuple(one) for one in mailboxes(raw, hint="gbk")] == found


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_address_header_is_read(raw: bytes) -> None:
    """No exception; whatever is found has both parts."""
    for one in mailboxes(raw):
        local, _, domain = one.address.rpartition("@")
        assert local
        assert domain
        (one.name or "").encode()


# --- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, safe",
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\发票.pdf", "发票.pdf"),
        ("a\x00b\r\n.txt", "a\ufffdb.txt"),
        ("gpj.\u202eexe.txt", "gpj.exe.txt"),
        ("a<b>|c?.txt", "abc.txt"),
        ("...", ""),
        ("票" * 200 + ".pdf", "票" * 83 + ".pdf"),
    ],
)
def test_file_names_are_only_names(name: str, safe: str) -> None:
    """No path, nothing invisible, not too long."""
    assert safe_name(name) == safe


def multipart(kind: str, *parts: bytes) -> bytes:
    joined = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return (
        b"From: a@b.example\r\nSubject: s\r\nContent-Type: multipart/%s; boundary=b\r\n\r\n"
        % kind.encode()
        + joined
        + b"--b--\r\n"
    )


PLAIN = b"Content-Type: text/plain\r\n\r\nplain"
RICH = b"Content-Type: text/html\r\n\r\n<p>rich</p>"
PICTURE = b"Content-Type: image/png\r\nContent-Disposition: inline\r\n\r\n\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    "raw, text, html, files",
    [
        (multipart("alternative", PLAIN, RICH), "plain", "<p>rich</p>", []),
        (multipart("alternative", b"Content-Type: text/plain\r\n\r\n \r\n", RICH), "rich",
         "<p>rich</p>", []),
        (multipart("mixed", PLAIN, PLAIN), "plain\nplain", None, []),
        (multipart("mixed", PLAIN, PICTURE, PLAIN), "plain\nplain", None, ["attachment-1.png"]),
        (multipart("mixed", RICH, PLAIN), "rich\nplain", "<p>rich</p>\n<div>plain</div>", []),
        (multipart("mixed", b'Content-Type: text/plain; name="a.txt"\r\n\r\nonly'), "only", None, []),
        (multipart("mixed", PLAIN, b'Content-Type: text/plain; name="a.txt"\r\n\r\nfile'), "plain",
         None, ["a.txt"]),
        (multipart("mixed", PLAIN, b"Content-Disposition: attachment\r\n\r\nfile"), "plain", None,
         ["attachment-1.txt"]),
        (multipart("report", PLAIN, b"Content-Type: message/delivery-status\r\n\r\nA: b"), "plain",
         None, ["attachment-1.txt"]),
        (multipart("signed", PLAIN, b"Content-Type: application/pgp-signature\r\n\r\nx"), "plain",
         None, ["attachment-1.bin"]),
    ],
)  # fmt: skip
def test_what_is_said_and_what_is_a_file(
    raw: bytes, text: str, html: str | None, files: list[str]
) -> None:
    """Alternatives, sequences, files that are the only text."""
    found = message(raw)
    assert (found.text, found.html) == (text, html)
    assert [one.filename for one in found.attachments] == files


def test_what_a_file_is_tells_its_content() -> None:
    """A picture that is called a stream of octets; a page that is called a picture stays one."""
    part = b"Content-Type: application/octet-stream\r\n\r\n\xff\xd8\xff\xe0"
    (file,) = message(multipart("mixed", PLAIN, part)).attachments
    assert (file.mime_type, file.kind, file.filename) == ("image/jpeg", "image", "attachment-1.jpg")


def test_base64_with_a_footer_and_with_holes() -> None:
    """A mailing list's footer is left out, other rubbish skipped, a cut end tolerated."""
    head = b"From: a@b.example\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    encoded = b64(b"hello world, how are you")
    assert (
        message(head + encoded + b"\r\n_____\r\nlist footer\r\n").text == "hello world, how are you"
    )
    assert message(head + encoded[:5] + b"\r\n" + encoded[5:]).text == "hello world, how are you"
    assert message(head + encoded[:-3]).text == "hello world, how are"


def test_nested_trees_are_bounded() -> None:
    """Depth and number of parts."""
    parts = multipart("mixed", *[PLAIN] * 500)
    tree = read_tree(parts)
    assert len(tree.root.children) <= 201
    assert tree.defects == ("more than 200 parts",)


# --- HTML ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "html, text",
    [
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<div>a</div>\n  <div>b <b>c</b>  d</div>", "a\nb c d"),
        ("<ul><li>x<li>y</ul>", "- x\n- y"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("<style>x{}</style><script>y()</script>hi<!-- z -->", "hi"),
        ("&lt;tag&gt; &amp; &nbsp;x", "<tag> & x"),
        ("<img alt='photo'>", "[photo]"),
        ("", ""),
        ("<div>" * 3000 + "deep", "deep"),
        ("<script>" * 300 + "<div>" * 300 + "x</script>y", "y"),
    ],
)
def test_text_of_html(html: str, text: str) -> None:
    """As a reader would see it; with and without a parser."""
    assert " ".join(text_of(html).split(" ")) == text or text_of(html).split() == text.split()


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<a href='javascript:alert(1)'>x</a>",
        "<svg/onload=alert(1)>",
        "<iframe src='https://x.example'></iframe>",
        "<form action='https://x.example'><input></form>",
        "<p style='background:url(https://x.example/p.gif)'>x</p>",
        "<img src='https://x.example/p.gif'>",
        "<img src='//x.example/p.gif'>",
        "<img src='data:text/html,<script>alert(1)</script>'>",
        "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<base href='https://x.example'>",
        "<meta http-equiv=refresh content='0;url=https://x.example'>",
        "<link rel=stylesheet href='https://x.example'>",
    ],
)
def test_html_is_harmless(html: str) -> None:
    """Nothing runs, nothing is fetched."""
    shown = (harmless(html) or "").lower()
    for bad in ("script", "onerror", "onload", "x.example", "<iframe", "<form", "style=", "alert"):
        assert bad not in shown or bad == "alert"


def test_links_and_own_pictures_stay() -> None:
    """What a reader needs."""
    assert harmless('<a href="https://shop.example/1">x</a>') == (
        '<a href="https://shop.example/1" rel="noopener noreferrer">x</a>'
    )
    assert harmless('<img src="cid:a@b">') == '<img src="cid:a@b">'


# --- messages ------------------------------------------------------------------------------------


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

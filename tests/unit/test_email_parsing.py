"""How hostile and broken mail is read, piece by piece."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.html import harmless, text_of
from normalizers.email.addresses import mailboxes
from normalizers.email.charsets import codec_of, decode
from normalizers.email.files import safe_name
from normalizers.email.headers import decode_words, ids_in, parameters, read_block
from normalizers.email.mime import read_tree
from tests.mailkit import PLAIN, message, multipart


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

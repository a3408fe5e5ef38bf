"""Hostile mails through the normalizer: nothing raises, nothing takes long, everything can be stored."""

import resource
import time
from functools import cache
from pathlib import Path

import msgspec
import pytest

from hub.children import Parsers
from hub.model import Message, Result, public_json
from tests.mailkit import account, event, results
from tests.support import shared_material as shared

SECONDS = 2.0
"""Of this process's own time: what another one takes of the machine is not the input's fault."""
HEAD = b"From: a@b.example\r\nTo: c@d.example\r\nSubject: bomb\r\nMessage-ID: <x@y>\r\n"
HTML = HEAD + b"Content-Type: text/html\r\n\r\n"
BOUNCE = b"Return-Path: <>\r\n" + HEAD + b"\r\n"
MIXED = HEAD + b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n'


def checked(raw: bytes) -> list[Result]:
    """What *raw* means, after a look at time and at every string of it."""
    began = time.process_time()
    found = results(raw)
    took = time.process_time() - began
    assert found
    assert took < SECONDS
    for one in found:
        shown = msgspec.json.encode(public_json(one))
        assert b"\\u0000" not in shown
        if isinstance(one, Message):
            assert one.text
            assert one.sent_at.tzinfo is not None
            assert len(one.dedupe_key) < 1000
    return found


# --- mails of others -----------------------------------------------------------------------------


def mails(folder: str, *endings: str) -> list[object]:
    root: Path = shared.SHARED / folder
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix in endings)
    return [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in paths]


@shared.needs("corpora/badinput/mime_malformed")
@pytest.mark.parametrize("path", mails("corpora/badinput/mime_malformed", ".eml"))
def test_malformed_mails(path: Path) -> None:
    """Broken boundaries, nesting and headers."""
    checked(path.read_bytes())


@shared.needs("corpora/badinput/cpython_email")
@pytest.mark.parametrize("path", mails("corpora/badinput/cpython_email", ".txt"))
def test_corner_cases_of_the_standard_librarys_tests(path: Path) -> None:
    """Each is a message with a text."""
    checked(path.read_bytes())


# --- bombs, made here ----------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    opened = b"".join(
        b'--b%d\r\nContent-Type: multipart/mixed; boundary="b%d"\r\n\r\n' % (level, level + 1)
        for level in range(depth)
    )
    return (
        HEAD
        + b'Content-Type: multipart/mixed; boundary="b0"\r\n\r\n'
        + opened
        + b"--b%d\r\n\r\nhello\r\n--b%d--\r\n" % (depth, depth)
    )


def wrapped(depth: int) -> bytes:
    raw = b"Subject: inner\r\n\r\nhello"
    for level in range(depth):
        raw = b"Subject: level %d\r\nContent-Type: message/rfc822\r\n\r\n" % level + raw
    return HEAD + raw


def with_header(line: bytes) -> bytes:
    return b"From: a@b.example\r\nSubject: s\r\n" + line + b"\r\n\r\nhello"


@cache
def bombs() -> dict[str, bytes]:
    """Mails made to cost time or memory, by name."""
    return {
        **{f"nested {depth}": nested(depth) for depth in (20, 50, 500, 2000)},
        **{f"wrapped {depth}": wrapped(depth) for depth in (10, 100, 2000)},
        **{
            f"{count} headers": HEAD + b"X-H: v\r\n" * count + b"\r\nhello"
            for count in (200, 5000, 100_000)
        },
        **{
            f"folded {count}": HEAD + b"X-L: a\r\n" + b" more\r\n" * count + b"\r\nhello"
            for count in (1000, 50_000)
        },
        **{
            f"comments {count}": with_header(b"To: " + b"(" * count + b")" * count + b" <a@b.c>")
            for count in (100, 5000, 200_000)
        },
        **{
            f"parameters {count}": with_header(
                b"Content-Type: text/plain"
                + b"".join(b"; name*%d*=utf-8''%%41" % number for number in range(count))
            )
            for count in (50, 5000)
        },
        "1000 references": with_header(
            b"References: " + b" ".join(b"<%d@x.y>" % number for number in range(1000))
        ),
        "message id of 10 kB": with_header(b"Message-ID: <" + b"a" * 10_000 + b"@x>"),
        "unclosed words": with_header(b"X: y\r\nSubject: " + b"=?utf-8?Q?" * 6000),
        "many words": with_header(b"To: " + b"=?utf-8?B?4pyT?= <" * 3000),
        "many recipients": with_header(b"To: " + b"a@b.c, " * 9000),
        "quotes": with_header(b"Cc: " + b'"\\' * 30_000),
        "angles": with_header(b"Cc: " + b"<" * 60_000),
        "ats": with_header(b"Cc: " + b"a@" * 30_000),
        "open ids": with_header(b"References: " + b"<" * 60_000),
        "parts": MIXED + b"--a\r\n\r\nx\r\n" * 100_000,
        "one boundary for all": MIXED
        + b'--a\r\nContent-Type: multipart/mixed; boundary="a"\r\n\r\n' * 500,
        "false boundaries": MIXED + b"x--a" * 4_000_000,
        "deep html": HTML + b"<div>" * 100_000 + b"hello",
        "deep tables": HTML + b"<table><tr><td>" * 20_000,
        "crossed html": HTML + b"<b><i><p>" * 30_000,
        "large html": HTML + b"<p>hello <b>world</b></p>\r\n" * 300_000,
        "angles in html": HTML + b"<" * 5_000_000,
        "open tags": HTML + b"<a " * 300_000 + b"<script " * 200_000 + b"<!-- " * 100_000,
        "entities": HTML + b"&amp;" * 100_000,
        "base64 of 24 MB": HEAD
        + b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + (b"QUJD" * 19 + b"\r\n") * 320_000,
        "no base64 at all": HEAD
        + b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b"!" * 20_000_000,
        "quoted-printable of 20 MB": HEAD
        + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        + b"=E4=BD=A0" * 2_200_000,
        "24 MB of GBK": HEAD + b"\r\n" + "你好世界".encode("gbk") * 3_000_000,
        "24 MB of nothing readable": HEAD
        + b"Content-Type: text/plain; charset=gbk\r\n\r\n"
        + bytes(range(128, 256)) * 190_000,
        "shifts": HEAD
        + b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n"
        + b"\x1b$B" * 3_000_000,
        "flowed": HEAD + b"Content-Type: text/plain; format=flowed\r\n\r\n" + b"x \r\n" * 1_000_000,
        "begins": HEAD + b"\r\n" + b"begin 644 x\n" * 100_000 + b"\nend\n",
        "uuencoded without end": HEAD + b"\r\nbegin 644 x\n" + (b"M" + b"A" * 60 + b"\n") * 200_000,
        "report of 100,000 blocks": HEAD
        + b'Content-Type: multipart/report; boundary="a"\r\n\r\n'
        + b"--a\r\nContent-Type: message/delivery-status\r\n\r\n"
        + b"Action: failed\r\n\r\n" * 100_000,
        "plus signs": with_header(b"To: " + b"support+" * 8000),
        "ids without end": with_header(b"In-Reply-To: " + b"a" * 60_000),
        "bounce of empty lines": BOUNCE + b"\r\n" * 120_000,
        "bounce of codes": BOUNCE + b"550-\r\n" * 40_000,
        "bounce of addresses": BOUNCE + b"<a@b.c>\r\n" * 30_000,
        "quotations in html": HTML + b'<blockquote type="cite">a</blockquote>' * 9000,
        "html after a mark": HTML + b'<div id="appendonsend"></div>' + b"<p>a</p>" * 20_000,
        "ids in html": HTML + b'<div id="xdivRplyFwdMsg">a</div>' * 12_000,
        "attributions": HEAD + b"\r\n" + (b"On 1 " + b"a" * 390 + b":\r\n") * 500,
        "armor": HEAD + b"\r\n" + b"-----BEGIN PGP MESSAGE-----\r\n" * 30_000,
        "signed in signed": HEAD
        + b"Content-Type: application/pkcs7-mime\r\n\r\n"
        + b"\x30\x80" * 100_000,
        "calendar": HEAD + b"Content-Type: text/calendar\r\n\r\n" + b"BEGIN:VEVENT\r\n" * 30_000,
        "calendar of recurrence": HEAD
        + b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n"
        + b"RRULE:FREQ=SECONDLY;COUNT=999999999\r\n" * 5000,
        "spaces": HEAD + b"\r\n" + b" \r\n" * 5_000_000,
        "NULs": b"\x00" * 1_000_000,
        "CR only": HEAD.replace(b"\r\n", b"\r") + b"\rhello",
        "unknown charset": with_header(b"Content-Type: text/plain; charset=x-klingon"),
        "charset that is none": with_header(b"Content-Type: text/plain; charset=zlib"),
    }


@pytest.mark.parametrize("name", list(bombs()))
def test_bombs(name: str) -> None:
    """Within the time, whatever they are made of."""
    checked(bombs()[name])


def test_memory_stays_bounded() -> None:
    """Reading a mail of 24 MB takes less than 150 MB on top of it."""
    raw = bombs()["base64 of 24 MB"]
    checked(raw)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        checked(raw)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024


@pytest.mark.parametrize("length", [0, 1, 7, 64, 300])
def test_cut_anywhere(length: int) -> None:
    """A mail that ends in the middle is still a message."""
    raw = nested(3)
    checked(raw[:length] if length else raw)
    checked(raw[-length:])


# --- in the child pool ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["base64 of 24 MB", "large html", "nested 2000", "24 MB of GBK"])
async def test_the_largest_fit_into_a_child(name: str) -> None:
    """Within the memory and time that the pool gives, and with the same outcome as here."""
    parsers = Parsers()
    try:
        found = await parsers.normalize("email", event(bombs()[name]), account())
    finally:
        await parsers.close()
    (there,), (here,) = found, results(bombs()[name])
    assert isinstance(there, Message)
    assert msgspec.json.encode(public_json(there)) == msgspec.json.encode(public_json(here))

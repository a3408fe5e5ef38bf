"""What hides in a mail: winmail.dat, invitations, signed and encrypted mail."""

import struct
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from normalizers.email.wrapped import signed_content
from tests.mailkit import message

HEAD = b"From: anna@home.example\r\nTo: support@shop.example\r\nSubject: s\r\n"


def tnef(*files: tuple[str, bytes]) -> bytes:
    """winmail.dat with *files* in it, as [MS-OXTNEF] lays it out."""

    def attribute(level: int, name: int, data: bytes) -> bytes:
        checksum = sum(data) & 0xFFFF
        return struct.pack("<BII", level, name, len(data)) + data + struct.pack("<H", checksum)

    pieces = [struct.pack("<IH", 0x223E9F78, 1), attribute(1, 0x00089006, struct.pack("<I", 65536))]
    pieces.append(attribute(1, 0x00069007, struct.pack("<II", 1252, 0)))
    for name, content in files:
        pieces.append(attribute(2, 0x00069002, bytes(14)))  # attAttachRenddata begins a file
        pieces.append(attribute(2, 0x00018010, name.encode("ascii") + b"\x00"))
        pieces.append(attribute(2, 0x0006800F, content))
    return b"".join(pieces)


def with_file(content: bytes, content_type: bytes) -> bytes:
    import base64

    return (
        HEAD
        + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n'
        + b"Content-Type: "
        + content_type
        + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(content)
        + b"--b--\r\n"
    )


# --- winmail.dat ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [b'application/ms-tnef; name="winmail.dat"', b'application/octet-stream; name="winmail.dat"'],
)
def test_the_files_inside_of_winmail_dat_are_files(content_type: bytes) -> None:
    """Outlook packs what it sends; the agent sees what was packed."""
    found = message(with_file(tnef(("a.txt", b"one"), ("../b.pdf", b"%PDF-1")), content_type))
    files = [(file.filename, file.mime_type, file.content) for file in found.attachments]
    assert files == [
        ("a.txt", "text/plain", b"one"),
        ("b.pdf", "application/pdf", b"%PDF-1"),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"no tnef", tnef(("a", b"x" * 50))[:40], b"\x78\x9f\x3e\x22" * 50]
)
def test_a_broken_winmail_dat_stays_a_file(content: bytes) -> None:
    """What cannot be unpacked is handed on as it is."""
    found = message(with_file(content, b'application/ms-tnef; name="winmail.dat"'))
    assert [file.content for file in found.attachments] == [content]
    assert found.text == "hello"


# --- invitations ---------------------------------------------------------------------------------

INVITATION = b"""BEGIN:VCALENDAR\r
METHOD:REQUEST\r
BEGIN:VEVENT\r
UID:42@shop.example\r
SUMMARY:\xe4\xba\xa4\xe4\xbb\x98\r
 \xe6\x97\xa5\xe6\x9c\x9f\r
DTSTART;TZID=Asia/Shanghai:20260305T102000\r
DTEND;TZID=Asia/Shanghai:20260305T112000\r
LOCATION:Room 1\r
ORGANIZER;CN=Anna:mailto:anna@home.example\r
END:VEVENT\r
END:VCALENDAR\r
"""


def test_an_invitation_says_what_when_and_where() -> None:
    """The file stays, and its facts stand beside it, times in UTC."""
    found = message(with_file(INVITATION, b"text/calendar; method=REQUEST; charset=utf-8"))
    assert found.extra["calendar"] == {
        "method": "REQUEST",
        "summary": "交付日期",
        "location": "Room 1",
        "organizer": "anna@home.example",
        "uid": "42@shop.example",
        "start": "2026-03-05T02:20:00+00:00",
        "end": "2026-03-05T03:20:00+00:00",
    }
    assert found.attachments[0].mime_type == "text/calendar"


def test_a_bare_invitation_is_readable() -> None:
    """A mail that is nothing but an invitation has a text."""
    found = message(HEAD + b"Content-Type: text/calendar\r\n\r\n" + INVITATION)
    assert found.text.startswith("[calendar request] 交付日期\n2026-03-05T02:20:00+00:00")


@pytest.mark.parametrize("content", [b"BEGIN:VEVENT", INVITATION[:120], b"BEGIN:VEVENT\n" * 1000])
def test_a_broken_invitation_is_a_file(content: bytes) -> None:
    """It is handed on, and says nothing."""
    found = message(with_file(content, b"text/calendar"))
    assert "calendar" not in found.extra
    assert found.text == "hello"


# --- signed and encrypted ------------------------------------------------------------------------


def signed(inner: bytes) -> bytes:
    """*inner* as opaque CMS signed-data, signed by nobody in particular."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Anna")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    ).sign(key, hashes.SHA256())  # fmt: skip
    builder = pkcs7.PKCS7SignatureBuilder().set_data(inner)
    builder = builder.add_signer(certificate, key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


INNER = b"Content-Type: text/plain; charset=utf-8\r\n\r\nsigned words\r\n"


def test_a_signed_mail_is_opened() -> None:
    """Opaque S/MIME needs no key to be read."""
    raw = with_file(
        signed(INNER), b'application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"'
    )
    found = message(raw)
    assert found.text == "hello\nsigned words"
    assert found.extra["protection"] == ["smime-signed"]


def test_content_in_many_pieces_is_joined() -> None:
    """Outlook and Apple write BER of indefinite length, the content cut into octet strings."""
    oid = bytes.fromhex("06092a864886f70d0107")
    pieces = b"\x24\x80\x04\x03abc\x04\x03def\x00\x00"
    info = b"\x30\x80" + oid + b"\x01\xa0\x80" + pieces + b"\x00\x00\x00\x00"
    data = b"\x30\x80\x02\x01\x01\x31\x00" + info + b"\x31\x00\x00\x00"
    whole = b"\x30\x80" + oid + b"\x02\xa0\x80" + data + b"\x00\x00\x00\x00"
    assert signed_content(whole) == b"abcdef"


@pytest.mark.parametrize(
    "junk", [b"", b"\x30\x80" * 4000, b"\x30\xff", bytes(99), b"\x30\x84" + b"\xff" * 4]
)
def test_junk_is_no_signed_mail(junk: bytes) -> None:
    """Broken bytes stay a file."""
    assert signed_content(junk) is None


@pytest.mark.parametrize(
    "raw, text, protection",
    [
        (
            b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nx",
            "[encrypted mail (S/MIME)]",
            ["smime-encrypted"],
        ),
        (
            b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n'
            b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
            b"--b\r\nContent-Type: application/octet-stream; name=encrypted.asc\r\n\r\nx\r\n--b--",
            "[encrypted mail (OpenPGP)]",
            ["pgp-encrypted"],
        ),
        (
            b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=b\r\n\r\n'
            b"--b\r\n\r\nwords\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--",
            "words",
            ["pgp-signed"],
        ),
        (
            b"\r\nbefore\n-----BEGIN PGP MESSAGE-----\n\nabc\n-----END PGP MESSAGE-----\nafter",
            "before\n[encrypted text (OpenPGP)]\nafter",
            ["pgp-encrypted"],
        ),
        (
            b"\r\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\nwords\n- -- \n"
            b"-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n",
            "words\n--",
            ["pgp-signed"],
        ),
    ],
)
def test_protected_mail_is_shown_for_what_it_is(
    raw: bytes, text: str, protection: list[str]
) -> None:
    """Nobody takes an encrypted mail for an empty one."""
    found = message(HEAD + raw)
    assert found.text == text
    assert found.extra["protection"] == protection

"""Signed and encrypted mail: told for what it is, and opened where that needs no key.

Nothing is verified or decrypted here: the agent sees that a mail was signed or encrypted, by which
standard, and the original stays a file.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from normalizers.email.mime import Part

__all__ = ["CMS_TYPES", "Armor", "cms_kind", "in_armor", "protection_of", "signed_content"]

CMS_TYPES = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_MAX_DEPTH = 24
_MAX_ELEMENTS = 10_000

# Content types of the Cryptographic Message Syntax (RFC 5652), DER, by their last bytes.
_OIDS = {
    bytes.fromhex("2a864886f70d010701"): "data",
    bytes.fromhex("2a864886f70d010702"): "signed",
    bytes.fromhex("2a864886f70d010703"): "encrypted",
    bytes.fromhex("2a864886f70d0109100109"): "compressed",
    bytes.fromhex("2a864886f70d0109100117"): "encrypted",
}
_SMIME_TYPES = {
    "enveloped-data": "encrypted",
    "authenveloped-data": "encrypted",
    "signed-data": "signed",
    "certs-only": "certificates",
    "compressed-data": "compressed",
}
_ARMOR = re.compile(
    r"-----BEGIN PGP (MESSAGE|SIGNED MESSAGE)-----[ \t]*\n(.*?)"
    r"(?:-----END PGP (?:MESSAGE|SIGNATURE)-----|\Z)",
    re.DOTALL,
)


class _Element(NamedTuple):
    """One element of BER: its tag, and where its content lies. *is_open*: of indefinite length."""

    tag: int
    start: int
    end: int
    is_open: bool


def _element(data: bytes, at: int, end: int) -> _Element:
    """The element at *at*. Raises ValueError for what is no BER."""
    if at + 2 > end:
        raise ValueError("cut short")
    tag, length = data[at], data[at + 1]
    at += 2
    if tag & 0x1F == 0x1F:
        raise ValueError("long tags are of no use here")
    if length == 0x80:
        return _Element(tag, at, end, True)
    if length & 0x80:
        count = length & 0x7F
        if count > 8 or at + count > end:
            raise ValueError("a length of impossible size")
        length = int.from_bytes(data[at : at + count], "big")
        at += count
    return _Element(tag, at, min(at + length, end), False)


def _after(data: bytes, element: _Element, depth: int = 0) -> int:
    """Where the element ends, its end mark included."""
    if not element.is_open:
        return element.end
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    at = element.start
    for _ in range(_MAX_ELEMENTS):
        if data[at : at + 2] == b"\x00\x00":
            return at + 2
        at = _after(data, _element(data, at, element.end), depth + 1)
    raise ValueError("too many elements")


def _children(data: bytes, parent: _Element) -> Iterator[_Element]:
    at = parent.start
    for _ in range(_MAX_ELEMENTS):
        if at >= parent.end or (parent.is_open and data[at : at + 2] == b"\x00\x00"):
            return
        child = _element(data, at, parent.end)
        yield child
        at = _after(data, child)


def _content_info(data: bytes) -> tuple[str | None, _Element | None]:
    """The kind of a ContentInfo and its content."""
    outer = _element(data, 0, len(data))
    if outer.tag != 0x30:
        raise ValueError("no sequence")
    parts = _children(data, outer)
    kind = next(parts)
    content = next(parts, None)
    name = _OIDS.get(data[kind.start : kind.end]) if kind.tag == 0x06 else None
    return name, content


def cms_kind(part: Part) -> str | None:
    """What a CMS part is: signed, encrypted, compressed, certificates; None: it does not tell."""
    declared = part.type_parameters.get("smime-type", "").strip().lower()
    if declared in _SMIME_TYPES:
        return _SMIME_TYPES[declared]
    try:
        kind, _ = _content_info(part.content)
    except (ValueError, StopIteration, IndexError):
        return None
    return kind if kind != "data" else None


def signed_content(data: bytes) -> bytes | None:
    """The mail inside CMS signed-data; None when there is none or it cannot be read."""
    try:
        kind, content = _content_info(data)
        if kind != "signed" or content is None:
            return None
        signed = next(_children(data, content))
        for field in _children(data, signed):
            if field.tag == 0x30:  # version and digest algorithms stand before it
                return _encapsulated(data, field)
    except (ValueError, StopIteration, IndexError, RecursionError):
        return None
    return None


def _encapsulated(data: bytes, info: _Element) -> bytes | None:
    """The octets of an EncapsulatedContentInfo: in one piece, or in many."""
    for field in _children(data, info):
        if field.tag == 0xA0:
            octets = next(_children(data, field))
            if octets.tag == 0x04:
                return data[octets.start : octets.end]
            return b"".join(data[one.start : one.end] for one in _children(data, octets))
    return None


def protection_of(part: Part) -> str | None:
    """How a multipart is protected: "pgp-encrypted", "pgp-signed", "smime-signed", or None."""
    protocol = part.type_parameters.get("protocol", "").lower()
    if part.media_type == "multipart/encrypted":
        return "pgp-encrypted" if "pgp" in protocol or not protocol else "encrypted"
    if part.media_type == "multipart/signed":
        return "pgp-signed" if "pgp" in protocol else "smime-signed"
    return None


class Armor(NamedTuple):
    """A text with OpenPGP armor in it: what is readable, and what was there."""

    text: str
    protection: str


def in_armor(text: str) -> Armor | None:
    """*text* without its OpenPGP armor; None when it has none.

    Signed text is shown without the signature, encrypted text as a note that it is.
    """
    if "-----BEGIN PGP " not in text:
        return None
    found = _ARMOR.search(text)
    if not found:
        return None
    before, after = text[: found.start()], text[found.end() :]
    if found[1] == "MESSAGE":
        shown, protection = "[encrypted text (OpenPGP)]", "pgp-encrypted"
    else:
        _, _, rest = found[2].partition("\n\n")
        words = rest.partition("-----BEGIN PGP SIGNATURE-----")[0]
        shown, protection = re.sub(r"(?m)^- ", "", words).strip("\n"), "pgp-signed"
    return Armor(f"{before}{shown}{after}".strip("\n"), protection)

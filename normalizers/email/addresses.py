"""Addresses from raw header bytes: structure is read before names are decoded, so no name can forge it."""

import re
import unicodedata
from typing import NamedTuple

from normalizers.email.headers import Headers, decode_words

__all__ = ["Mailbox", "mailboxes", "sender_of"]

MAX_MAILBOXES = 200
_WORD = re.compile(r"=\?[^?\s]{1,80}\?[BbQq]\?.{0,2000}?\?=")
_ANGLE = re.compile(r"<([^<>]*)>")
_BARE = re.compile(r"[^\s<>\"(),;:]{1,320}@[^\s<>\"(),;:]{1,320}")
# Direction overrides make a name read as something else; they have no place in one.
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


class Mailbox(NamedTuple):
    """A person in a header: the name as shown (or None) and the address as written."""

    name: str | None
    address: str


class _Piece(NamedTuple):
    """One entry of an address list: *text* without comments, and the last *comment*."""

    text: str
    comment: str


def _pieces(value: str) -> list[_Piece]:
    """*value* cut at the commas and semicolons that separate addresses. Linear, whatever is nested."""
    pieces: list[_Piece] = []
    text: list[str] = []
    comment: list[str] = []
    depth, quoted, angled, position = 0, False, False, 0
    while position < len(value) and len(pieces) < MAX_MAILBOXES:
        character = value[position]
        if character == "\\" and (quoted or depth):
            (comment if depth else text).append(value[position : position + 2])
            position += 2
            continue
        if character == "=" and (match := _WORD.match(value, position)):
            (comment if depth else text).append(match[0])
            position = match.end()
            continue
        if depth or (character == "(" and not quoted):
            depth += (character == "(") - (character == ")")
            if character == "(" and depth == 1:
                comment = []
            elif depth:
                comment.append(character)
        elif character in ",;" and not quoted and not angled:
            pieces.append(_Piece("".join(text), "".join(comment)))
            text, comment = [], []
        elif character == ":" and not quoted and not angled:
            text = []  # the label of a group, or "mailto"
        else:
            quoted ^= character == '"'
            angled = not quoted and (character == "<" or (angled and character != ">"))
            text.append(character)
        position += 1
    return [*pieces, _Piece("".join(text), "".join(comment))]


def _name(raw: str, hint: str | None) -> str | None:
    name = raw.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
    name = re.sub(r"\\(.)", r"\1", name.replace('"', ""))
    shown = unicodedata.normalize("NFKC", decode_words(name.encode("latin-1"), hint=hint))
    shown = " ".join(_INVISIBLE.sub("", shown).split()).strip("\"' ")
    return "".join(character for character in shown if character.isprintable())[:200] or None


def _address(raw: str) -> str:
    address = raw.strip().removeprefix("mailto:").strip("'\" ")
    text = re.sub(r"\s+", "", decode_words(address.encode("latin-1")))
    local, at, domain = text.rpartition("@")
    return f"{local}@{domain.lower()}" if at and local and domain and len(text) <= 320 else ""


def _mailbox(piece: _Piece, hint: str | None) -> Mailbox | None:
    angles = [match for match in _ANGLE.finditer(piece.text) if "@" in match[1]]
    if angles:
        before = piece.text[: angles[-1].start()]
        address = _address(angles[-1][1])
        return (
            Mailbox(_name(before, hint) or _name(piece.comment, hint), address) if address else None
        )
    # An unclosed "<a@b", or a whole address inside an encoded word.
    bare = _BARE.search(piece.text)
    if bare and (address := _address(bare[0])):
        before = piece.text[: bare.start()].rstrip("< ")
        return Mailbox(_name(before, hint) or _name(piece.comment, hint), address)
    return None


def _parse(value: str, hint: str | None) -> list[Mailbox]:
    found: list[Mailbox] = []
    carried = ""
    for piece in _pieces(value):
        mailbox = _mailbox(piece, hint)
        if mailbox is None:
            # 'Smith, John <a@x>' without quotes: the family name waits for its first name.
            carried = f"{carried}{piece.text.strip()}, " if piece.text.strip() else ""
            continue
        if carried and "<" in piece.text:
            mailbox = _mailbox(_Piece(carried + piece.text.strip(), piece.comment), hint) or mailbox
        carried = ""
        found.append(mailbox)
    return found


def mailboxes(raw: bytes, *, hint: str | None = None) -> list[Mailbox]:
    """The people in an address header; entries without a usable address are left out.

    Of ``a@b.c <d@e.f>`` the address is ``d@e.f``: the rest is a name, which may say anything.
    """
    value = raw.decode("latin-1")
    found = _parse(value, hint)
    if not found and "=?" in value:
        whole = decode_words(raw, hint=hint)
        found = _parse(whole.encode("utf-8", "replace").decode("latin-1"), "utf-8")
    return found


def sender_of(headers: Headers) -> Mailbox | None:
    """Who wrote the mail: From, else Sender, Reply-To, Return-Path; None when nobody is named."""
    for name in ("from", "sender", "reply-to", "return-path"):
        found = mailboxes(headers.raw(name), hint=headers.hint)
        if found:
            return found[0]
    return None

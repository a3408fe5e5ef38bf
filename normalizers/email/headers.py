"""Header fields from raw bytes: reading the block, encoded words, parameters, message ids."""

import binascii
import re
from collections.abc import Iterator

from normalizers.email.charsets import decode

__all__ = ["Headers", "decode_words", "ids_in", "parameters", "read_block", "unfolded"]

MAX_BLOCK_BYTES = 256 * 1024
MAX_FIELD_BYTES = 64 * 1024
MAX_FIELDS = 500
MAX_ID_CHARACTERS = 500
MAX_IDS = 100
_MAX_PARAMETERS = 200

_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:")
# RFC 2047, and what is sent in its name: an RFC 2231 language, spaces and "?" inside Q.
_WORD = re.compile(rb"=\?([^?\s*=]{1,60})(?:\*[^?\s]{0,20})?\?([BbQq])\?(.{0,2000}?)\?=")
_CONTROL = re.compile("[\x01-\x08\x0e-\x1f]")
_ID = re.compile(r"<([^<>\s]+)>")
_BARE_ID = re.compile(r"[^<>\s,;\"()]{1,500}@[^<>\s,;\"()]{1,500}")


class Headers:
    """The fields of one header block in their order; names in lower case, values raw and unfolded."""

    __slots__ = ("damaged", "fields", "hint")

    def __init__(self, fields: list[tuple[str, bytes]], *, damaged: bool = False) -> None:
        self.fields = fields
        self.damaged = damaged
        self.hint: str | None = None

    def raw(self, name: str) -> bytes:
        """The first field *name* as bytes; empty when absent."""
        return next((value for key, value in self.fields if key == name), b"")

    def raws(self, name: str) -> Iterator[bytes]:
        """All fields *name* as bytes."""
        return (value for key, value in self.fields if key == name)

    def text(self, name: str) -> str:
        """The first field *name*, decoded, on one line; empty when absent."""
        return " ".join(decode_words(self.raw(name), hint=self.hint).split())

    def ids(self, name: str) -> list[str]:
        """The message ids in the fields *name*, without brackets."""
        return ids_in(b" ".join(self.raws(name)))

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.fields)


def unfolded(value: bytes) -> bytes:
    """*value* on one line: a fold is a line end before white space."""
    return value.replace(b"\r", b"").replace(b"\n", b"").strip()


def _lines(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        found = data.find(b"\n", start, end)
        stop = end if found < 0 else found + 1
        yield start, stop
        start = stop


def _skip_block(data: bytes, start: int, end: int) -> int:
    """Where the body begins, for a block too large to be read further."""
    found = [
        at + len(gap) for gap in (b"\n\r\n", b"\n\n") if (at := data.find(gap, start, end)) >= 0
    ]
    return min(found, default=end)


def _looks_like_field(data: bytes, start: int, end: int) -> bool:
    return _FIELD.match(data, start, end) is not None


def read_block(data: bytes, start: int, end: int) -> tuple[Headers, int]:
    """The header fields from *start*, and where the body begins.

    A line that is no field is passed over when a field follows it (broken gateways), else the body
    begins there. Longer fields are cut, more fields left out, as the limits above say.
    """
    fields: list[tuple[str, list[bytes], int]] = []
    damaged = False
    for at, stop in _lines(data, start, end):
        line = data[at : min(stop, at + MAX_FIELD_BYTES)]
        if not line.strip():
            return _finished(fields, damaged), stop
        if len(fields) > MAX_FIELDS or stop - start > MAX_BLOCK_BYTES:
            return _finished(fields[:MAX_FIELDS], True), _skip_block(data, at, end)
        if line[:1] in b" \t" and fields:
            name, pieces, size = fields[-1]
            if size < MAX_FIELD_BYTES:
                pieces.append(line)
            fields[-1] = name, pieces, size + len(line)
        elif match := _FIELD.match(line):
            fields.append((match[1].decode("ascii").lower(), [line[match.end() :]], len(line)))
        elif line.startswith((b"From ", b">From ")) and not fields:
            continue
        elif _looks_like_field(data, stop, end) and (fields or stop - start < 1000):
            damaged = True
        else:
            return _finished(fields, True), at
    return _finished(fields, damaged), end


def _finished(fields: list[tuple[str, list[bytes], int]], damaged: bool) -> Headers:
    values = [(name, unfolded(b"".join(pieces))[:MAX_FIELD_BYTES]) for name, pieces, _ in fields]
    return Headers(values, damaged=damaged)


# --- encoded words -------------------------------------------------------------------------------


def _base64(text: bytes) -> bytes:
    kept = re.sub(rb"[^A-Za-z0-9+/]", b"", text)
    if len(kept) % 4 == 1:
        kept = kept[:-1]
    return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))


def _run_bytes(words: list[tuple[bytes, bytes]]) -> bytes:
    """The bytes of neighbouring words: *words* are (encoding, text).

    Some senders cut base64 anywhere: an unfinished group is finished by the next word, if together
    they make whole groups.
    """
    out, unfinished = b"", b""
    for encoding, text in words:
        if encoding in b"Qq":
            content = binascii.a2b_qp(text.replace(b"_", b"=20").replace(b" ", b"=20"))
            out, unfinished = out + _base64(unfinished) + content, b""
            continue
        group = re.sub(rb"[^A-Za-z0-9+/=]", b"", text)
        if len(unfinished + group) % 4:
            out, unfinished = out + _base64(unfinished), b""
        unfinished += group
        if len(unfinished) % 4 == 0:
            out, unfinished = out + _base64(unfinished), b""
    return out + _base64(unfinished)


def _runs(raw: bytes) -> Iterator[tuple[str | None, bytes]]:
    """*raw* as runs of bytes in one charset each; None: not encoded."""
    charset, words, position = "", list[tuple[bytes, bytes]](), 0
    for match in _WORD.finditer(raw):
        gap, here = raw[position : match.start()], match[1].decode("latin-1").lower()
        if words and (gap.strip() or here != charset):
            yield charset, _run_bytes(words)
            words = []
        if gap.strip() or position == 0:
            yield None, gap
        charset, position = here, match.end()
        words.append((match[2], match[3]))
    if words:
        yield charset, _run_bytes(words)
    yield None, raw[position:]


def decode_words(raw: bytes, *, hint: str | None = None) -> str:
    """*raw* with its encoded words (RFC 2047) read, and stray 8-bit bytes guessed; never raises.

    Neighbouring words of one charset are joined as bytes before they are decoded: many senders cut
    a character in two. White space between words is dropped.
    """
    if b"=?" not in raw:
        return decode(raw, hint=hint)
    read = "".join(decode(content, charset, hint=hint) for charset, content in _runs(raw))
    # Words whose content is garbage are better seen as they stand.
    return decode(raw, hint=hint) if _CONTROL.search(read) else read


# --- parameters ----------------------------------------------------------------------------------


def _split_parameters(value: str) -> list[str]:
    """*value* cut at the semicolons outside quotes; an unclosed quote reaches to the end."""
    pieces: list[str] = []
    begin, quoted, position = 0, False, 0
    while position < len(value) and len(pieces) < _MAX_PARAMETERS:
        character = value[position]
        if character == "\\" and quoted:
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character == ";" and not quoted:
            pieces.append(value[begin:position])
            begin = position + 1
        position += 1
    return [*pieces, value[begin:]]


def _unquoted(value: str) -> str:
    value = value.strip()
    if value.startswith('"'):
        # Only \" and \\ are escapes: Outlook writes Windows paths with bare backslashes.
        return re.sub(r"\\([\"\\])", r"\1", value[1:].removesuffix('"'))
    return value


def _percent(value: str) -> bytes:
    return re.sub(
        rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), value.encode("latin-1")
    )


def _joined(name: str, sections: dict[int, tuple[bool, str]], hint: str | None) -> str:
    """One RFC 2231 parameter from its sections: *sections* is number → (is encoded, text)."""
    charset = None
    content = b""
    for index in sorted(sections):
        encoded, text = sections[index]
        if encoded and index == min(sections) and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        content += _percent(text) if encoded else text.encode("latin-1")
    if b"=?" in content:
        return decode_words(content, hint=hint)
    return decode(content, charset, hint=hint)


def parameters(raw: bytes, *, hint: str | None = None) -> tuple[str, dict[str, str]]:
    """The value before the first semicolon, lower case, and the parameters, decoded.

    Reads RFC 2231 continuations and charsets, encoded words (not allowed, common) and raw 8-bit.
    """
    head, *rest = _split_parameters(raw.decode("latin-1"))
    sections: dict[str, dict[int, tuple[bool, str]]] = {}
    for piece in rest:
        name, found, value = piece.partition("=")
        name = name.strip().lower()
        match = re.fullmatch(r"([^*\s]+)(?:\*(\d{1,4}))?(\*?)", name)
        if not found or not match:
            continue
        index = int(match[2]) if match[2] else -1
        # The extended form (RFC 2231) stands beside the plain one for old readers: it is the better.
        group = sections.setdefault(match[1], {})
        if index == -1 and match[3]:
            sections[match[1]] = {0: (True, _unquoted(value))}
        elif index >= 0 and -1 in group:
            sections[match[1]] = {index: (bool(match[3]), _unquoted(value))}
        elif not (index == -1 and group):
            group[index] = bool(match[3]), _unquoted(value)
    kept = {name: _joined(name, found, hint) for name, found in sections.items()}
    return re.sub(r"\s+", "", head.split(",")[0]).lower(), kept


# --- message ids ---------------------------------------------------------------------------------


def ids_in(raw: bytes) -> list[str]:
    """The message ids in *raw*, without brackets, in order, each once.

    Some servers turn long ids into encoded words; some people write a date or a name beside the id.
    """
    text = decode_words(raw)
    found = _ID.findall(text) or _BARE_ID.findall(text)
    sound = [one for one in found if len(one) <= MAX_ID_CHARACTERS]
    unique = list(dict.fromkeys(sound))
    return unique if len(unique) <= MAX_IDS else [unique[0], *unique[1 - MAX_IDS :]]

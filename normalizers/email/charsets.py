"""Bytes of unknown quality into text: declared charsets lie, so they are tried, not believed."""

import codecs
import re

import chardet

from hub.text import clean

__all__ = ["codec_of", "decode"]

# What mails call a charset → the Python codec that reads what such mails really contain. GB2312 is
# the name under which GBK and GB18030 travel; the codec "gb2312" refuses their characters. Likewise
# windows code pages travel as their ISO or national ancestors.
_CODECS = {
    "ascii": "utf-8",
    "big5": "big5hkscs",
    "big5-hkscs": "big5hkscs",
    "chinese": "gb18030",
    "cn-big5": "big5hkscs",
    "cp936": "gb18030",
    "csgb2312": "gb18030",
    "cseuckr": "cp949",
    "cskoi8r": "koi8-r",
    "csshiftjis": "cp932",
    "euc-cn": "gb18030",
    "euc-kr": "cp949",
    "gb-2312": "gb18030",
    "gb18030": "gb18030",
    "gb2312": "gb18030",
    "gb2312-80": "gb18030",
    "gbk": "gb18030",
    "hz-gb-2312": "hz",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-1": "cp1252",
    "iso-8859-6-e": "iso-8859-6",
    "iso-8859-6-i": "iso-8859-6",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-9": "cp1254",
    "iso8859-1": "cp1252",
    "ks-c-5601-1987": "cp949",
    "ks-c-5601": "cp949",
    "ksc5601": "cp949",
    "latin-1": "cp1252",
    "latin1": "cp1252",
    "ms936": "gb18030",
    "shift-jis": "cp932",
    "shift-jisx0213": "shift_jisx0213",
    "sjis": "cp932",
    "tis-620": "cp874",
    "unicode-1-1-utf-7": "utf-7",
    "unicode-1-1-utf-8": "utf-8",
    "us-ascii": "utf-8",
    "utf8": "utf-8",
    "utf8mb4": "utf-8",
    "windows-31j": "cp932",
    "windows-874": "cp874",
    "windows-936": "gb18030",
    "windows-949": "cp949",
}
# Not text encodings, or endless in what they expand to.
_NOT_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"})
_MULTIBYTE = frozenset({"utf-8", "gb18030", "big5hkscs", "cp932", "cp949", "euc-jp"})
_MAX_DETECT_BYTES = 65536
_MAX_BROKEN_SHARE = 0.1
_CHARSET_NAME = re.compile(r"[a-z0-9][a-z0-9._:+-]{0,39}")


def codec_of(declared: str | None) -> str | None:
    """The Python codec for the charset name *declared*; None when the name means nothing to us."""
    name = (declared or "").strip(" \t\"'").lower().replace("_", "-")
    if not _CHARSET_NAME.fullmatch(name):
        return None
    for candidate in (name, name.removeprefix("x-"), name.removeprefix("cs")):
        codec = _CODECS.get(candidate, candidate)
        try:
            info = codecs.lookup(codec)
        except (LookupError, ValueError):
            continue
        if info.name not in _NOT_CHARSETS and getattr(info, "_is_text_encoding", True):
            return codec
    return None


def _strict(data: bytes, codec: str | None) -> str | None:
    if codec is None:
        return None
    try:
        return data.decode(codec)
    except (ValueError, LookupError):
        return None


def _nearly(data: bytes, codec: str | None) -> str | None:
    """*data* by *codec* when hardly anything is broken: a byte lost on the way, a character cut."""
    if codec not in _MULTIBYTE:
        return None
    text = data.decode(codec, "replace")
    broken = text.count("\ufffd")
    sound = sum(not character.isascii() for character in text[:100_000]) - broken
    return text if broken * 10 <= sound else None


def _detected(data: bytes) -> str | None:
    try:
        found = chardet.detect(data[:_MAX_DETECT_BYTES])
    except Exception:  # a guess must not cost the mail
        return None
    return codec_of(found.get("encoding"))


def _least_broken(data: bytes, codecs_: list[str | None]) -> str:
    """*data* by the codec that leaves the fewest holes; cp1252 when all of them leave many."""
    readings = [data.decode(codec, "replace") for codec in codecs_ if codec]
    best = min(readings, key=lambda reading: reading.count("\ufffd"), default="")
    if best and best.count("\ufffd") <= len(best) * _MAX_BROKEN_SHARE:
        return best
    return data.decode("cp1252", "replace")


def _decode(data: bytes, declared: str | None, hint: str | None) -> str:
    codec = codec_of(declared)
    if data.isascii() and codec in (None, "utf-8", "cp1252", "gb18030"):
        return data.decode("ascii")
    if codec != "utf-7" and (text := _strict(data, "utf-8")) is not None and not data.isascii():
        return text.removeprefix("\ufeff")
    if (text := _strict(data, codec)) is not None:
        return text.removeprefix("\ufeff")
    if (text := _strict(data, "utf-8")) is not None:
        return text
    if (text := _nearly(data, codec or "utf-8")) is not None:
        return text
    hinted = codec_of(hint)
    if hinted != "utf-7" and (text := _strict(data, hinted)) is not None:
        return text
    guess = _detected(data)
    if guess != "utf-7" and (text := _strict(data, guess)) is not None:
        return text
    return _least_broken(data, [codec, hinted, guess, "utf-8"])


def decode(data: bytes, declared: str | None = None, *, hint: str | None = None) -> str:
    """*data* as text that any database and JSON take; never raises.

    Valid UTF-8 beyond ASCII wins over any declared charset (bytes of other charsets almost never
    form it), then *declared* is taken at its word, then *hint* (a ``<meta charset>``, the charset
    of the body for a raw header), then a guess. UTF-7 is read only where declared.
    """
    return clean(_decode(data, declared, hint).replace("\x00", ""))

"""The text of IMAP: names as they are sent, and what stands in the answers to FETCH."""

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = ["FETCH", "UID", "arrived_at", "content_of", "folder_name", "quoted", "uid_set"]

_DATE = re.compile(rb'\bINTERNALDATE "([^"]{10,40})"')
FETCH = re.compile(rb"\d+ FETCH \(")
_INLINE_BODY = re.compile(rb'\bBODY\[[^\]]*\](?:<\d+>)? (?:"((?:[^"\\]|\\.)*)"|NIL)', re.DOTALL)
UID = re.compile(rb"\bUID (\d+)")


def quoted(value: str) -> str:
    """*value* as a quoted string (RFC 3501 section 4.3)."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def folder_name(name: str) -> str:
    """*name* in modified UTF-7 (RFC 3501 section 5.1.3), quoted."""
    runs = re.split(r"([^\x20-\x7e]+)", name)
    out = [
        run.replace("&", "&-") if index % 2 == 0 else _shifted(run)
        for index, run in enumerate(runs)
    ]
    return quoted("".join(out))


def _shifted(run: str) -> str:
    octets = base64.b64encode(run.encode("utf-16-be")).decode("ascii")
    return f"&{octets.rstrip('=').replace('/', ',')}-"


def uid_set(uids: Sequence[int]) -> str:
    """*uids* as a set: ``1,2,5``."""
    return ",".join(str(uid) for uid in uids)


def arrived_at(line: bytes) -> datetime | None:
    """The ``INTERNALDATE`` in *line*."""
    found = _DATE.search(line)
    if not found:
        return None
    try:
        text = found[1].decode("ascii").strip()
        return datetime.strptime(text, "%d-%b-%Y %H:%M:%S %z").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def content_of(lines: Sequence[Any], uid: int) -> bytes | None:
    """The literal of the mail *uid* among *lines*: facts (bytes), literal (bytearray), facts …"""
    described = b""
    literal: bytes | None = None
    for line in [*lines, b"0 FETCH ("]:
        if isinstance(line, bytearray):
            literal = bytes(line)
        elif FETCH.match(line):
            found = UID.search(described)
            if found and int(found[1]) == uid:
                inline = _INLINE_BODY.search(described)
                if literal is not None or inline:
                    return literal if literal is not None else _unescaped(inline)
            described, literal = bytes(line), None
        else:
            described += b" " + bytes(line)
    return None


def _unescaped(inline: "re.Match[bytes] | None") -> bytes:
    return re.sub(rb"\\(.)", rb"\1", inline[1] or b"") if inline else b""

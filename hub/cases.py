"""Captured requests and mails as files: one case is one file."""

import re
from datetime import datetime
from urllib.parse import urlsplit

from hub.channel import IntakeRequest
from hub.errors import NotRecognised

__all__ = ["read_request"]

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE = re.compile(r"([A-Za-z]+) +(\S.*?)(?: +HTTP/\d(?:\.\d)?)? *")


def read_request(data: bytes, received_at: datetime) -> IntakeRequest:
    """A request as it came over the wire: request line, headers, blank line, body.

    The head may end its lines with LF or CRLF. The body is everything after the blank line, to the
    byte, whatever a Content-Length says.

    Raises:
        NotRecognised: it does not begin with a request line.
    """
    head, _, body = _split(data.lstrip(b"\r\n"))
    first, *rest = head.decode("utf-8", "surrogateescape").splitlines() or [""]
    found = _REQUEST_LINE.fullmatch(first)
    if found is None:
        raise NotRecognised("the case has no request line")
    target = _target(found[2])
    path, _, query = target.partition("?")
    return IntakeRequest(
        method=found[1],
        path=path,
        query=query.partition("#")[0],
        headers=_headers(rest),
        body=body,
        received_at=received_at,
    )


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    end = _END_OF_HEAD.search(data)
    return (data[: end.start()], end[0], data[end.end() :]) if end else (data, b"", b"")


def _target(text: str) -> str:
    """The path and query; a proxy's absolute form loses its host."""
    if text.startswith("/"):
        return text
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise NotRecognised("the case has no readable target") from error
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def _headers(lines: list[str]) -> dict[str, str]:
    """Names in lower case; a repeated header is joined, so that none can hide."""
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        if key:
            found[key] = f"{found[key]}, {value.strip()}" if key in found else value.strip()
    return found

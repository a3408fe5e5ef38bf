"""What a helpdesk's HTTP answer means, for all connectors."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from hub.channel import HttpAnswer
from hub.destination import HeardFile
from hub.errors import (
    Ambiguous,
    BadCredentials,
    RateLimited,
    Rejected,
    SendError,
    Unreachable,
)

__all__ = ["agent_id", "check_answer", "json_of", "own_url"]

_REFUSALS: Mapping[int, type[SendError]] = {
    401: BadCredentials,
    403: BadCredentials,
    408: RateLimited,
    425: RateLimited,
    429: RateLimited,
}


def check_answer(answer: HttpAnswer, *, writes: bool) -> None:
    """Returns for a 2xx.

    Raises:
        BadCredentials, RateLimited, Rejected: by the status.
        Ambiguous: a 5xx to a call that *writes*: helpdesks are known to keep what they answer so.
        Unreachable: a 5xx to another call, or a redirect.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    detail = f"HTTP {status}: {_excerpt(answer.body)}"
    if status >= 500:
        raise (Ambiguous if writes else Unreachable)(detail, external_code=status)
    if status < 400:
        raise Unreachable(f"HTTP {status}: it redirects; set base_url to where it leads")
    kind = _REFUSALS.get(status, Rejected)
    wait = answer.headers.get("Retry-After", answer.headers.get("retry-after", ""))
    retry_after = min(float(wait), 3600.0) if wait.isdigit() else None
    raise kind(detail, external_code=status, retry_after=retry_after)


def _excerpt(body: bytes) -> str:
    return " ".join(body[:400].decode("utf-8", "replace").split())[:200]


def json_of(answer: HttpAnswer, *, writes: bool) -> Any:
    """The answer's JSON, once it is good.

    Raises:
        Ambiguous, Unreachable: it is no JSON, so something else than the helpdesk's API has answered.
    """
    check_answer(answer, writes=writes)
    try:
        return msgspec.json.decode(answer.body)
    except msgspec.DecodeError as error:
        kind = Ambiguous if writes else Unreachable
        raise kind(f"the answer is no JSON: {_excerpt(answer.body)}") from error


def agent_id(assignee: str) -> int:
    """The assignee as a number, where helpdesks number their agents.

    Raises:
        Rejected: it is no such number.
    """
    if not (assignee.isascii() and assignee.isdigit() and len(assignee) < 18):
        raise Rejected(
            f"an assignee is the number of an agent here, and there is {assignee[:40]!r}"
        )
    return int(assignee)


def own_url(base_url: str, file: HeardFile) -> str:
    """Where a file lies that only the helpdesk itself may have.

    Raises:
        Rejected: it lies on another host, which must not get credentials.
    """
    base = base_url.rstrip("/")
    url = urljoin(f"{base}/", file.url)
    found, own = urlsplit(url), urlsplit(base)
    if found.netloc != own.netloc or found.scheme not in (own.scheme, "https"):
        raise Rejected(f"the file {file.filename} lies on another host")
    return url

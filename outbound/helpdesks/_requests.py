"""Calls to a helpdesk that is known by settings only: requests as templates, and how answers are read."""

import base64
import hashlib
import hmac
import re
import secrets as randomness
from collections.abc import Iterator, Mapping, Set
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from hub.channel import HttpAnswer
from hub.errors import Ambiguous, BadCredentials, RateLimited, Rejected, SendError, Unreachable
from hub.text import at_path
from outbound.helpdesks._answers import check_answer
from outbound.helpdesks._templates import (
    fill,
    fill_header,
    fill_path,
    fill_text,
    wrong_holes,
)

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Answers",
    "Method",
    "Request",
    "Signing",
    "digest",
    "encoded",
    "header_mistakes",
    "plain",
    "read_answer",
    "request_mistakes",
    "signed_values",
    "written",
]

Method = Literal["POST", "PUT", "PATCH", "GET", "DELETE"]
Algorithm = Literal[
    "hmac-sha256", "hmac-sha1", "hmac-sha512", "hmac-md5", "sha256", "sha1", "sha512", "md5"
]
ALGORITHMS: Mapping[str, Any] = {
    "sha256": hashlib.sha256,
    "sha1": hashlib.sha1,
    "sha512": hashlib.sha512,
    "md5": hashlib.md5,
}
_ERRORS: Mapping[str, type[SendError]] = {
    one.code: one for one in (Rejected, RateLimited, BadCredentials, Unreachable, Ambiguous)
}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SET_BY_US = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_COMPUTED = frozenset({"signature", "ts", "ts_ms", "nonce"})

ErrorName = Literal["rejected", "rate_limited", "bad_credentials", "unreachable", "ambiguous"]


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of call; every text in it may have holes, ``{name}``."""

    method: Annotated[Method, Meta(description="Of the request")] = "POST"
    path: Annotated[str, Meta(description="Behind base_url; begins with /")]
    query: Annotated[dict[str, str], Meta(description="Fields behind the path")] = {}
    headers: Annotated[dict[str, str], Meta(description="Headers besides those of all calls")] = {}
    json: Annotated[dict[str, Any] | None, Meta(description="The body as JSON")] = None
    form: Annotated[dict[str, str] | None, Meta(description="Or as a form")] = None
    repeatable: Annotated[
        bool,
        Meta(description="True: the helpdesk itself drops a repeat, by an id that is sent along"),
    ] = False


class Signing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.signing]``: a computed ``{signature}`` for headers and queries."""

    over: Annotated[
        str,
        Meta(description="What is hashed: {body} {body_md5} {path} {ts} {ts_ms} {nonce}, secrets"),
    ]
    algorithm: Annotated[Algorithm, Meta(description="hmac-… wants key")] = "hmac-sha256"
    key: Annotated[str | None, Meta(description="Key of an HMAC, e.g. {secret}")] = None
    encoding: Annotated[
        Literal["hex", "HEX", "base64"], Meta(description="How {signature} is written")
    ] = "hex"


class Answers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.answers]``: how success looks where HTTP 200 alone does not tell."""

    ok_path: Annotated[
        str | None, Meta(description="Where an answer says how it went; without it 2xx is success")
    ] = None
    ok_values: Annotated[tuple[str, ...], Meta(description="What it says there for success")] = ()
    error_path: Annotated[str | None, Meta(description="Where it tells an error in words")] = None
    errors: Annotated[
        dict[str, ErrorName], Meta(description="What its codes (or HTTP statuses) mean")
    ] = {}


class Written(Struct, frozen=True):
    """A request whose holes are filled."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None


def plain(value: Any) -> str:
    """A value of an answer or a callback as text: true, 17, abc; nothing for what has no such form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else ""


def encoded(raw: bytes, encoding: str) -> str:
    """A digest as text."""
    if encoding == "base64":
        return base64.b64encode(raw).decode("ascii")
    return raw.hex().upper() if encoding == "HEX" else raw.hex()


def digest(algorithm: str, text: bytes, key: bytes) -> bytes:
    """The hash of *text*, or its HMAC."""
    if algorithm.startswith("hmac-"):
        return hmac.new(key, text, ALGORITHMS[algorithm.removeprefix("hmac-")]).digest()
    made: bytes = ALGORITHMS[algorithm](text, usedforsecurity=False).digest()
    return made


def _body(request: Request, values: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
    if request.json is not None:
        return msgspec.json.encode(fill(request.json, values)), "application/json"
    if request.form is not None:
        filled = {name: fill_text(one, values) for name, one in request.form.items()}
        return urlencode(filled).encode(), "application/x-www-form-urlencoded"
    return None, None


def signed_values(
    signing: Signing | None, path: str, body: bytes, values: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """*values* with the time, a nonce and the signature of a request."""
    made = dict(values)
    made |= {
        "ts": int(now.timestamp()),
        "ts_ms": int(now.timestamp() * 1000),
        "nonce": randomness.token_hex(12),
    }
    if signing is not None:
        known = made | {
            "path": path,
            "body": body.decode("utf-8"),
            "body_md5": hashlib.md5(body, usedforsecurity=False).hexdigest(),
            "body_sha256": hashlib.sha256(body).hexdigest(),
        }
        key = fill_text(signing.key or "", known).encode()
        raw = digest(signing.algorithm, fill_text(signing.over, known).encode(), key)
        made["signature"] = encoded(raw, signing.encoding)
    return made


def written(
    request: Request,
    values: Mapping[str, Any],
    *,
    signing: Signing | None,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    now: datetime,
) -> Written:
    """*request* with its holes filled; *headers* and *query* are those of all calls.

    Raises:
        Rejected: a value cannot stand where it should.
    """
    path = fill_path(request.path, values)
    body, content_type = _body(request, values)
    known = signed_values(signing, path, body or b"", values, now)
    made = {
        name.lower(): fill_header(one, known)
        for name, one in {**headers, **request.headers}.items()
    }
    if content_type is not None:
        made.setdefault("content-type", content_type)
    fields = {name: fill_text(one, known) for name, one in {**query, **request.query}.items()}
    return Written(request.method, path, fields, made, body)


def read_answer(answer: HttpAnswer, rules: Answers, *, writes: bool) -> Any:
    """The answer's JSON once it is good; ``{}`` where there is none and none is needed.

    Raises:
        SendError: by ``errors``, by the HTTP status, or for an answer that is none of the helpdesk's.
    """
    try:
        body: Any = msgspec.json.decode(answer.body) if answer.body.strip() else {}
    except (msgspec.DecodeError, RecursionError):
        body = None
    told = plain(at_path(body, rules.error_path)) if rules.error_path and body else ""
    stated = plain(at_path(body, rules.ok_path)) if rules.ok_path and body else ""
    if (name := rules.errors.get(stated) or rules.errors.get(str(answer.status))) is not None:
        code = stated or answer.status
        raise _ERRORS[name](told[:200] or f"it answered {code}", external_code=code)
    check_answer(answer, writes=writes)
    if body is None or (rules.ok_path and not stated):
        kind = Ambiguous if writes else Unreachable
        raise kind("it answered with something else than its API does")
    if rules.ok_path and stated not in rules.ok_values:
        raise Rejected(told[:200] or f"it answered {stated}", external_code=stated)
    return body


# --- mistakes ---------------------------------------------------------------------------------------


def header_mistakes(headers: Mapping[str, str], known: Set[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with headers as templates: (name, why)."""
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _SET_BY_US:
            yield name, "is not a header that can be set"
        for wrong in wrong_holes(value, known | _COMPUTED):
            yield name, wrong


def request_mistakes(request: Request, known: Set[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with *request* where *known* can be filled in: (setting, why)."""
    if not request.path.startswith("/") or request.path.startswith("//"):
        yield "path", f"found {request.path!r}, wants a path that begins with one /"
    if any(mark in request.path for mark in "?#\\ "):
        yield "path", f"found {request.path!r}, wants the path alone; fields go into query"
    if request.json is not None and request.form is not None:
        yield "form", "wants either form or json"
    if request.method == "GET" and (request.json is not None or request.form is not None):
        yield "method", "found 'GET', which has no body; fields go into query"
    for wrong in wrong_holes(request.path, known):
        yield "path", wrong
    for name, value in request.query.items():
        for wrong in wrong_holes(value, known | _COMPUTED):
            yield f"query.{name}", wrong
    for name, wrong in header_mistakes(request.headers, known):
        yield f"headers.{name}", wrong
    for part in ("json", "form"):
        for wrong in wrong_holes(getattr(request, part), known):
            yield part, wrong

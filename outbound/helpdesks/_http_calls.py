"""The calls of a helpdesk with an HTTP API, as settings: what each looks like, and what is wrong with it."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, field

from hub.destination import State
from hub.model import Secret
from outbound.helpdesks._requests import (
    Answers,
    Method,
    Request,
    Signing,
    header_mistakes,
    request_mistakes,
)
from outbound.helpdesks._settings import DeskSettings
from outbound.helpdesks._templates import wrong_holes

__all__ = [
    "Adding",
    "Assigning",
    "Changing",
    "Finding",
    "HttpDeskCalls",
    "Opening",
    "Preparing",
    "Probing",
    "Uploading",
    "call_mistakes",
    "ticket_names",
]

CASE = frozenset(
    {
        "account",
        "address",
        "address_scheme",
        "case",
        "case_number",
        "channel",
        "channel_title",
        "conversation",
        "customer",
        "name",
        "queue",
        "subject",
        "title",
    }
)
"""What a ticket is about; known to every call, for it is kept beside the ticket."""

POST = frozenset({"at", "author", "footer", "post", "replies_left", "reply_until", "said", "text"})
_FILE = frozenset({"filename", "mime_type", "file_size", "file_md5", "file_base64"})


class Opening(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.open]``: makes a ticket with its first message."""

    ticket: Annotated[
        str,
        Meta(
            description="Where the answer names the ticket (path, header:NAME), or a text with {…}"
        ),
    ]
    message: Annotated[
        str | None, Meta(description="Where the answer names the message that it made")
    ] = None
    facts: Annotated[
        dict[str, str],
        Meta(description="What to keep for later calls: a name of yours, and where it stands"),
    ] = field(default_factory=dict)


class Preparing(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.prepare]``: made before ``open``; may be made again."""

    facts: Annotated[
        dict[str, str], Meta(description="What to keep: a name of yours, and where it stands")
    ] = field(default_factory=dict)


class Adding(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.add]`` and ``note``: puts a message into a ticket."""

    message: Annotated[
        str | None, Meta(description="Where the answer names the message that it made")
    ] = None
    file_field: Annotated[
        str | None, Meta(description="Sends files along as multipart, in a part of that name")
    ] = None


class Uploading(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.upload]``: sends one file ahead of its message."""

    value: Annotated[
        str, Meta(description="Where the answer names it; {uploads} is the list of them")
    ]
    file_field: Annotated[
        str | None, Meta(description="As multipart in a part of that name; else as the whole body")
    ] = None


class Changing(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.change]``: gives a ticket another state."""

    states: Annotated[
        dict[State, str],
        Meta(description="What {state} is for open, pending, resolved; others are left"),
    ]


class Assigning(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.assign]``: gives a ticket to an agent."""

    nobody: Annotated[str, Meta(description="What {assignee} is for nobody")] = ""


class Finding(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.find_ticket]`` and ``find``: looks for what a call may have made."""

    method: Annotated[Method, Meta(description="Of the request")] = "GET"
    items: Annotated[str, Meta(description="Where the answer has the list")]
    id: Annotated[str, Meta(description="Where an item says its id")] = "id"
    match: Annotated[
        dict[str, str], Meta(description="Which item it is: where it says what, {…} filled")
    ]
    facts: Annotated[dict[str, str], Meta(description="As in open, from the item")] = field(
        default_factory=dict
    )


class Probing(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.probe]``: what ``hub check`` calls."""

    method: Annotated[Method, Meta(description="Of the request")] = "GET"


class HttpDeskCalls(DeskSettings, frozen=True, kw_only=True):
    """The settings of what the hub calls."""

    headers: Annotated[dict[str, str], Meta(description="Headers of every call")] = field(
        default_factory=dict
    )
    query: Annotated[dict[str, str], Meta(description="Query fields of every call")] = field(
        default_factory=dict
    )
    basic_auth: Annotated[
        str | None, Meta(description="user:password of every call, e.g. hub:{password}")
    ] = None
    secrets: Annotated[
        dict[str, Secret], Meta(description="Secrets by a name of yours, to stand as {name}")
    ] = field(default_factory=dict)
    signing: Annotated[
        Signing | None, Meta(description="A computed {signature}: over, algorithm, key, encoding")
    ] = None
    answers: Annotated[
        Answers, Meta(description="How success looks: ok_path, ok_values, error_path, errors")
    ] = Answers()
    open: Annotated[
        Opening, Meta(description="The call that makes a ticket with its first message")
    ]
    add: Annotated[Adding, Meta(description="The call that adds a customer's message")]
    note: Annotated[
        Adding | None,
        Meta(description="The call that adds a note for agents; without it there are none"),
    ] = None
    prepare: Annotated[
        Preparing | None, Meta(description="A call before open that may be made again")
    ] = None
    upload: Annotated[
        Uploading | None, Meta(description="The call that sends a file; without it files are links")
    ] = None
    change: Annotated[
        Changing | None, Meta(description="The call that changes a ticket's state")
    ] = None
    assign: Annotated[Assigning | None, Meta(description="The call that assigns a ticket")] = None
    find_ticket: Annotated[
        Finding | None, Meta(description="Looks for a ticket whose making was not answered")
    ] = None
    find: Annotated[
        Finding | None, Meta(description="Looks for a message whose adding was not answered")
    ] = None
    probe: Annotated[Probing | None, Meta(description="What hub check calls")] = None
    file_hosts: Annotated[
        list[str], Meta(description="Further hosts that agents' files lie on")
    ] = field(default_factory=list)


def ticket_names(calls: HttpDeskCalls) -> frozenset[str]:
    """What can be filled in once there is a ticket."""
    kept = [calls.open.facts, calls.prepare.facts if calls.prepare else {}]
    facts = {name for one in kept for name in one}
    return CASE | {"ticket"} | facts | frozenset(calls.secrets)


def call_mistakes(calls: HttpDeskCalls) -> Iterator[tuple[str, str]]:
    """Every mistake in the templates: (setting, what it wants)."""
    secrets = frozenset(calls.secrets)
    prepared = frozenset(calls.prepare.facts if calls.prepare else {})
    kept, files = ticket_names(calls), {"uploads"} if calls.upload else set()
    first = CASE | prepared | secrets
    plans: list[tuple[str, Request | None, frozenset[str] | set[str]]] = [
        ("prepare", calls.prepare, CASE | secrets),
        ("open", calls.open, first | POST),
        ("add", calls.add, kept | POST | files),
        ("note", calls.note, kept | POST | files),
        ("upload", calls.upload, kept | _FILE),
        ("change", calls.change, kept | {"state"}),
        ("assign", calls.assign, kept | {"assignee"}),
        ("find_ticket", calls.find_ticket, first | POST),
        ("find", calls.find, kept | POST),
        ("probe", calls.probe, secrets),
    ]
    for name, request, known in plans:
        if request is not None:
            for setting, wrong in request_mistakes(request, known):
                yield f"{name}.{setting}", wrong
    yield from _common_mistakes(calls, secrets)
    for wrong in wrong_holes(calls.open.ticket, first):
        yield "open.ticket", wrong
    for name in ("find_ticket", "find"):
        found: Finding | None = getattr(calls, name)
        for wrong in wrong_holes(found.match if found else {}, first | kept | POST):
            yield f"{name}.match", wrong
        if found is not None and not found.match:
            yield f"{name}.match", "is empty, and would take any item for ours"


def _common_mistakes(calls: HttpDeskCalls, secrets: frozenset[str]) -> Iterator[tuple[str, str]]:
    for name, wrong in header_mistakes(calls.headers, secrets):
        yield f"headers.{name}", wrong
    for name, value in calls.query.items():
        for wrong in wrong_holes(value, secrets | {"signature", "ts", "ts_ms", "nonce"}):
            yield f"query.{name}", wrong
    for wrong in wrong_holes(calls.basic_auth or "", secrets):
        yield "basic_auth", wrong
    if calls.answers.ok_path is not None and not calls.answers.ok_values:
        yield "answers.ok_values", "is missing; wants what ok_path says for success"
    if (signing := calls.signing) is not None:
        known = secrets | {"body", "body_md5", "body_sha256", "path", "ts", "ts_ms", "nonce"}
        for wrong in wrong_holes([signing.over, signing.key or ""], known):
            yield "signing.over", wrong
        if signing.algorithm.startswith("hmac-") and not signing.key:
            yield "signing.key", "is missing; an HMAC wants one, e.g. {secret}"
    for name in secrets & (CASE | POST):
        yield f"secrets.{name}", "is a name that templates have for something else"

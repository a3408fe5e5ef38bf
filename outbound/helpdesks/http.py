"""Any helpdesk with an HTTP API, by settings: what is put into its tickets."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urljoin, urlsplit

from msgspec import Meta, field

from hub.channel import HttpAnswer
from hub.destination import Case, DeskTools, HeardFile, Post, PostFile, State, Ticket, Told
from hub.errors import Ambiguous, Rejected, SendError, Unknowable, Unreachable
from hub.model import Secret
from hub.text import at_path
from outbound.helpdesks._answers import check_answer
from outbound.helpdesks._notes import titled, told_text, with_footer
from outbound.helpdesks._requests import (
    Answers,
    Method,
    Request,
    Signing,
    header_mistakes,
    plain,
    read_answer,
    request_mistakes,
    written,
)
from outbound.helpdesks._settings import DeskSettings
from outbound.helpdesks._templates import fill_text, has_holes, wrong_holes

__all__ = [
    "Adding",
    "Assigning",
    "Changing",
    "Finding",
    "HttpDeskApi",
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
_HEADER = "header:"


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


class HttpDeskApi:
    """The calls; a :class:`hub.destination.Desk` but for what comes back."""

    def __init__(self, settings: HttpDeskCalls, tools: DeskTools) -> None:
        self._calls = settings
        self._tools = tools
        self._base = settings.base_url.rstrip("/")
        self.files_each = 1 if settings.add.file_field and not settings.upload else 10
        self._secrets = {name: one.reveal() for name, one in settings.secrets.items()}
        self._headers = {"Accept": "application/json", **settings.headers}
        if settings.basic_auth is not None:
            pair = fill_text(settings.basic_auth, self._secrets).encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"

    async def call(
        self, request: Request, values: Mapping[str, Any], file: PostFile | None = None
    ) -> tuple[Any, HttpAnswer]:
        """One call; what its answer says, and the answer.

        Raises:
            SendError: it was not taken.
        """
        writes = request.method != "GET" and not request.repeatable
        made = written(
            request,
            {**values, **self._secrets},
            signing=self._calls.signing,
            headers=self._headers,
            query=self._calls.query,
            now=self._tools.clock(),
        )
        more: dict[str, Any] = {"data": made.body}
        headers = dict(made.headers)
        if file is not None:
            more = _with_file(request, file, values, headers)
        try:
            answer = await self._tools.http(
                made.method,
                f"{self._base}{made.path}",
                params=made.query or None,
                headers=headers,
                **more,
            )
            return read_answer(answer, self._calls.answers, writes=writes), answer
        except Ambiguous as error:
            if writes:
                raise
            raise Unreachable(error.detail, external_code=error.external_code) from error

    # -- posting -------------------------------------------------------------------------------------

    async def open(self, case: Case, post: Post) -> tuple[Ticket, str]:
        """As :class:`hub.destination.Desk` says."""
        facts = await self._prepared(case)
        values = {**facts, **_of_post(post)}
        opening = self._calls.open
        body, answer = await self.call(opening, values)
        if has_holes(opening.ticket):
            ref = fill_text(opening.ticket, values)
        else:
            ref = _named(body, answer, opening.ticket)
        if not ref:
            raise Ambiguous("it made a ticket and did not say which: is open.ticket right?")
        kept = {name: _found(body, answer, path) for name, path in opening.facts.items()}
        made = _named(body, answer, opening.message) if opening.message else ""
        return Ticket(ref=ref, facts=facts | kept), made or f"hub:{post.key}"

    async def _prepared(self, case: Case) -> dict[str, Any]:
        """What is known of the case, with what ``prepare`` answers; that call may be made again."""
        facts = _of_case(case)
        if (prepare := self._calls.prepare) is not None:
            try:
                body, answer = await self.call(prepare, facts)
            except Ambiguous as error:
                raise Unreachable(error.detail) from error
            facts |= {name: _found(body, answer, path) for name, path in prepare.facts.items()}
        return facts

    async def add(self, ticket: Ticket, post: Post) -> str:
        """As :class:`hub.destination.Desk` says; where there is no ``note``, agents are told nothing."""
        request = self._calls.add if post.role == "contact" else self._calls.note
        if request is None:
            return f"hub:{post.key}"
        values = {**_of_ticket(ticket), **_of_post(post)}
        if post.files and self._calls.upload is not None:
            values["uploads"] = [await self._upload(ticket, file) for file in post.files]
        elif post.files and not request.file_field:
            values |= _of_post(post, _links(post.files))
        values.setdefault("uploads", [])
        file = post.files[0] if post.files and request.file_field else None
        body, answer = await self.call(request, values, file)
        made = _named(body, answer, request.message) if request.message else ""
        return made or f"hub:{post.key}"

    async def _upload(self, ticket: Ticket, file: PostFile) -> Any:
        """One file ahead of its message; one that nobody refers to is no harm."""
        upload = self._calls.upload
        assert upload is not None  # noqa: S101 (the caller looked)
        try:
            body, answer = await self.call(upload, _of_ticket(ticket) | _of_file(file), file)
        except Ambiguous as error:
            raise Unreachable(error.detail) from error
        return _found(body, answer, upload.value)

    async def change(self, ticket: Ticket, state: State) -> None:
        """As :class:`hub.destination.Desk` says; a state that has no name there is left."""
        change = self._calls.change
        if change is not None and (name := change.states.get(state)) is not None:
            await self._set(change, ticket, {"state": name})

    async def assign(self, ticket: Ticket, assignee: str | None) -> None:
        """As :class:`hub.destination.Desk` says."""
        if (assign := self._calls.assign) is not None:
            await self._set(assign, ticket, {"assignee": assignee or assign.nobody})

    async def _set(self, request: Request, ticket: Ticket, values: Mapping[str, Any]) -> None:
        """A call that leaves the ticket as it should be, however often it is made."""
        try:
            await self.call(request, {**_of_ticket(ticket), **values})
        except Ambiguous as error:
            raise Unreachable(error.detail) from error

    async def tell(self, ticket: Ticket, told: Told) -> None:
        """A note where a reply did not simply go out."""
        if (text := told_text(told)) is None or self._calls.note is None:
            return
        post = Post(key=f"told:{told.ref}", role="hub", text=text, at=self._tools.clock())
        values = {**_of_ticket(ticket), **_of_post(post), "uploads": []}
        await self.call(self._calls.note, values)

    # -- looking up ----------------------------------------------------------------------------------

    async def find_ticket(self, case: Case, post: Post) -> tuple[Ticket, str | None] | None:
        """By ``find_ticket``; what a repeat cannot double needs none.

        Raises:
            Unknowable: there is no such call.
        """
        finding = self._calls.find_ticket
        if finding is None:
            if self._calls.open.repeatable:
                return None
            raise Unknowable("nobody can tell whether the ticket was made (no find_ticket is set)")
        facts = await self._prepared(case)
        for one in await self._matching(finding, {**facts, **_of_post(post)}):
            kept = {name: at_path(one, path) for name, path in finding.facts.items()}
            ref = fill_text(self._calls.open.ticket, facts)
            if not has_holes(self._calls.open.ticket):
                ref = plain(at_path(one, finding.id))
            ticket = Ticket(ref=ref, facts=facts | kept)
            return ticket, await self._first_message(ticket, post)
        return None

    async def _first_message(self, ticket: Ticket, post: Post) -> str:
        """The id of the message that a ticket was made with, where it can be told."""
        if self._calls.find is not None:
            try:
                if found := await self.find(ticket, post):
                    return found[0]
            except SendError:
                pass  # the ticket is there, and so is its first message: they were one call
        return f"hub:{post.key}"

    async def find(self, ticket: Ticket, post: Post) -> Sequence[str]:
        """By ``find``; what a repeat cannot double needs none.

        Raises:
            Unknowable: there is no such call.
        """
        request = self._calls.add if post.role == "contact" else self._calls.note
        if request is None or request.repeatable:
            return ()
        if (finding := self._calls.find) is None:
            raise Unknowable("nobody can tell whether it was added (no find is set)")
        items = await self._matching(finding, {**_of_ticket(ticket), **_of_post(post)})
        return [plain(at_path(one, finding.id)) for one in items]

    async def _matching(self, finding: Finding, values: Mapping[str, Any]) -> list[Any]:
        body, _ = await self.call(finding, values)
        items = at_path(body, finding.items)
        if not isinstance(items, list):
            raise Unreachable(f"its answer has no list at {finding.items}")
        wanted = {path: fill_text(one, values) for path, one in finding.match.items()}
        return [
            one
            for one in items
            if all(plain(at_path(one, path)) == text for path, text in wanted.items())
        ]

    async def fetch(self, file: HeardFile) -> bytes:
        """As :class:`hub.destination.Desk` says; credentials go to the helpdesk itself only."""
        url = urljoin(f"{self._base}/", file.url)
        parts = urlsplit(url)
        is_own = (parts.scheme, parts.netloc) == urlsplit(self._base)[:2]
        if not is_own and (parts.hostname not in self._calls.file_hosts):
            raise Rejected(f"the file {file.filename} lies on a host that is not in file_hosts")
        headers = {}
        if is_own:
            values: dict[str, Any] = dict(self._secrets)
            headers = {name: fill_text(one, values) for name, one in self._headers.items()}
        answer = await self._tools.files("GET", url, headers=headers)
        check_answer(answer, writes=False)
        return answer.body


def _with_file(
    request: Request, file: PostFile, values: Mapping[str, Any], headers: dict[str, str]
) -> dict[str, Any]:
    """What carries *file*: a multipart body beside the form's fields, or the file as the whole body."""
    name = getattr(request, "file_field", None)
    headers.pop("content-type", None)
    if name is None:
        headers["content-type"] = file.mime_type
        return {"data": file.content}
    fields = {key: fill_text(one, values) for key, one in (request.form or {}).items()}
    return {"form": fields, "files": {name: (file.filename, file.content, file.mime_type)}}


def _found(body: Any, answer: HttpAnswer, path: str) -> Any:
    """What an answer says at *path*, or in a header."""
    if path.startswith(_HEADER):
        wanted = path.removeprefix(_HEADER).lower()
        named = (one for name, one in answer.headers.items() if name.lower() == wanted)
        return next(named, None)
    return at_path(body, path)


def _named(body: Any, answer: HttpAnswer, path: str) -> str:
    """An id in an answer; of a ``Location`` its last part."""
    found = plain(_found(body, answer, path))
    if path.lower() == f"{_HEADER}location":
        return urlsplit(found).path.rstrip("/").rpartition("/")[2]
    return found


def _of_case(case: Case) -> dict[str, Any]:
    address = case.address
    customer = hashlib.sha256(f"{address.scheme}:{address.scope}:{address.value}".encode())
    return {
        "account": case.account,
        "address": address.value,
        "address_scheme": address.scheme,
        "case": case.key,
        "case_number": case.number,
        "channel": case.channel,
        "channel_title": case.channel_title,
        "conversation": case.conversation_id,
        "customer": customer.hexdigest()[:24],
        "name": case.name or address.value,
        "queue": case.queue,
        "subject": case.subject or "",
        "title": titled(case, 200),
    }


def _of_ticket(ticket: Ticket) -> dict[str, Any]:
    return {**ticket.facts, "ticket": ticket.ref}


def _of_post(post: Post, links: Sequence[str] = ()) -> dict[str, Any]:
    text = "\n".join(filter(None, (post.text.replace("\0", ""), *links))) or "—"
    return {
        "at": post.at.isoformat(),
        "author": post.author or "",
        "footer": post.footer or "",
        "post": post.key,
        "replies_left": post.replies_left,
        "reply_until": post.reply_until.isoformat() if post.reply_until else None,
        "said": with_footer(text, post),
        "text": text,
    }


def _of_file(file: PostFile) -> dict[str, Any]:
    return {
        "filename": file.filename,
        "mime_type": file.mime_type,
        "file_size": len(file.content),
        "file_md5": hashlib.md5(file.content, usedforsecurity=False).hexdigest(),
        "file_base64": base64.b64encode(file.content).decode("ascii"),
    }


def _links(files: Sequence[PostFile]) -> list[str]:
    return [f"[file] {one.filename} {one.link or 'is kept in the hub'}" for one in files]

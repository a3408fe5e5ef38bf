"""Any helpdesk with an HTTP API, by settings: what is put into its tickets."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

from hub.channel import HttpAnswer
from hub.destination import Case, DeskTools, HeardFile, Post, PostFile, State, Ticket, Told
from hub.errors import Ambiguous, Rejected, SendError, Unknowable, Unreachable
from hub.text import at_path
from outbound.helpdesks._answers import check_answer
from outbound.helpdesks._http_calls import Finding, HttpDeskCalls
from outbound.helpdesks._notes import titled, told_text, with_footer
from outbound.helpdesks._requests import (
    Request,
    plain,
    read_answer,
    written,
)
from outbound.helpdesks._templates import fill_text, has_holes

__all__ = ["HttpDeskApi"]

_HEADER = "header:"


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

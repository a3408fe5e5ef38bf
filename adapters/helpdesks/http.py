"""Any helpdesk with an HTTP API and callbacks, by settings; Zendesk and Qiyu stand in the docs.

A callback that is signed over its body is taken at its word. Any other is a hint: the ticket's messages are
read back by ``list`` before anything is sent.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import msgspec
from msgspec import Meta, Struct, field

from adapters.helpdesks._proof import Proof, proof_mistakes, prove, reading
from hub.channel import Check, IntakeRequest, NotRecognised, Response
from hub.destination import Callback, DeskTools, Destination, Seen, Target, Ticket
from hub.errors import SendError, Unreachable
from hub.text import at_path
from normalizers.helpdesks.http import (
    Entry,
    Source,
    Standing,
    entry_mistakes,
    heard_of,
    items_at,
    standing_of,
)
from outbound.helpdesks._http_calls import HttpDeskCalls, call_mistakes, ticket_names
from outbound.helpdesks._requests import Method, Request, plain, read_answer, request_mistakes
from outbound.helpdesks._templates import fill_text
from outbound.helpdesks.http import HttpDeskApi

__all__ = ["DESTINATION", "CallbackRules", "HttpDesk", "HttpDeskSettings"]

MAX_PAGES = 10
_FIELDS = 200


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the helpdesk wants to hear."""

    status: Annotated[int, Meta(ge=200, le=299, description="HTTP status")] = 200
    body: Annotated[str, Meta(description="Body of the answer")] = ""
    content_type: Annotated[str, Meta(description="Its type")] = "text/plain; charset=utf-8"


class CallbackRules(Standing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.callback]``: what a callback says."""

    ticket: Annotated[str, Meta(description="Where it names the ticket")]
    items: Annotated[str | None, Meta(description="Where a list is, when it brings several")] = None
    when: Annotated[
        dict[str, tuple[str, ...]],
        Meta(description="Only these callbacks matter; others are answered"),
    ] = field(default_factory=dict)
    entry: Annotated[
        Entry | None, Meta(description="Its message; without it each callback has the ticket read")
    ] = None
    signature: Annotated[
        Proof | None, Meta(description="What proves it; without it messages are read back by list")
    ] = None
    answer: Annotated[Answer, Meta(description="What the helpdesk wants to hear")] = Answer()


class Listing(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.list]``: reads a ticket's messages."""

    method: Annotated[Method, Meta(description="Of the request")] = "GET"
    items: Annotated[str, Meta(description="Where the answer has the list")]
    entry: Annotated[Entry, Meta(description="Where a message says what")]
    next: Annotated[str | None, Meta(description="Where the URL of the next page stands")] = None
    overlap: Annotated[
        int, Meta(ge=0, description="{after} is so far below the highest order that was seen")
    ] = 100


class Reading(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.read]``: reads a ticket's state and assignee."""

    method: Annotated[Method, Meta(description="Of the request")] = "GET"
    standing: Annotated[Standing, Meta(description="Where the answer says what")]


class HttpDeskSettings(HttpDeskCalls, frozen=True, kw_only=True):
    """``[destinations.NAME]`` with ``type = "http"``."""

    callback: Annotated[CallbackRules | None, Meta(description="What its callbacks say")] = None
    list: Annotated[
        Listing | None,
        Meta(description="The call that reads a ticket's messages; also the poller's"),
    ] = None
    read: Annotated[
        Reading | None, Meta(description="The call that reads a ticket's state and assignee")
    ] = None

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong beyond types: (setting, what it wants)."""
        yield from super().mistakes()
        yield from call_mistakes(self)
        kept = ticket_names(self)
        for name, one in (("list", self.list), ("read", self.read)):
            if one is not None:
                known = kept | ({"after"} if name == "list" else set())
                for setting, wrong in request_mistakes(one, known):
                    yield f"{name}.{setting}", wrong
        if self.list is not None:
            for setting, wrong in entry_mistakes(self.list.entry, kept):
                yield f"list.entry.{setting}", wrong
        yield from _callback_mistakes(self)


def _callback_mistakes(settings: HttpDeskSettings) -> Iterator[tuple[str, str]]:
    rules = settings.callback
    if rules is None:
        if settings.list is None:
            yield "list", "is missing; with neither list nor callback no answer comes back"
        return
    if rules.entry is not None:
        for setting, wrong in entry_mistakes(rules.entry, frozenset(settings.secrets)):
            yield f"callback.entry.{setting}", wrong
    if rules.signature is not None:
        for setting, wrong in proof_mistakes(rules.signature):
            yield f"callback.signature.{setting}", wrong
    proven = rules.signature is not None and rules.signature.covers_body
    if settings.list is None and not proven:
        why = "is not over the body" if rules.signature else "is missing"
        yield "callback.signature", f"{why}; then messages have to be read back, which wants list"
    if settings.list is None and rules.entry is None:
        yield "callback.entry", "is missing; without list nothing else says what agents wrote"


class HttpDesk(HttpDeskApi):
    """The connector."""

    def __init__(self, target: Target, tools: DeskTools) -> None:
        self.settings: HttpDeskSettings = target.settings
        super().__init__(self.settings, tools)

    # -- callbacks -----------------------------------------------------------------------------------

    async def accept(self, request: IntakeRequest) -> Callback:
        """As :class:`hub.destination.Desk` says."""
        rules = self.settings.callback
        if rules is None:
            raise NotRecognised("no callbacks are set up")
        proof = rules.signature
        if proof is not None:
            prove(proof, request)
        with reading("this helpdesk"):
            seen = self._seen(rules, request)
        answer = rules.answer
        response = Response(
            answer.status, answer.body.encode(), {"content-type": answer.content_type}
        )
        return Callback(
            seen=seen[0] if seen else None,
            more=tuple(seen[1:]),
            proven=proof is not None and proof.covers_body,
            response=response,
            final=self.settings.read is None,
        )

    def _seen(self, rules: CallbackRules, request: IntakeRequest) -> list[Seen]:
        query = dict(parse_qsl(request.query, keep_blank_values=True, max_num_fields=_FIELDS))
        body = _body_of(request)
        found: dict[str, Seen] = {}
        for item in items_at(body, rules.items):
            source = Source(item, body, query, request.headers)
            if any(source.text(place) not in wanted for place, wanted in rules.when.items()):
                continue
            if not (ticket := source.text(rules.ticket)):
                raise ValueError(f"nothing stands at {rules.ticket}")
            now = standing_of(rules, source, ticket)
            before = found.get(ticket, Seen(ticket=ticket))
            found[ticket] = msgspec.structs.replace(
                now, items=before.items + self._items(rules.entry, source, request)
            )
        return list(found.values())

    def _items(
        self, entry: Entry | None, source: Source, request: IntakeRequest
    ) -> tuple[Any, ...]:
        if entry is None:
            return ()
        values = {name: str(one) for name, one in self._secrets.items()}
        made = heard_of(entry, source, base_url=self._base, values=values, at=request.received_at)
        return (made,) if made is not None else ()

    # -- looking -------------------------------------------------------------------------------------

    async def look(self, ticket: Ticket, after: int | None) -> Seen:
        """As :class:`hub.destination.Desk` says; with neither ``read`` nor ``list`` there is nothing to
        see."""
        values: dict[str, Any] = {**ticket.facts, "ticket": ticket.ref}
        seen = Seen(ticket=ticket.ref)
        if self.settings.read is not None:
            body, _ = await self.call(self.settings.read, values)
            seen = standing_of(self.settings.read.standing, Source(body, body), ticket.ref)
        if self.settings.list is None:
            return seen
        least = max(0, (after or 0) - self.settings.list.overlap)
        items = await self._listed(self.settings.list, {**values, "after": least})
        return msgspec.structs.replace(seen, items=tuple(sorted(items, key=lambda one: one.order)))

    async def _listed(self, listing: Listing, values: dict[str, Any]) -> list[Any]:
        body, _ = await self.call(listing, values)
        texts = {name: plain(value) for name, value in {**values, **self._secrets}.items()}
        found = []
        for _ in range(MAX_PAGES):
            try:
                items = items_at(body, listing.items)
            except ValueError as error:
                raise Unreachable(f"its answer to list: {error}") from error
            for item in items:
                made = heard_of(
                    listing.entry, Source(item, body), base_url=self._base, values=texts
                )
                if made is not None:
                    found.append(made)
            following = plain(at_path(body, listing.next)) if listing.next else ""
            if not following:
                break
            body = await self._page(following)
        return found

    async def _page(self, url: str) -> Any:
        """A further page, whose URL the helpdesk gave: on the same host only."""
        whole = urljoin(f"{self._base}/", url)
        if urlsplit(whole)[:2] != urlsplit(self._base)[:2]:
            raise Unreachable("the next page lies on another host")
        headers = {name: fill_text(one, self._secrets) for name, one in self._headers.items()}
        answer = await self._tools.http("GET", whole, headers=headers)
        return read_answer(answer, self.settings.answers, writes=False)

    async def check(self, callback_url: str | None) -> AsyncIterator[Check]:
        """The call that was chosen for it, and where callbacks go."""
        if (probe := self.settings.probe) is not None:
            try:
                await self.call(probe, {})
            except SendError as error:
                yield Check(False, "API", f"{self._base}: {error.detail or error.sentence}")
                return
            yield Check(True, "API", f"{self._base}{probe.path} answers")
        if self.settings.callback is None:
            yield Check(True, "callbacks", f"none; looked at every {self.settings.poll_s:g} s")
            return
        proof = self.settings.callback.signature
        yield Check(
            callback_url is not None,
            "callbacks",
            ("signed" if proof else "by a secret path, read back")
            if callback_url
            else "hub.public_url is not set",
            f"Have the helpdesk call {callback_url}" if callback_url else None,
        )


def _body_of(request: IntakeRequest) -> Any:
    """A JSON body, or the fields of a form."""
    text = request.body.decode("utf-8")
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS))
    return msgspec.json.decode(text) if text.strip() else {}


DESTINATION = Destination(
    key="http",
    title="Any helpdesk by HTTP",
    settings=HttpDeskSettings,
    desk=HttpDesk,
)

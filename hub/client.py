"""A client of the hub's API for Python programs, typed by the structs that the API itself answers with.

    async with HubClient("https://hub.example.com", token) as hub:
        async for event in hub.events(after=saved):
            ...
            await hub.reply(event.data["message"]["conversation"]["id"], "Thank you!")

Whatever it sends may be sent again without being done twice: each request that says something carries an
``Idempotency-Key``, and what fails for a moment is tried again with the same one.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import aiohttp
import msgspec

from hub.web.api.events import FeedEvent, FeedPage
from hub.web.problems import ProblemDetails
from hub.web.shapes import Attachment, Conversation, ConversationPage, Message, MessagePage

__all__ = ["ApiError", "HubClient", "Seen"]

T = TypeVar("T")

TRIES = 6
PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
REQUEST_S = 60.0
POLL_S = 25
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of a hub that is busy or restarting; others pass when they come with ``Retry-After``."""


class ApiError(Exception):
    """The hub refused a request; *problem* says why (RFC 9457)."""

    def __init__(self, problem: ProblemDetails) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem

    @property
    def kind(self) -> str:
        """The last part of the problem's type, such as ``window-closed``."""
        return self.problem.type.rpartition(":")[2]


class Seen(NamedTuple):
    """An event of the feed; *cursor* leads on from it, or from a little before, and is yours to keep."""

    event: FeedEvent
    cursor: str


class HubClient:
    """The API at one hub with one token; an async context manager that keeps connections open."""

    def __init__(self, url: str, token: str, *, tries: int = TRIES) -> None:
        """*url* is the hub's, without ``/v1``; *tries* is how often a request is made at the most."""
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._tries = tries
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    # -- reading ---------------------------------------------------------------------------------------

    async def conversation(self, conversation_id: str) -> Conversation:
        """One conversation, with what may still be said in it."""
        return await self._call("GET", f"/v1/conversations/{conversation_id}", Conversation)

    async def conversations(self, **filters: str) -> AsyncIterator[Conversation]:
        """All conversations that fit *filters* (``state``, ``queue``, ``account``, ``tag``, ``contact``)."""
        after: dict[str, str] = {}
        while True:
            page = await self._call("GET", "/v1/conversations", ConversationPage, filters | after)
            for one in page.items:
                yield one
            if page.next is None:
                return
            after = {"after": page.next}

    async def messages(self, conversation_id: str) -> AsyncIterator[Message]:
        """The messages of a conversation, the newest first."""
        path, after = f"/v1/conversations/{conversation_id}/messages", dict[str, str]()
        while True:
            page = await self._call("GET", path, MessagePage, after)
            for one in page.items:
                yield one
            if page.next is None:
                return
            after = {"after": page.next}

    async def message(self, message_id: str) -> Message:
        """One message, as it stands now."""
        return await self._call("GET", f"/v1/messages/{message_id}", Message)

    async def events(self, after: str = "latest", types: str | None = None) -> AsyncIterator[Seen]:
        """The feed from *after* on, without end and without a gap; ``oldest`` and ``latest`` are cursors too.

        Keep ``cursor`` once you are done with an event. After a restart the feed goes on from there; the
        last few events before it may come again, with the same ids.
        """
        query = {"wait": str(POLL_S), "after": after} | ({"types": types} if types else {})
        # Until there is a cursor: `latest` leads past what comes with the first.
        first = {"limit": "1"}
        while True:
            page = await self._call("GET", "/v1/events", FeedPage, query | first)
            first = {}
            for event in page.items[:-1]:
                yield Seen(event, query["after"])
            query["after"] = page.next
            for event in page.items[-1:]:
                yield Seen(event, page.next)

    # -- saying ----------------------------------------------------------------------------------------

    async def reply(
        self,
        conversation_id: str,
        text: str = "",
        *,
        attachments: tuple[str, ...] = (),
        key: str | None = None,
        **content: Any,
    ) -> Message:
        """Say something; returns when it is on disk at the hub, with what is to become of it.

        *attachments* are ids from :meth:`upload`; *content* is whatever else the API takes (``html``,
        ``subject``, ``menu``, ``template``, ``location``, ``link``, ``in_reply_to``). With a *key* of
        yours a repeat by another process is one reply too.

        Raises:
            ApiError: it cannot be said (``window-closed``, ``unsupported``, …).
        """
        said: dict[str, Any] = {"text": text} | content
        if attachments:
            said["attachments"] = [{"id": one} for one in attachments]
        path = f"/v1/conversations/{conversation_id}/messages"
        return await self._call("POST", path, Message, said=said, key=key or secrets.token_hex(16))

    async def change(self, conversation_id: str, **changes: Any) -> Conversation:
        """Change a conversation's ``queue``, ``state``, ``tags`` or ``assignee``."""
        path = f"/v1/conversations/{conversation_id}"
        return await self._call("PATCH", path, Conversation, said=changes)

    async def upload(
        self, content: bytes | Path, *, filename: str, mime_type: str = "application/octet-stream"
    ) -> Attachment:
        """Upload a file for a reply."""
        body = content if isinstance(content, bytes) else content.read_bytes()
        found = await self._answer(
            "POST", "/v1/attachments", {"filename": filename}, body, {"Content-Type": mime_type}
        )
        return msgspec.json.decode(found, type=Attachment)

    # -- the wire --------------------------------------------------------------------------------------

    async def _call(
        self,
        method: str,
        path: str,
        answer: type[T],
        query: Mapping[str, str] | None = None,
        *,
        said: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> T:
        body = None if said is None else msgspec.json.encode(said)
        headers = {"Content-Type": "application/json"} if said is not None else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        return msgspec.json.decode(
            await self._answer(method, path, query, body, headers), type=answer
        )

    async def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> bytes:
        """The body of a good answer, tried again while the hub is away or busy.

        Raises:
            ApiError: the hub says no.
            aiohttp.ClientError, TimeoutError: it is away, and was at each try.
        """
        if self._session is None:
            raise RuntimeError("HubClient is an async context manager: use it with `async with`")
        for number in range(1, self._tries + 1):
            last = number == self._tries
            try:
                async with self._session.request(
                    method, self._url + path, params=query, data=body, headers=headers
                ) as answer:
                    found = await answer.read()
                    if answer.status < 400:
                        return found
                    asked = answer.headers.get("Retry-After")
                    if last or (answer.status not in PASSING and asked is None):
                        raise ApiError(_problem(answer.status, found))
                    pause = _pause(number, asked)
            except (aiohttp.ClientError, TimeoutError):
                if last:
                    raise
                pause = _pause(number, None)
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")


def _pause(number: int, asked: str | None) -> float:
    if asked is not None and asked.isdigit():
        return min(float(asked), LONGEST_PAUSE_S)
    return random.uniform(0.5, 1.0) * min(PAUSE_S * (1 << number), LONGEST_PAUSE_S)  # noqa: S311


def _problem(status: int, body: bytes) -> ProblemDetails:
    try:
        return msgspec.json.decode(body, type=ProblemDetails)
    except msgspec.MsgspecError:  # a proxy's page, say
        return ProblemDetails(
            "about:blank", f"HTTP {status}", status, body[:200].decode("utf-8", "replace")
        )

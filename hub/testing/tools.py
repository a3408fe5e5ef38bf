"""What the hub hands to a channel, made for tests: scripted, recorded, and it reaches nothing."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from hub.channel import HttpAnswer, Token, Tools
from hub.errors import Unsupported
from hub.model import ReplyAttachment

__all__ = [
    "HttpCall",
    "MemoryMedia",
    "MemoryTokens",
    "RecordingLog",
    "ScriptedHttp",
    "TickingClock",
    "Workbench",
    "json_answer",
]


class HttpCall(NamedTuple):
    """One call that a channel made."""

    method: str
    url: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    json: Any
    form: Mapping[str, Any] | None
    data: bytes | None
    files: Mapping[str, tuple[str, bytes, str]]


Script = Callable[[HttpCall], HttpAnswer | Exception]
"""What a call is answered with; an exception is raised."""


def json_answer(value: Any, status: int = 200, **headers: str) -> HttpAnswer:
    """An answer with *value* as JSON; header names are written with ``_``."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return HttpAnswer(
        status, {"content-type": "application/json", **named}, msgspec.json.encode(value)
    )


class ScriptedHttp:
    """Answers each call by its script and remembers it in *calls*."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.calls: list[HttpCall] = []

    async def __call__(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        timeout: float = 15.0,
    ) -> HttpAnswer:
        """Make one call; see :class:`hub.channel.Http`."""
        call = HttpCall(method, url, params or {}, headers or {}, json, form, data, files or {})
        self.calls.append(call)
        answer = self.script(call)
        if isinstance(answer, Exception):
            raise answer
        return answer


class MemoryTokens:
    """Tokens in memory; *fetches* counts how often the platform was asked."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}
        self.fetches = 0

    async def get(
        self, name: str, fetch: Callable[[], Awaitable[Token]], *, unlike: str | None = None
    ) -> str:
        """The token *name*; see :class:`hub.channel.TokenStore`."""
        held = self.stored.get(name)
        if held is None or held == unlike:
            self.fetches += 1
            held = self.stored[name] = (await fetch()).value
        return held


class MemoryMedia:
    """Files in memory, by the id of the attachment."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def read(self, attachment: ReplyAttachment) -> bytes:
        """The whole file; see :class:`hub.channel.MediaStore`."""
        if attachment.content is not None:
            return attachment.content
        if attachment.id not in self.files:
            raise Unsupported("there is no such file")
        return self.files[attachment.id or ""]


class TickingClock:
    """A clock that starts at a fixed time and moves a millisecond each time it is read."""

    def __init__(self, now: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def advance(self, by: timedelta) -> None:
        """Let *by* pass."""
        self.now += by


class RecordingLog:
    """A log that remembers every line as (level, event, facts)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, Mapping[str, Any]]] = []

    def bind(self, **_facts: Any) -> "RecordingLog":
        """The same log: what is bound is of no interest to a test."""
        return self

    def __getattr__(self, level: str) -> Callable[..., None]:
        if level.startswith("_"):
            raise AttributeError(level)

        def write(event: object = "", *args: object, **facts: Any) -> None:
            self.lines.append((level, " ".join(map(str, (event, *args))), facts))

        return write


def _no_network(call: HttpCall) -> HttpAnswer:
    raise AssertionError(f"no answer is scripted for {call.method} {call.url}")


class Workbench:
    """Everything a channel gets, each part open to the test: ``WeChatSender(account, bench.tools)``."""

    def __init__(self, script: Script = _no_network) -> None:
        self.http = ScriptedHttp(script)
        self.tokens = MemoryTokens()
        self.media = MemoryMedia()
        self.clock = TickingClock()
        self.log = RecordingLog()

    @property
    def tools(self) -> Tools:
        """As the hub hands them over."""
        return Tools(
            http=self.http, tokens=self.tokens, media=self.media, clock=self.clock, log=self.log
        )

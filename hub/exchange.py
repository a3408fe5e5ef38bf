"""An HTTP exchange as people may see it: redacted, and cut."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from hub.errors import SendError
from hub.redact import redact, redact_headers

__all__ = ["Begun", "Exchange", "Observer", "Redactor", "observers", "recording"]

MAX_SHOWN = 4000
"""Characters of a body that are kept."""


class Exchange(NamedTuple):
    """One request and what came of it, without secrets: a row of the table ``exchanges``."""

    at: datetime
    method: str
    url: str
    status: int | None
    request: str
    answer: str | None
    error: str | None
    duration_ms: int


Observer = Callable[[Exchange], None]

_recorder: ContextVar[Observer | None] = ContextVar("hub_exchange_recorder", default=None)


@contextmanager
def recording(observer: Observer) -> Iterator[None]:
    """Every call made inside (in this task) is told to *observer*."""
    token = _recorder.set(observer)
    try:
        yield
    finally:
        _recorder.reset(token)


def observers(own: Observer | None) -> tuple[Observer, ...]:
    """Who wants to know of a call made now: the client's *own* observer and the task's."""
    return tuple(one for one in (own, _recorder.get()) if one is not None)


def _text(body: Any) -> str:
    if isinstance(body, Mapping):
        return "&".join(f"{name}={value}" for name, value in body.items())
    if isinstance(body, bytes):
        cut = body[: MAX_SHOWN * 4]
        text = cut.decode("utf-8", "replace")
        if text.count("\ufffd") > len(text) // 10:
            return f"<{len(body)} bytes>"
        return text
    return msgspec.json.encode(body).decode()


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(text)} characters)"


class Redactor:
    """Makes exchanges; hides the *secrets* that it is told besides those that names give away."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        self._secrets = secrets

    def begin(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> "Begun":
        """A call that starts now."""
        return Begun(self, method, url, headers, body)

    def text(self, value: str) -> str:
        """*value* without secrets."""
        return redact(value, self._secrets)

    def message(self, headers: Mapping[str, str], body: Any) -> str:
        """Headers, a blank line and the body, as they may be seen."""
        lines = [
            f"{name}: {value}" for name, value in redact_headers(headers, self._secrets).items()
        ]
        return "\n".join([*lines, "", _cut(self.text(_text(body)))])


class Begun:
    """A call under way; nothing is rendered before it is asked for."""

    def __init__(
        self, redactor: Redactor, method: str, url: str, headers: Mapping[str, str], body: Any
    ) -> None:
        self._redactor = redactor
        self._method, self._url, self._headers, self._body = method, url, headers, body
        self._at = datetime.now(UTC)
        self._start = time.monotonic()

    def _done(self, status: int | None, answer: str | None, error: str | None) -> Exchange:
        return Exchange(
            self._at,
            self._method,
            self._redactor.text(self._url),
            status,
            self._redactor.message(self._headers, self._body),
            answer,
            error,
            round((time.monotonic() - self._start) * 1000),
        )

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> Exchange:
        """The exchange with its answer."""
        return self._done(status, self._redactor.message(headers, body), None)

    def failed(self, error: SendError) -> Exchange:
        """The exchange that ended in *error*."""
        return self._done(None, None, self._redactor.text(f"{error.code}: {error.detail}"))

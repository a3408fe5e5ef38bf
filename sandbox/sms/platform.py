"""What all simulated providers have: a server, people's phones, callbacks, reports, faults."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import aiohttp
from aiohttp import web
from yarl import URL

from sandbox.faults import Fault, FaultBox, FaultKind, answered
from sandbox.http import Act, Handler, only_loopback, read_limited, serve
from sandbox.journal import Clock, Journal
from sandbox.phones import Bubble, Screens
from sandbox.phones.bubbles import Author

__all__ = ["Callback", "Pushed", "Refusal", "Reports", "SmsPlatform"]

MAX_REQUEST_BYTES = 1 << 20
READ_LIMIT_BYTES = 64 * 1024
ANSWER_S = 15.0

Reports = Literal["delivered", "failed", "never", "reversed"]
"""``delivered``: each message is reported as it goes, then delivered · ``failed``: … then failed ·
``never``: no reports · ``reversed``: the last report comes first."""


class Refusal(Exception):
    """The provider says no: its *code* and its words."""

    def __init__(self, code: int | str, message: str = "", status: int = 400) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status


class Callback(NamedTuple):
    """One callback, the same at every try."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Pushed:
    """How a callback ended: after how many tries, with which answer (None: none)."""

    acked: bool
    tries: int
    status: int | None
    answer: str


class SmsPlatform:
    """A provider on this machine; subclasses add its API and its callbacks.

    ``time_scale`` shortens the pauses between tries and before reports; ``clock`` dates everything.
    """

    RETRY_PAUSES: Sequence[float] = ()
    REPORT_PAUSE = 0.2

    def __init__(
        self,
        *,
        callback_url: str | None = None,
        clock: Clock = time.time,
        time_scale: float = 1.0,
        journal_path: Path | None = None,
        screens: Screens | None = None,
        chat: str = "",
    ) -> None:
        """*screens* may be shared by several providers, each with a *chat* of its own on them."""
        self.callback_url = callback_url
        self.clock = clock
        self.time_scale = time_scale
        self.journal = Journal(journal_path, clock=clock)
        self.screens = screens or Screens(clock)
        self.chat = chat
        self.faults = FaultBox()
        self.reports: Reports = "delivered"
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def api_base(self) -> str:
        """What the hub's ``api_base`` setting must say."""
        return f"http://127.0.0.1:{self.port}"

    def routes(self) -> list[web.RouteDef]:
        """The provider's API."""
        raise NotImplementedError

    def refused(self, refusal: Refusal) -> web.Response:
        """The answer that says no in the provider's way."""
        raise NotImplementedError

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; port 0 picks a free one."""
        app = web.Application(middlewares=[only_loopback], client_max_size=MAX_REQUEST_BYTES)
        app.add_routes(self.routes())
        self._runner, self.port = await serve(app, host, port)

    async def stop(self) -> None:
        """Stop listening, send no more reports, close the log."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._session is not None:
            await self._session.close()
        self.journal.close()

    def phone(self, number: str) -> list[Bubble]:
        """What the phone of *number* shows, oldest first."""
        return list(self.screens.bubbles(self.key_of(number)))

    def key_of(self, number: str) -> str:
        """The chat with this provider on the phone of *number*."""
        return f"{self.chat}:{number}" if self.chat else number

    def show(self, number: str, author: Author, text: str) -> None:
        """Another line in it."""
        self.screens.show(self.key_of(number), author, "text", text)

    def fail(self, kind: FaultKind, **rest: Any) -> None:
        """Make the next API calls go wrong; see ``sandbox.faults.Fault``."""
        self.faults.add(Fault(kind, **rest))

    def log(self, kind: str | None = None, *, after: int = 0) -> list[dict[str, Any]]:
        """The simulator's own record: ``push``, ``send``, ``report``, ``fault``."""
        return self.journal.entries(kind, after=after)

    # -- its API -------------------------------------------------------------------------------------

    def call(self, act: Act) -> Handler:
        """*act* as a handler, with the faults that are switched on."""

        async def say(request: web.Request) -> web.Response:
            try:
                return await act(request)
            except Refusal as refusal:
                self.journal.write("refused", path=request.path, code=refusal.code)
                return self.refused(refusal)

        async def handler(request: web.Request) -> web.StreamResponse:
            return await answered(
                request, say, faults=self.faults, journal=self.journal, refuse=self._switched_on
            )

        return handler

    def _switched_on(self, fault: Fault) -> web.Response:
        return self.refused(Refusal(fault.error or fault.code, "a fault that was switched on"))

    # -- its callbacks -------------------------------------------------------------------------------

    def acknowledges(self, status: int, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether an answer ends the matter for this provider."""
        return 200 <= status < 300

    def tries_again(self, status: int | None) -> bool:
        """Whether an answer of *status* (None: none at all) is followed by another try."""
        return status is None or status >= 500

    async def carry(self, callback: Callback, kind: str, **facts: Any) -> Pushed:
        """Deliver *callback*, trying again as the provider does; never raises for what comes back."""
        status: int | None = None
        answer, tries = "", 0
        for pause in (*self.RETRY_PAUSES, None):
            tries += 1
            status, answer, acked = await self._try(callback)
            if acked or pause is None or not self.tries_again(status):
                break
            await asyncio.sleep(pause * self.time_scale)
        pushed = Pushed(acked, tries, status, answer)
        self.journal.write(kind, acked=acked, tries=tries, status=status, **facts)
        return pushed

    async def _try(self, callback: Callback) -> tuple[int | None, str, bool]:
        session = self._session or aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
        )
        self._session = session
        try:
            async with (
                asyncio.timeout(ANSWER_S),
                session.request(
                    callback.method,
                    URL(callback.url, encoded=True),  # it is signed as it stands
                    headers=callback.headers,
                    data=callback.body,
                    allow_redirects=False,
                ) as response,
            ):
                body = await read_limited(response.content, READ_LIMIT_BYTES)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return None, repr(error), False
        acked = self.acknowledges(response.status, response.headers, body)
        self.received(callback, response.headers, body)
        return response.status, body[:500].decode("utf-8", "replace"), acked

    def received(self, callback: Callback, headers: Mapping[str, str], body: bytes) -> None:
        """What else the provider does with the answer to a callback."""

    def report_later(self, make: Sequence[Callable[[], Awaitable[Any]]]) -> None:
        """Send the reports that *make* makes, one after another, in the order of ``reports``."""
        if self.reports == "never" or not make:
            return
        ordered = list(reversed(make)) if self.reports == "reversed" else list(make)

        async def run() -> None:
            for each in ordered:
                await asyncio.sleep(self.REPORT_PAUSE * self.time_scale)
                await each()

        task = asyncio.create_task(run(), name="sms-reports")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

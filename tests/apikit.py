"""What the tests of the API share: a served API on a real database, callers, and things to read."""

import io
import json
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec

from hub import apitokens
from hub.channel import Capabilities, Channel
from hub.core import Core
from hub.errors import Unsupported, WindowClosed
from hub.media import Media
from hub.model import Allowance, Draft, Receipt, Reply, Secret
from hub.settings import Settings
from hub.web.app import Web, make_app
from hub.web.server import Listening, listen
from tests import corekit
from tests.webkit import MemoryIntake


class TextSender:
    """Says text; ``closed`` and ``song`` in it ask for what a channel may refuse."""

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        if reply.text == "closed":
            raise WindowClosed("the customer wrote too long ago")
        if reply.text == "song":
            raise Unsupported("it cannot sing")
        return [Draft(method="POST", url="https://platform.test/say", text=reply.text)]

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        return Receipt(status="sent", external_id="p1")


CHANNEL = Channel(
    key="test",
    title="Test",
    settings=corekit.Nothing,
    normalize=corekit.normalize,
    capabilities=Capabilities(),
    docs_url="",
)


@dataclass
class Answered:
    """An answer, read."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    """Calls the API with one token."""

    def __init__(self, http: aiohttp.ClientSession, base: str, token: str | None) -> None:
        self.http = http
        self.base = base
        self.token = token

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answered:
        sent = dict(headers or {})
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            more["data"] = io.BytesIO(
                body if isinstance(body, bytes) else json.dumps(body).encode()
            )
            sent.setdefault("Content-Type", "application/json")
        async with self.http.request(
            method, self.base + path, headers=sent, allow_redirects=False, **more
        ) as answer:
            text = (await answer.read()).decode("utf-8", "replace")
            return Answered(answer.status, answer.headers, text)

    async def get(self, path: str, **query: Any) -> Answered:
        return await self.call("GET", path, params={k: str(v) for k, v in query.items()})

    async def post(self, path: str, body: Any = None, **headers: str) -> Answered:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", path, {} if body is None else body, named)


@dataclass
class Api:
    """A served API."""

    core: Core
    web: Web
    listening: Listening
    http: aiohttp.ClientSession

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.listening.port}"

    async def client(
        self,
        *scopes: str,
        queues: Sequence[str] = ("*",),
        name: str = "desk",
        rate: float | None = None,
    ) -> Client:
        """A caller with a new token; without scopes: everything."""
        made = await apitokens.create(
            self.core.db, name, scopes=scopes or ("admin",), queues=queues, requests_per_s=rate
        )
        return Client(self.http, self.base, made.token)

    @property
    def nobody(self) -> Client:
        return Client(self.http, self.base, None)

    async def say(self, *said: dict[str, Any], account: str = "shop") -> None:
        """Customers write; everything is filed."""
        await corekit.store(self.core, *said, account=account)
        await corekit.file_all(self.core)


@asynccontextmanager
async def api(database_url: str, settings: Settings | None = None) -> AsyncIterator[Api]:
    """The API on *database_url*."""
    given = settings or corekit.settings_for(
        "http://127.0.0.1:9/hook", queues=("inbox", "sales", "after-sales")
    )
    folder = tempfile.TemporaryDirectory()
    hub = msgspec.structs.replace(given.hub, data_dir=folder.name, secret_key=Secret("k" * 40))
    chosen = given._replace(hub=hub)
    with folder:
        async with corekit.opened(database_url, chosen) as core, served(core) as made:
            yield made


@asynccontextmanager
async def served(core: Core) -> AsyncIterator[Api]:
    """The API of *core*; each call serves it anew, as another process would."""
    accounts: Any = {
        name: SimpleNamespace(
            plan=plan._replace(channel=CHANNEL),
            adapter=None,
            socket=None,
            listener=None,
            sender=TextSender(),
        )
        for name, plan in core.settings.accounts.items()
    }
    core.accounts = accounts
    core.media = Media(core.db, Path(core.settings.hub.data_dir), 1 << 20)
    web = make_app(core, MemoryIntake())
    listening = await listen(web.callbacks, "127.0.0.1", 0, max_connections=200)
    web.metrics.gates.append(listening.gate)
    async with aiohttp.ClientSession() as http:
        try:
            yield Api(core, web, listening, http)
        finally:
            await http.close()
            await listening.stop()
            await core.media.close()

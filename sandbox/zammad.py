"""Zammad, as far as a group of messaging tickets goes: a simulator made from its documented API.

Users, tickets and articles in memory; triggers call the hub, signed, tried a few times. Faults as in
``sandbox.chatwoot``.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import secrets
from typing import Any

import aiohttp
from aiohttp import web

from sandbox.chatwoot import Fault

__all__ = ["ZammadSimulator"]

STATES = {1: "new", 2: "open", 3: "pending reminder", 4: "closed"}
TRIES = 5


class ZammadSimulator:
    """One group with the hub's user (an agent) and another agent."""

    def __init__(self, *, signs: bool = True) -> None:
        self.token = secrets.token_hex(12)
        self.secret = secrets.token_hex(12) if signs else None
        self.hub_user_id, self.agent_id = 12, 5
        self.webhook_url: str | None = None
        self.lose_callbacks = False
        self.users: dict[int, dict[str, Any]] = {}
        self.tickets: dict[int, dict[str, Any]] = {}
        self.articles: dict[int, dict[str, Any]] = {}
        self.files: dict[int, bytes] = {}
        self.faults: list[Fault] = []
        self.answers: list[int] = []
        self._ids = 100
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def base_url(self) -> str:
        """What the connector's ``base_url`` must say."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        """Listen; port 0 picks a free one."""
        app = web.Application(middlewares=[self._guard], client_max_size=64 << 20)
        root = "/api/v1"
        app.add_routes(
            [
                web.get(f"{root}/users/me", self._me),
                web.get(f"{root}/users/search", self._search_users),
                web.post(f"{root}/users", self._make_user),
                web.get(f"{root}/ticket_states", self._states),
                web.get(f"{root}/tickets/search", self._search),
                web.post(f"{root}/tickets", self._open),
                web.get(f"{root}/tickets/{{id}}", self._show),
                web.put(f"{root}/tickets/{{id}}", self._change),
                web.post(f"{root}/ticket_articles", self._add),
                web.get(f"{root}/ticket_articles/by_ticket/{{id}}", self._list),
                web.get(f"{root}/ticket_attachment/{{ticket}}/{{article}}/{{id}}", self._file),
            ]
        )
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; what is on its way ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Token token={self.token}":
            return web.json_response({"error": "Authentication required"}, status=401)
        for fault in self.faults:
            if fault.count > 0 and fault.match(request):
                fault.count -= 1
                if fault.kept:
                    await handler(request)
                await asyncio.sleep(fault.delay_s)
                return web.Response(status=fault.status, body=fault.body)
        answer: web.StreamResponse = await handler(request)
        return answer

    def _new_id(self) -> int:
        self._ids += 1
        return self._ids

    # -- what the hub calls --------------------------------------------------------------------------

    async def _me(self, _request: web.Request) -> web.Response:
        return web.json_response({"id": self.hub_user_id, "login": "hub@acme.example"})

    async def _search_users(self, request: web.Request) -> web.Response:
        part = request.query["query"]
        found = [one for one in self.users.values() if part in one["login"]]
        return web.json_response(found)

    async def _make_user(self, request: web.Request) -> web.Response:
        body = await request.json()
        if any(one["login"] == body["login"] for one in self.users.values()):
            return web.json_response({"error": "Login is already taken"}, status=422)
        made = {"id": self._new_id(), **body}
        self.users[made["id"]] = made
        return web.json_response(made, status=201)

    async def _states(self, _request: web.Request) -> web.Response:
        shown = [{"id": i, "name": name, "state_type": name} for i, name in STATES.items()]
        return web.json_response(shown)

    async def _search(self, request: web.Request) -> web.Response:
        customer = int(request.query["query"].removeprefix("customer_id:"))
        found = [one for one in self.tickets.values() if one["customer_id"] == customer]
        return web.json_response(found[::-1])

    async def _open(self, request: web.Request) -> web.Response:
        body = await request.json()
        made = {
            "id": self._new_id(),
            "title": body["title"],
            "group": body["group"],
            "customer_id": body["customer_id"],
            "state": "new",
            "owner_id": 1,
            "article_ids": [],
        }
        self.tickets[made["id"]] = made
        self._write(made, body["article"], self.hub_user_id)
        return web.json_response(made, status=201)

    def _found(self, request: web.Request) -> dict[str, Any]:
        found = self.tickets.get(int(request.match_info["id"]))
        if found is None:
            raise web.HTTPNotFound(text='{"error":"Couldn\'t find Ticket"}')
        return found

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._found(request))

    async def _change(self, request: web.Request) -> web.Response:
        ticket, body = self._found(request), await request.json()
        self._set_state(ticket, body["state"])
        return web.json_response(ticket)

    async def _add(self, request: web.Request) -> web.Response:
        body = await request.json()
        made = self._write(self.tickets[body["ticket_id"]], body, self.hub_user_id)
        return web.json_response(made, status=201)

    async def _list(self, request: web.Request) -> web.Response:
        ids = self._found(request)["article_ids"]
        return web.json_response([self.articles[one] for one in ids])

    async def _file(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[int(request.match_info["id"])])

    # -- what agents do ------------------------------------------------------------------------------

    def reply(
        self,
        ticket_id: int,
        html: str,
        *,
        internal: bool = False,
        files: tuple[tuple[str, bytes], ...] = (),
    ) -> int:
        """The agent writes a note, public unless *internal*; the article's id."""
        article = {
            "body": html,
            "content_type": "text/html",
            "type": "note",
            "sender": "Agent",
            "internal": internal,
            "attachments": [
                {
                    "filename": name,
                    "data": base64.b64encode(data).decode(),
                    "mime-type": "text/plain",
                }
                for name, data in files
            ],
        }
        return int(self._write(self.tickets[ticket_id], article, self.agent_id)["id"])

    def close(self, ticket_id: int) -> None:
        """The agent closes the ticket."""
        self._set_state(self.tickets[ticket_id], "closed")

    def take(self, ticket_id: int) -> None:
        """The agent becomes its owner."""
        self.tickets[ticket_id]["owner_id"] = self.agent_id
        self._call_back(self.tickets[ticket_id])

    # -- inside --------------------------------------------------------------------------------------

    def _write(self, ticket: dict[str, Any], given: dict[str, Any], by: int) -> dict[str, Any]:
        made = {name: value for name, value in given.items() if name != "attachments"}
        made |= {"id": self._new_id(), "ticket_id": ticket["id"], "created_by_id": by}
        made["from"] = "Emma X" if by == self.agent_id else "Hub"
        made["attachments"] = []
        for one in given.get("attachments") or ():
            own = self._new_id()
            self.files[own] = base64.b64decode(one["data"], validate=True)
            preferences = {"Content-Type": one["mime-type"]}
            made["attachments"].append(
                {"id": own, "filename": one["filename"], "preferences": preferences}
            )
        self.articles[made["id"]] = made
        ticket["article_ids"].append(made["id"])
        if made.get("sender") == "Agent" and not made.get("internal"):
            self._call_back(ticket)
        return made

    def _set_state(self, ticket: dict[str, Any], state: str) -> None:
        if ticket["state"] != state:
            ticket["state"] = state
            self._call_back(ticket)

    def _call_back(self, ticket: dict[str, Any]) -> None:
        if self.webhook_url is None or self.lose_callbacks:
            return
        last = self.articles[ticket["article_ids"][-1]]
        raw = json.dumps({"ticket": ticket, "article": last}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "X-Zammad-Delivery": secrets.token_hex(8)}
        if self.secret is not None:
            mac = hmac.new(self.secret.encode(), raw, hashlib.sha1)
            headers["X-Hub-Signature"] = f"sha1={mac.hexdigest()}"
        task = asyncio.create_task(self._send(self.webhook_url, headers, raw))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, url: str, headers: dict[str, str], raw: bytes) -> None:
        assert self._http is not None  # noqa: S101
        for _ in range(TRIES):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._http.post(url, data=raw, headers=headers) as answer:
                    self.answers.append(answer.status)
                    if answer.status < 300:
                        return
            await asyncio.sleep(0.1)

"""Zammad, as far as a group of messaging tickets goes: a simulator made from its documented API.

Users, tickets and articles in memory; triggers call the hub, signed, tried a few times. Faults as in
``sandbox.desks``.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from sandbox.desks import DeskSimulator

__all__ = ["ZammadSimulator"]

STATES = {1: "new", 2: "open", 3: "pending reminder", 4: "closed"}


class ZammadSimulator(DeskSimulator):
    """One group with the hub's user (an agent) and another agent."""

    tries = 5
    pause_s = 0.1

    def __init__(self, *, signs: bool = True) -> None:
        super().__init__()
        self.token = secrets.token_hex(12)
        self.secret = secrets.token_hex(12) if signs else None
        self.hub_user_id, self.agent_id = 12, 5
        self.users: dict[int, dict[str, Any]] = {}
        self.tickets: dict[int, dict[str, Any]] = {}
        self.articles: dict[int, dict[str, Any]] = {}
        self.files: dict[int, bytes] = {}

    def routes(self) -> Sequence[web.RouteDef]:
        """The calls of its API that a connector needs."""
        root = "/api/v1"
        return [
            web.get(f"{root}/users/me", self._me),
            web.get(f"{root}/users/search", self._search_users),
            web.post(f"{root}/users", self._make_user),
            web.get(f"{root}/ticket_states", self._states),
            web.get(f"{root}/ticket_customer", self._of_customer),
            web.post(f"{root}/tickets", self._open),
            web.get(f"{root}/tickets/{{id}}", self._show),
            web.put(f"{root}/tickets/{{id}}", self._change),
            web.post(f"{root}/ticket_articles", self._add),
            web.get(f"{root}/ticket_articles/by_ticket/{{id}}", self._list),
            web.get(f"{root}/ticket_attachment/{{ticket}}/{{article}}/{{id}}", self._file),
        ]

    def refusal(self, request: web.Request) -> web.Response | None:
        """Every call wants the token."""
        if request.headers.get("Authorization") == f"Token token={self.token}":
            return None
        return web.json_response({"error": "Authentication required"}, status=401)

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
        made = {"id": self.new_id(), **body}
        self.users[made["id"]] = made
        return web.json_response(made, status=201)

    async def _states(self, _request: web.Request) -> web.Response:
        shown = [{"id": i, "name": name, "state_type": name} for i, name in STATES.items()]
        return web.json_response(shown)

    async def _of_customer(self, request: web.Request) -> web.Response:
        """The newest 15 open and closed ones, from the database; the search lags behind, or is not there."""
        customer = int(request.query["customer_id"])
        found = [one for one in self.tickets.values() if one["customer_id"] == customer][::-1]
        closed = [one["id"] for one in found if one["state"] == "closed"]
        opened = [one["id"] for one in found if one["state"] != "closed"]
        shown = {"ticket_ids_open": opened[:15], "ticket_ids_closed": closed[:15]}
        assets = {"Ticket": {str(one["id"]): one for one in found}}
        return web.json_response({**shown, "assets": assets})

    async def _open(self, request: web.Request) -> web.Response:
        body = await request.json()
        made = {
            "id": self.new_id(),
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
        if "owner_id" in body:
            self._own(ticket, int(body["owner_id"]))
        if "state" in body:
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
        self._own(self.tickets[ticket_id], self.agent_id)

    def _own(self, ticket: dict[str, Any], owner_id: int) -> None:
        ticket["owner_id"] = owner_id
        self._call_back(ticket)

    # -- inside --------------------------------------------------------------------------------------

    def _write(self, ticket: dict[str, Any], given: dict[str, Any], by: int) -> dict[str, Any]:
        made = {name: value for name, value in given.items() if name != "attachments"}
        made |= {"id": self.new_id(), "ticket_id": ticket["id"], "created_by_id": by}
        made["from"] = "Emma X" if by == self.agent_id else "Hub"
        made["attachments"] = []
        for one in given.get("attachments") or ():
            own = self.new_id()
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
        last = self.articles[ticket["article_ids"][-1]]
        raw = json.dumps({"ticket": ticket, "article": last}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "X-Zammad-Delivery": secrets.token_hex(8)}
        if self.secret is not None:
            mac = hmac.new(self.secret.encode(), raw, hashlib.sha1)
            headers["X-Hub-Signature"] = f"sha1={mac.hexdigest()}"
        self.call_back(headers, raw)

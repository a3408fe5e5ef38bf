"""Zendesk Support, as far as tickets, comments and a trigger's webhook go: made from its documented API.

Tickets know a repeat by ``Idempotency-Key``; a comment's id is the id of its event in the audit. The webhook
is signed over ``timestamp + body``, and its body is a template of the administrator's, here the ticket's id.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sandbox.desks import DeskSimulator

__all__ = ["ZendeskSimulator"]


class ZendeskSimulator(DeskSimulator):
    """One account with the hub's user and one agent."""

    def __init__(self) -> None:
        super().__init__()
        self.email, self.token = "hub@shop.example", secrets.token_hex(12)
        self.signing_secret = secrets.token_urlsafe(24)
        self.hub_id, self.agent_id = 9001, 9002
        self.tickets: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.users: dict[str, int] = {}
        self._keys: dict[str, web.Response] = {}

    def routes(self) -> Sequence[web.RouteDef]:
        """The calls of the documented API that a connector needs."""
        one = "/api/v2/tickets/{id}"
        return [
            web.get("/api/v2/users/me.json", self._me),
            web.post("/api/v2/tickets.json", self._open),
            web.get(f"{one}.json", self._show),
            web.put(f"{one}.json", self._update),
            web.get(f"{one}/comments.json", self._comments),
            web.get("/api/v2/search.json", self._search),
            web.post("/api/v2/uploads.json", self._upload),
            web.get("/attachments/{name}", self._file),
        ]

    def refusal(self, request: web.Request) -> web.Response | None:
        """Basic access with ``address/token`` as the user; files are public by their name."""
        pair = base64.b64encode(f"{self.email}/token:{self.token}".encode()).decode()
        if request.path.startswith("/attachments/"):
            return None
        if request.headers.get("Authorization") == f"Basic {pair}":
            return None
        return web.json_response({"error": "Couldn't authenticate you"}, status=401)

    # -- what the hub calls --------------------------------------------------------------------------

    async def _me(self, _request: web.Request) -> web.Response:
        return web.json_response({"user": {"id": self.hub_id, "email": self.email}})

    async def _open(self, request: web.Request) -> web.Response:
        key = request.headers.get("Idempotency-Key")
        if key in self._keys:
            body = self._keys[key].body
            return web.Response(
                status=201,
                body=body if isinstance(body, bytes) else b"",
                content_type="application/json",
                headers={"x-idempotency-lookup": "hit"},
            )
        given = (await request.json())["ticket"]
        who = given["requester"]["email"]
        requester = self.users.setdefault(who, self.new_id())
        made = {
            "id": self.new_id(),
            "subject": given["subject"],
            "external_id": given.get("external_id"),
            "requester_id": requester,
            "assignee_id": None,
            "status": "new",
        }
        self.tickets[made["id"]] = made
        self.comments[made["id"]] = []
        answer = self._answered(made, given, requester, 201)
        if key is not None:
            self._keys[key] = answer
        return answer

    def _found(self, request: web.Request) -> dict[str, Any]:
        found = self.tickets.get(int(request.match_info["id"]))
        if found is None:
            raise web.HTTPNotFound(text='{"error":"RecordNotFound"}')
        return found

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response({"ticket": self._found(request)})

    async def _update(self, request: web.Request) -> web.Response:
        ticket, given = self._found(request), (await request.json())["ticket"]
        for name in ("status", "assignee_id"):
            if name in given:
                ticket[name] = given[name]
        return self._answered(ticket, given, self.hub_id, 200)

    def _answered(
        self, ticket: dict[str, Any], given: dict[str, Any], author: int, status: int
    ) -> web.Response:
        events = []
        if "comment" in given:
            made = self._comment(ticket, given["comment"], author, given.get("metadata"))
            events.append({"id": made["id"], "type": "Comment"})
        audit = {"id": self.new_id(), "events": events}
        return web.json_response({"ticket": ticket, "audit": audit}, status=status)

    async def _comments(self, request: web.Request) -> web.Response:
        listed = self.comments[self._found(request)["id"]]
        size = int(request.query.get("page[size]", "100"))
        start = int(request.query.get("page[after]", "0"))
        more = start + size < len(listed)
        path = f"{request.path}?page[size]={size}&page[after]={start + size}"
        links = {"next": f"{self.base_url}{path}" if more else None}
        return web.json_response({"comments": listed[start : start + size], "links": links})

    async def _search(self, request: web.Request) -> web.Response:
        wanted = request.query["query"].partition("external_id:")[2].strip('"')
        found = [one for one in self.tickets.values() if one["external_id"] == wanted]
        return web.json_response({"results": found, "count": len(found)})

    async def _upload(self, request: web.Request) -> web.Response:
        token, name = secrets.token_hex(8), request.query["filename"]
        key = f"{token}-{name}"
        self.files[key] = await request.read()
        self.uploads[token] = {
            "id": self.new_id(),
            "file_name": name,
            "content_type": request.content_type,
            "content_url": f"{self.base_url}/attachments/{key}",
        }
        return web.json_response({"upload": {"token": token}}, status=201)

    async def _file(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["name"]])

    # -- what agents do ------------------------------------------------------------------------------

    def reply(
        self,
        ticket_id: int,
        text: str,
        *,
        public: bool = True,
        files: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """The agent writes a comment; its id."""
        tokens = []
        for name, content in files:
            token = secrets.token_hex(8)
            self.files[f"{token}-{name}"] = content
            url = f"{self.base_url}/attachments/{token}-{name}"
            self.uploads[token] = {"id": self.new_id(), "file_name": name, "content_url": url}
            tokens.append(token)
        given = {"body": text, "public": public, "uploads": tokens}
        made = self._comment(self.tickets[ticket_id], given, self.agent_id, None)
        self._trigger(ticket_id)
        return int(made["id"])

    def change(self, ticket_id: int, **values: Any) -> None:
        """The agent sets ``status`` or ``assignee_id``."""
        self.tickets[ticket_id].update(values)
        self._trigger(ticket_id)

    # -- inside --------------------------------------------------------------------------------------

    def _comment(
        self,
        ticket: dict[str, Any],
        given: dict[str, Any],
        author: int,
        metadata: dict[str, Any] | None,
    ) -> dict[str, Any]:
        made = {
            "id": self.new_id(),
            "type": "Comment",
            "author_id": given.get("author_id") or author,
            "body": given["body"],
            "plain_body": given["body"],
            "public": given.get("public", True),
            "attachments": [self.uploads[token] for token in given.get("uploads") or ()],
            "created_at": datetime.now(UTC).isoformat(),
            "metadata": {"system": {}, "custom": metadata or {}},
        }
        self.comments[ticket["id"]].append(made)
        return made

    def _trigger(self, ticket_id: int) -> None:
        raw = json.dumps({"ticket": {"id": str(ticket_id)}}).encode()
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        mac = hmac.new(self.signing_secret.encode(), at.encode() + raw, hashlib.sha256)
        headers = {
            "Content-Type": "application/json",
            "X-Zendesk-Webhook-Signature": base64.b64encode(mac.digest()).decode(),
            "X-Zendesk-Webhook-Signature-Timestamp": at,
        }
        self.call_back(headers, raw)

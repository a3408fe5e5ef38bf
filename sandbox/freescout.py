"""FreeScout with its API & Webhooks module, as far as chats go: a simulator made from its documentation."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from sandbox.desks import DeskSimulator

__all__ = ["FreeScoutSimulator"]


class FreeScoutSimulator(DeskSimulator):
    """One mailbox, the hub's user and one agent."""

    def __init__(self) -> None:
        super().__init__()
        self.key = secrets.token_hex(12)
        self.secret = hashlib.md5(secrets.token_bytes(8), usedforsecurity=False).hexdigest()
        self.hub_user_id, self.agent_id, self.mailbox_id = 14, 9, 2
        self.conversations: dict[int, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}

    def routes(self) -> Sequence[web.RouteDef]:
        """The calls of its API that a connector needs."""
        return [
            web.get("/api/conversations", self._list),
            web.post("/api/conversations", self._open),
            web.get("/api/conversations/{id}", self._show),
            web.put("/api/conversations/{id}", self._change),
            web.post("/api/conversations/{id}/threads", self._add),
            web.get("/storage/{name}", self._file),
        ]

    def refusal(self, request: web.Request) -> web.Response | None:
        """The API wants the key; files lie open under names that nobody guesses."""
        if not request.path.startswith("/api"):
            return None
        if request.headers.get("X-FreeScout-API-Key") == self.key:
            return None
        return web.json_response({"message": "Invalid API Key"}, status=401)

    # -- what the hub calls --------------------------------------------------------------------------

    async def _list(self, _request: web.Request) -> web.Response:
        newest = list(self.conversations.values())[::-1]
        return web.json_response({"_embedded": {"conversations": newest}})

    async def _open(self, request: web.Request) -> web.Response:
        body = await request.json()
        made = {
            "id": self.new_id(),
            "type": body["type"],
            "mailboxId": body["mailboxId"],
            "subject": body["subject"],
            "status": body["status"],
            "assignee": None,
            "customer": {"id": self.new_id(), "type": "customer", **body["customer"]},
            "_embedded": {"threads": []},
        }
        self.conversations[made["id"]] = made
        for thread in body["threads"]:
            self._write(made, thread)
        headers = {"Resource-ID": str(made["id"])}
        return web.json_response(made, status=201, headers=headers)

    def _found(self, request: web.Request) -> dict[str, Any]:
        return self.conversations[int(request.match_info["id"])]

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._found(request))

    async def _change(self, request: web.Request) -> web.Response:
        conversation, body = self._found(request), await request.json()
        if "assignTo" in body:
            self._assign(conversation, int(body["assignTo"]))
        if "status" in body:
            self._set_status(conversation, body["status"])
        return web.Response(status=204)

    async def _add(self, request: web.Request) -> web.Response:
        made = self._write(self._found(request), await request.json())
        return web.Response(status=201, headers={"Resource-ID": str(made["id"])})

    async def _file(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["name"]])

    # -- what agents do ------------------------------------------------------------------------------

    def reply(self, conversation_id: int, html: str, *, kind: str = "message") -> int:
        """The agent answers, or writes a note; the thread's id."""
        thread = {"type": kind, "text": html, "user": self.agent_id}
        return int(self._write(self.conversations[conversation_id], thread)["id"])

    def close(self, conversation_id: int) -> None:
        """The agent closes the conversation."""
        self._set_status(self.conversations[conversation_id], "closed")

    def take(self, conversation_id: int) -> None:
        """The agent is assigned."""
        self._assign(self.conversations[conversation_id], self.agent_id)

    def _assign(self, conversation: dict[str, Any], user_id: int) -> None:
        conversation["assignee"] = {"id": user_id, "type": "user"}
        self._call_back("convo.assigned", conversation)

    # -- inside --------------------------------------------------------------------------------------

    def _write(self, conversation: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        by_customer = given["type"] == "customer"
        author = {"id": given.get("user"), "type": "user", "firstName": "John"}
        made: dict[str, Any] = {
            "id": self.new_id(),
            "type": given["type"],
            "state": "published",
            "body": given["text"],
            "createdBy": conversation["customer"] if by_customer else author,
            "_embedded": {"attachments": []},
        }
        for one in given.get("attachments") or ():
            name = f"{self.new_id()}-{secrets.token_hex(4)}"
            self.files[name] = base64.b64decode(one["data"], validate=True)
            shown = {"fileName": one["fileName"], "fileUrl": f"{self.base_url}/storage/{name}"}
            made["_embedded"]["attachments"].append({**shown, "mimeType": one["mimeType"]})
        conversation["_embedded"]["threads"].insert(0, made)  # the newest first, as the module does
        names = {"message": "convo.agent.reply.created", "note": "convo.note.created"}
        self._call_back(names.get(given["type"], "convo.customer.reply.created"), conversation)
        return made

    def _set_status(self, conversation: dict[str, Any], status: str) -> None:
        if conversation["status"] != status:
            conversation["status"] = status
            self._call_back("convo.status", conversation)

    def _call_back(self, event: str, conversation: dict[str, Any]) -> None:
        raw = json.dumps(conversation, ensure_ascii=False).encode()
        mac = hmac.new(self.secret.encode(), raw, hashlib.sha1)
        headers = {
            "Content-Type": "application/json",
            "X-FreeScout-Event": event,
            "X-FreeScout-Signature": base64.b64encode(mac.digest()).decode(),
        }
        self.call_back(headers, raw)

"""Chatwoot, as far as an API inbox and its agents go: a simulator made from its documented API.

It keeps contacts, conversations and messages in memory, answers the calls that connectors make, and sends
signed callbacks: once, within five seconds, from parallel workers. Faults: answers with an error, kept or
not, a slow answer, callbacks that are lost, doubled or swapped.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web

from sandbox.desks import DeskSimulator

__all__ = ["ChatwootSimulator"]

TYPES = {"incoming": 0, "outgoing": 1, "activity": 2, "template": 3}
PAGE = 100
FOUND_EACH = 15


@dataclass
class _Conversation:
    id: int
    contact: dict[str, Any]
    source_id: str
    status: str
    attributes: dict[str, Any]
    assignee: dict[str, Any] | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)


class ChatwootSimulator(DeskSimulator):
    """One account with one API inbox, its administrator (the hub's user) and one agent."""

    patience_s = 5.0

    def __init__(self, *, signs: bool = True) -> None:
        super().__init__()
        self.account_id, self.inbox_id = 1, 7
        self.token = secrets.token_hex(12)
        self.secret = secrets.token_hex(12) if signs else None
        self.hub_user = {"id": 9, "name": "Hub", "email": "hub@acme.example", "type": "user"}
        self.agent = {"id": 5, "name": "Li Agent", "email": "li@acme.example", "type": "user"}
        self.contacts: dict[int, dict[str, Any]] = {}
        self.inboxed: dict[str, int] = {}
        self.conversations: dict[int, _Conversation] = {}
        self.files: dict[str, tuple[str, bytes]] = {}

    # -- running -------------------------------------------------------------------------------------

    def routes(self) -> Sequence[web.RouteDef]:
        """The calls of its API that a connector needs."""
        root = f"/api/v1/accounts/{self.account_id}"
        one = f"{root}/conversations/{{id}}"
        return [
            web.get("/api/v1/profile", self._profile),
            web.get(f"{root}/inboxes/{{id}}", self._inbox),
            web.post(f"{root}/contacts", self._make_contact),
            web.get(f"{root}/contacts/search", self._search),
            web.post(f"{root}/contacts/{{id}}/contact_inboxes", self._link),
            web.get(f"{root}/contacts/{{id}}/conversations", self._of_contact),
            web.post(f"{root}/conversations", self._open),
            web.get(one, self._show),
            web.get(f"{one}/messages", self._list),
            web.post(f"{one}/messages", self._take),
            web.patch(f"{one}/messages/{{message}}", self._set_message_status),
            web.post(f"{one}/toggle_status", self._toggle),
            web.post(f"{one}/assignments", self._set_assignee),
            web.post(f"{one}/custom_attributes", self._set_attributes),
            web.get("/blobs/{key}/{name}", self._redirect),
            web.get("/disk/{key}/{name}", self._file),
        ]

    def refusal(self, request: web.Request) -> web.Response | None:
        """The token stands in a header with underscores; files need none."""
        if (
            not request.path.startswith("/api")
            or request.headers.get("api_access_token") == self.token
        ):
            return None
        return web.json_response({"error": "Invalid Access Token"}, status=401)

    # -- what the hub calls --------------------------------------------------------------------------

    async def _profile(self, _request: web.Request) -> web.Response:
        return web.json_response(self.hub_user)

    async def _inbox(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != str(self.inbox_id):
            return web.json_response({"error": "Resource could not be found"}, status=404)
        return web.json_response(
            {
                "id": self.inbox_id,
                "name": "Hub API inbox",
                "channel_type": "Channel::Api",
                "webhook_url": self.webhook_url,
            }
        )

    async def _make_contact(self, request: web.Request) -> web.Response:
        body = await request.json()
        same = [one for one in self.contacts.values() if one["identifier"] == body["identifier"]]
        if same:
            text = "Identifier has already been taken"
            return web.json_response({"message": text, "attributes": ["identifier"]}, status=422)
        source_id = body.get("source_id") or str(uuid4())
        if source_id in self.inboxed:  # nothing is made then
            return web.json_response({"message": "source_id should be unique"}, status=422)
        made = {"id": self.new_id(), "name": body["name"], "identifier": body["identifier"]}
        self.contacts[made["id"]] = made
        self.inboxed[source_id] = made["id"]
        inbox = {"source_id": source_id, "inbox": {"id": self.inbox_id}}
        return web.json_response({"payload": {"contact": made, "contact_inbox": inbox}})

    async def _search(self, request: web.Request) -> web.Response:
        part = request.query["q"]
        found = [one for one in self.contacts.values() if part in one["identifier"]]
        start = FOUND_EACH * (int(request.query.get("page", "1")) - 1)
        return web.json_response({"payload": found[start : start + FOUND_EACH]})

    async def _link(self, request: web.Request) -> web.Response:
        body = await request.json()
        source_id = body.get("source_id") or str(uuid4())
        owner = self.inboxed.setdefault(source_id, int(request.match_info["id"]))
        if owner != int(request.match_info["id"]):
            return web.json_response({"message": "source_id should be unique"}, status=422)
        return web.json_response({"source_id": source_id})

    async def _of_contact(self, request: web.Request) -> web.Response:
        own = int(request.match_info["id"])
        found = [one for one in self.conversations.values() if one.contact["id"] == own]
        return web.json_response({"payload": [self._conversation(one) for one in found[-20:]]})

    async def _open(self, request: web.Request) -> web.Response:
        body = await request.json()
        made = _Conversation(
            len(self.conversations) + 1,
            self.contacts[body["contact_id"]],
            body["source_id"],
            body.get("status", "open"),
            body.get("custom_attributes") or {},
        )
        self.conversations[made.id] = made
        if first := body.get("message"):
            kind, source_id = first["message_type"], first.get("source_id")
            self._say(made, first["content"], kind, made.contact, source_id=source_id)
        return web.json_response(self._conversation(made))

    def _found(self, request: web.Request) -> _Conversation:
        found = self.conversations.get(int(request.match_info["id"]))
        if found is None:
            raise web.HTTPNotFound(text='{"error":"Resource could not be found"}')
        return found

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._conversation(self._found(request)))

    async def _list(self, request: web.Request) -> web.Response:
        messages = self._found(request).messages
        if "after" in request.query:
            after = int(request.query["after"])
            page = [one for one in messages if one["id"] > after][:PAGE]
        else:
            before = int(request.query.get("before", "0"))
            page = [one for one in messages if not before or one["id"] < before][-20:]
        shown = [{**one, "message_type": TYPES[one["message_type"]]} for one in page]
        return web.json_response({"meta": {}, "payload": shown})

    async def _take(self, request: web.Request) -> web.Response:
        conversation = self._found(request)
        fields: dict[str, Any] = {}
        uploads: list[tuple[str, bytes]] = []
        if request.content_type == "application/json":
            fields = await request.json()
        else:
            async for part in await request.multipart():
                if isinstance(part, aiohttp.BodyPartReader):
                    content = bytes(await part.read())
                    if part.name == "attachments[]":
                        uploads.append((part.filename or "file", content))
                    else:
                        fields[str(part.name)] = content.decode()
        kind = fields.get("message_type", "outgoing")
        sender = conversation.contact if kind == "incoming" else self.hub_user
        private = fields.get("private") in (True, "true")
        made = self._say(
            conversation,
            fields.get("content"),
            kind,
            sender,
            private=private,
            source_id=fields.get("source_id"),
            uploads=uploads,
        )
        if kind == "incoming" and conversation.status == "resolved":
            self._set_status(conversation, "open")
        return web.json_response({**made, "message_type": TYPES[kind]})

    async def _set_message_status(self, request: web.Request) -> web.Response:
        body = await request.json()
        conversation = self._found(request)
        wanted = int(request.match_info["message"])
        message = next((one for one in conversation.messages if one["id"] == wanted), None)
        if message is None:
            raise web.HTTPNotFound(text='{"error":"Resource could not be found"}')
        message["status"] = body["status"]
        message["external_error"] = body.get("external_error")
        self._call_back({"event": "message_updated", **self._event_of(conversation, message)})
        return web.json_response(message)

    async def _toggle(self, request: web.Request) -> web.Response:
        conversation = self._found(request)
        self._set_status(conversation, (await request.json())["status"])
        return web.json_response({"payload": {"success": True}})

    async def _set_assignee(self, request: web.Request) -> web.Response:
        """An id that nobody has unassigns, and the answer is null."""
        conversation = self._found(request)
        wanted = (await request.json())["assignee_id"]
        known = {one["id"]: one for one in (self.agent, self.hub_user)}
        self._assign(conversation, known.get(wanted))
        return web.json_response(conversation.assignee)

    async def _set_attributes(self, request: web.Request) -> web.Response:
        conversation = self._found(request)
        conversation.attributes = (await request.json())["custom_attributes"]
        return web.json_response({"custom_attributes": conversation.attributes})

    async def _redirect(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(request.path.replace("/blobs/", "/disk/", 1))

    async def _file(self, request: web.Request) -> web.Response:
        name, content = self.files[request.match_info["key"]]
        return web.Response(body=content, headers={"X-Name": name.encode().hex()})

    # -- what agents do ------------------------------------------------------------------------------

    def reply(
        self,
        conversation_id: int,
        content: str | None,
        *,
        private: bool = False,
        files: tuple[tuple[str, bytes], ...] = (),
    ) -> int:
        """The agent writes; the message's id."""
        conversation = self.conversations[conversation_id]
        made = self._say(
            conversation, content, "outgoing", self.agent, private=private, uploads=list(files)
        )
        return int(made["id"])

    def resolve(self, conversation_id: int) -> None:
        """The agent closes the conversation."""
        self._set_status(self.conversations[conversation_id], "resolved")

    def assign(self, conversation_id: int) -> None:
        """The agent takes the conversation."""
        self._assign(self.conversations[conversation_id], self.agent)

    def _assign(self, conversation: _Conversation, agent: dict[str, Any] | None) -> None:
        before, conversation.assignee = conversation.assignee, agent
        ids = [one and one["id"] for one in (before, agent)]
        change = [{"assignee_id": {"previous_value": ids[0], "current_value": ids[1]}}]
        shown = self._conversation(conversation)
        self._call_back({"event": "conversation_updated", **shown, "changed_attributes": change})

    # -- inside --------------------------------------------------------------------------------------

    def _say(
        self,
        conversation: _Conversation,
        content: str | None,
        message_type: str,
        sender: dict[str, Any],
        *,
        private: bool = False,
        source_id: str | None = None,
        uploads: list[tuple[str, bytes]] | None = None,
    ) -> dict[str, Any]:
        made: dict[str, Any] = {
            "id": self.new_id(),
            "content": content,
            "message_type": message_type,
            "private": private,
            "status": "sent",
            "source_id": source_id,
            "content_type": "text",
            "content_attributes": {},
            "conversation_id": conversation.id,
            "sender": {**sender, "type": sender.get("type", "contact")},
            "created_at": int(time.time()),
        }
        attachments = [self._attach(made["id"], name, data) for name, data in uploads or ()]
        if attachments:
            made["attachments"] = attachments
        conversation.messages.append(made)
        self._call_back({"event": "message_created", **self._event_of(conversation, made)})
        return made

    def _attach(self, message_id: int, name: str, content: bytes) -> dict[str, Any]:
        key = secrets.token_hex(6)
        self.files[key] = (name, content)
        url = f"{self.base_url}/blobs/{key}/{name}"
        return {
            "id": self.new_id(),
            "message_id": message_id,
            "file_type": "image",
            "data_url": url,
            "file_size": len(content),
        }

    def _set_status(self, conversation: _Conversation, status: str) -> None:
        if conversation.status == status:
            return
        before, conversation.status = conversation.status, status
        change = [{"status": {"previous_value": before, "current_value": status}}]
        shown = self._conversation(conversation)
        self._call_back(
            {"event": "conversation_status_changed", **shown, "changed_attributes": change}
        )

    def _conversation(self, one: _Conversation) -> dict[str, Any]:
        return {
            "id": one.id,
            "account_id": self.account_id,
            "inbox_id": self.inbox_id,
            "status": one.status,
            "channel": "Channel::Api",
            "can_reply": True,
            "contact_inbox": {"source_id": one.source_id, "contact_id": one.contact["id"]},
            "custom_attributes": one.attributes,
            "meta": {"sender": one.contact, "assignee": one.assignee, "team": None},
        }

    def _event_of(self, conversation: _Conversation, message: dict[str, Any]) -> dict[str, Any]:
        return {
            **message,
            "account": {"id": self.account_id, "name": "Acme"},
            "inbox": {"id": self.inbox_id, "name": "Hub API inbox"},
            "conversation": self._conversation(conversation),
        }

    def _call_back(self, body: dict[str, Any]) -> None:
        raw = json.dumps(body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "X-Chatwoot-Delivery": secrets.token_hex(8)}
        if self.secret is not None:
            at = str(int(time.time()))
            mac = hmac.new(self.secret.encode(), f"{at}.".encode() + raw, hashlib.sha256)
            headers |= {
                "X-Chatwoot-Timestamp": at,
                "X-Chatwoot-Signature": f"sha256={mac.hexdigest()}",
            }
        self.call_back(headers, raw)

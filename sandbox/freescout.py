"""FreeScout with its API & Webhooks module, as far as chats go: a simulator made from its documentation."""

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

__all__ = ["FreeScoutSimulator"]


class FreeScoutSimulator:
    """One mailbox, the hub's user and one agent."""

    def __init__(self) -> None:
        self.key = secrets.token_hex(12)
        self.secret = hashlib.md5(secrets.token_bytes(8), usedforsecurity=False).hexdigest()
        self.hub_user_id, self.agent_id, self.mailbox_id = 14, 9, 2
        self.webhook_url: str | None = None
        self.lose_callbacks = False
        self.conversations: dict[int, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
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
        app.add_routes(
            [
                web.get("/api/conversations", self._list),
                web.post("/api/conversations", self._open),
                web.get("/api/conversations/{id}", self._show),
                web.put("/api/conversations/{id}", self._change),
                web.post("/api/conversations/{id}/threads", self._add),
                web.get("/storage/{name}", self._file),
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
        is_api = request.path.startswith("/api")
        if is_api and request.headers.get("X-FreeScout-API-Key") != self.key:
            return web.json_response({"message": "Invalid API Key"}, status=401)
        for fault in self.faults:
            if fault.count > 0 and fault.match(request):
                fault.count -= 1
                if fault.kept:
                    await handler(request)
                return web.Response(status=fault.status, body=fault.body)
        answer: web.StreamResponse = await handler(request)
        return answer

    def _new_id(self) -> int:
        self._ids += 1
        return self._ids

    # -- what the hub calls --------------------------------------------------------------------------

    async def _list(self, _request: web.Request) -> web.Response:
        newest = list(self.conversations.values())[::-1]
        return web.json_response({"_embedded": {"conversations": newest}})

    async def _open(self, request: web.Request) -> web.Response:
        body = await request.json()
        made = {
            "id": self._new_id(),
            "type": body["type"],
            "mailboxId": body["mailboxId"],
            "subject": body["subject"],
            "status": body["status"],
            "assignee": None,
            "customer": {"id": self._new_id(), "type": "customer", **body["customer"]},
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
        self._set_status(self._found(request), (await request.json())["status"])
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
        conversation = self.conversations[conversation_id]
        conversation["assignee"] = {"id": self.agent_id, "type": "user"}
        self._call_back("convo.assigned", conversation)

    # -- inside --------------------------------------------------------------------------------------

    def _write(self, conversation: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        by_customer = given["type"] == "customer"
        author = {"id": given.get("user"), "type": "user", "firstName": "John"}
        made: dict[str, Any] = {
            "id": self._new_id(),
            "type": given["type"],
            "state": "published",
            "body": given["text"],
            "createdBy": conversation["customer"] if by_customer else author,
            "_embedded": {"attachments": []},
        }
        for one in given.get("attachments") or ():
            name = f"{self._new_id()}-{secrets.token_hex(4)}"
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
        if self.webhook_url is None or self.lose_callbacks:
            return
        raw = json.dumps(conversation, ensure_ascii=False).encode()
        mac = hmac.new(self.secret.encode(), raw, hashlib.sha1)
        headers = {
            "Content-Type": "application/json",
            "X-FreeScout-Event": event,
            "X-FreeScout-Signature": base64.b64encode(mac.digest()).decode(),
        }
        task = asyncio.create_task(self._send(self.webhook_url, headers, raw))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, url: str, headers: dict[str, str], raw: bytes) -> None:
        assert self._http is not None  # noqa: S101
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.post(url, data=raw, headers=headers) as answer:
                self.answers.append(answer.status)

"""The demo helpdesk itself: takes the hub's webhooks, keeps conversations, answers."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web

from sandbox.helpdesk.faults import DeskFault
from sandbox.helpdesk.hub_client import HubClient, HubError
from sandbox.helpdesk.inbox import Conversation, Inbox, Json
from sandbox.helpdesk.order import OrderKeeper
from sandbox.helpdesk.webhooks import Refused, Verifier, Webhook
from sandbox.journal import Clock, Journal

KEPT_TROUBLES = 20

Listener = Callable[[str, Json], None]


class Helpdesk:
    """Receives, checks, keeps and answers. Its journal is the oracle of fault tests.

    A journal entry of kind ``webhook`` holds ``webhook_id, type, lane,
    order_n, message_id, conversation_id, seq, external_id, text, verdict``;
    one of kind ``refused`` the reason.
    """

    def __init__(
        self,
        *,
        hub: HubClient,
        webhook_secret: str,
        names: Mapping[str, str] | None = None,
        clock: Clock = time.time,
        journal_path: Path | None = None,
    ) -> None:
        self.hub = hub
        self.inbox = Inbox(names)
        self.journal = Journal(journal_path, clock=clock)
        self.counts = {"received": 0, "refused": 0, "repeat": 0, "gap": 0, "disorder": 0}
        self.troubles: deque[Json] = deque(maxlen=KEPT_TROUBLES)
        self.listeners: list[Listener] = []
        self._clock = clock
        self._verifier = Verifier(webhook_secret, clock)
        self._order = OrderKeeper()
        self._fault: DeskFault | None = None
        self._greetings: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.hub.close()
        self.journal.close()

    # Webhooks ------------------------------------------------------------

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """``POST /webhook``: 204 when it is taken in, 403 when it is not believed."""
        body = await request.read()
        fault = self._take_fault()
        if fault is not None and not fault.acts:
            self.journal.write(
                "misbehaved", how=fault.kind, webhook_id=request.headers.get("webhook-id")
            )
            return await fault.answer(request)
        try:
            self.take_in(request.headers, body)
        except Refused as refused:
            return web.Response(status=403, text=f"{refused}\n")
        return web.Response(status=204) if fault is None else await fault.answer(request)

    def take_in(self, headers: Mapping[str, str], body: bytes) -> Webhook:
        """Check one webhook and file it, unless it is a repeat.

        Raises:
            Refused: it is not believed; the footer of the page shows it.
        """
        try:
            webhook = self._verifier.verify(headers, body)
        except Refused as refused:
            self._note("refused", str(refused), webhook_id=headers.get("webhook-id"))
            raise
        self.counts["received"] += 1
        verdict = self._order.judge(webhook.id, webhook.lane, webhook.order_n)
        self._write(webhook, verdict)
        if verdict != "new":
            self._note(
                verdict, f"{webhook.type} {webhook.lane} {webhook.order_n}", webhook_id=webhook.id
            )
        if verdict != "repeat":
            self._file(webhook)
        if self.listeners:
            self._tell("health", self.health())
        return webhook

    def misbehave(self, fault: DeskFault | None) -> None:
        """Treat the next webhooks badly; None: be good again."""
        self._fault = fault

    # Answers -------------------------------------------------------------

    async def answer(self, conversation_id: str, content: Json, *, key: str | None = None) -> Json:
        """Reply through the hub and show the reply at once as ``queued``.

        Raises:
            HubError: it was not accepted.
        """
        answer = await self.hub.reply(conversation_id, content, key=key or str(uuid4()))
        raw = answer.get("message") if isinstance(answer.get("message"), dict) else answer
        shown = {
            "direction": "outbound",
            "conversation_id": conversation_id,
            "text": content.get("text"),
            **(raw or {}),
        }
        self.journal.write(
            "answered",
            conversation_id=conversation_id,
            message_id=shown.get("id"),
            text=content.get("text"),
        )
        self.inbox.read(conversation_id)
        self._changed(self.inbox.add_message(shown))
        return shown

    def answer_greeting(self, greeting: str, text: str) -> None:
        """Answer the next message that says *greeting* with *text*, once and by itself."""
        self._greetings[greeting] = text

    async def restore(self) -> None:
        """Fetch recent conversations from the hub: the desk's own memory ends with its process."""
        for raw in reversed(await self.hub.conversations()):
            conversation = self.inbox.update_conversation(raw)
            if conversation is not None:
                for message in sorted(
                    await self.hub.messages(conversation.id), key=lambda each: each.get("seq") or 0
                ):
                    self.inbox.add_message(
                        {"conversation_id": conversation.id, **message}, is_old=True
                    )

    # What the page asks --------------------------------------------------

    def health(self) -> Json:
        return {"counts": dict(self.counts), "troubles": list(self.troubles)}

    def read(self, conversation_id: str) -> None:
        conversation = self.inbox.read(conversation_id)
        if conversation is not None:
            self._tell("conversation", conversation.summary())

    async def set_state(self, conversation_id: str, state: str) -> None:
        """
        Raises:
            HubError
        """
        await self.hub.set_state(conversation_id, state)
        conversation = self.inbox.update_conversation({"id": conversation_id, "state": state})
        if conversation is not None:
            self._tell("conversation", conversation.summary())

    async def decide(self, message_id: str, decision: str) -> None:
        """A person's word on an uncertain, failed or waiting message: ``resend`` or ``cancel``.

        Raises:
            HubError
        """
        await self.hub.decide(message_id, decision)
        if decision == "resend":
            self._changed(self.inbox.begin_again(message_id))

    # ---------------------------------------------------------------------

    def _take_fault(self) -> DeskFault | None:
        fault = self._fault
        if fault is not None and fault.count:
            fault.count -= 1
            if fault.count == 0:
                self._fault = None
        return fault

    def _write(self, webhook: Webhook, verdict: str) -> None:
        message = webhook.message
        home = message.get("conversation") or webhook.data.get("conversation") or {}
        self.journal.write(
            "webhook",
            webhook_id=webhook.id,
            type=webhook.type,
            lane=webhook.lane,
            order_n=webhook.order_n,
            verdict=verdict,
            is_replay=webhook.is_replay,
            message_id=message.get("id"),
            conversation_id=home.get("id") or message.get("conversation_id"),
            seq=message.get("seq"),
            external_id=message.get("external_id"),
            status=message.get("status"),
            text=message.get("text"),
        )

    def _file(self, webhook: Webhook) -> None:
        data = webhook.data
        if webhook.type == "message.received":
            self._changed(self.inbox.add_message(webhook.message))
            self._greet_back(webhook.message)
        elif webhook.type == "message.status":
            change = self.inbox.set_status(webhook.message)
            self._changed(change)
            if change is not None and self.listeners:
                self._spawn(self._refresh(change[0].id))
        elif webhook.type.startswith("conversation."):
            conversation = self.inbox.update_conversation(data.get("conversation") or {})
            if conversation is not None:
                self._tell("conversation", conversation.summary())
        elif webhook.type == "attachment.ready":
            self._changed(self.inbox.set_attachment(data.get("attachment") or {}))
        elif webhook.type in ("account.state", "delivery.gap"):
            facts = (data.get(name) for name in ("account", "state", "event_type", "reason"))
            text = " · ".join(str(fact) for fact in facts if fact)
            self._note(webhook.type, text, webhook_id=webhook.id)

    def _changed(self, change: tuple[Conversation, Json] | None) -> None:
        if change is not None:
            conversation, message = change
            self._tell("message", {"conversation": conversation.summary(), "message": message})

    def _greet_back(self, message: Json) -> None:
        text = str(message.get("text") or "").strip()
        conversation_id = (message.get("conversation") or {}).get("id")
        if text in self._greetings and conversation_id:
            content = {"text": self._greetings.pop(text)}
            self._spawn(
                self._answer_by_itself(
                    str(conversation_id), content, key=f"greeting-{message['id']}"
                )
            )

    async def _refresh(self, conversation_id: str) -> None:
        """Ask the hub what may still be said: a reply that went out used some of it."""
        with contextlib.suppress(HubError):
            raw = await self.hub.conversation(conversation_id)
            conversation = self.inbox.update_conversation(raw)
            if conversation is not None:
                self._tell("conversation", conversation.summary())

    async def _answer_by_itself(self, conversation_id: str, content: Json, *, key: str) -> None:
        for pause in (0.2, 0.5, 1.0, 2.0, 4.0):
            try:
                await self.answer(conversation_id, content, key=key)
                return
            except HubError as error:
                self._note("hub", str(error), webhook_id=None)
                await asyncio.sleep(pause)

    def _note(self, kind: str, text: str, **facts: Any) -> None:
        if kind in self.counts:
            self.counts[kind] += 1
        if kind == "refused":
            self.journal.write("refused", reason=text, **facts)
        self.troubles.append({"at": self._clock(), "kind": kind, "text": text[:300]})
        self._tell("health", self.health())

    def _tell(self, topic: str, news: Json) -> None:
        for listener in self.listeners:
            listener(topic, news)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

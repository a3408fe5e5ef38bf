"""Chatwoot: callbacks of an API inbox, and looking at its conversations.

From version 4.13 on callbacks are signed over ``timestamp.body``. Each is sent once, with 5 s to answer,
and parallel workers send them in any order: so a callback also has the conversation read.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from adapters.helpdesks._proof import Proof, prove, reading
from hub.channel import Check, IntakeRequest
from hub.destination import Callback, Destination, Seen, Ticket
from hub.errors import SendError
from hub.model import Secret
from normalizers.helpdesks.chatwoot import heard_of, seen_of_conversation, seen_of_event
from outbound.helpdesks._answers import json_of
from outbound.helpdesks.chatwoot import ChatwootApi, ChatwootSettings

__all__ = ["DESTINATION", "Chatwoot"]

SIGNED = Proof(
    place="header:X-Chatwoot-Signature",
    secret=Secret(""),
    over="{timestamp}.{body}",
    prefix="sha256=",
    timestamp="header:X-Chatwoot-Timestamp",
)
PAGE = 100
MAX_PAGES = 10
OVERLAP = 200
"""Ids that are read again: the one counter of all conversations may show a lower id later."""


class Chatwoot(ChatwootApi):
    """The connector."""

    async def accept(self, request: IntakeRequest) -> Callback:
        """As :class:`hub.destination.Desk` says."""
        secret = self.settings.webhook_secret
        if secret is not None:
            prove(msgspec.structs.replace(SIGNED, secret=secret), request)
        with reading("Chatwoot"):
            body: Any = msgspec.json.decode(request.body)
            seen = seen_of_event(
                body, inbox_id=self.settings.inbox_id, hub_user=self.settings.hub_user_id
            )
        return Callback(seen=seen, proven=secret is not None)

    async def look(self, ticket: Ticket, after: int | None) -> Seen:
        """As :class:`hub.destination.Desk` says."""
        seen = seen_of_conversation(await self.conversation(ticket.ref))
        last = max(0, (after or 0) - OVERLAP)
        items = []
        for _ in range(MAX_PAGES):
            page = await self.messages(ticket.ref, last)
            items += [heard_of(one, self.settings.hub_user_id) for one in page]
            if len(page) < PAGE:
                break
            last = int(page[-1]["id"])
        return msgspec.structs.replace(seen, items=tuple(items))

    async def check(self, callback_url: str | None) -> AsyncIterator[Check]:
        """Its API, the token, the inbox and where that calls."""
        try:
            profile = await self.profile()
            if profile.status in (401, 403):
                yield Check(
                    False,
                    "token",
                    f"HTTP {profile.status}",
                    "A proxy such as nginx drops headers with underscores: it wants "
                    "underscores_in_headers on.",
                )
                return
            who = json_of(profile, writes=False)
            yield Check(
                True, "token", f"{self._base} knows it as {who.get('name')}, id {who['id']}"
            )
            answer = await self.call("GET", f"inboxes/{self.settings.inbox_id}")
            inbox = json_of(answer, writes=False)
        except SendError as error:
            yield Check(False, "API", f"{self._base}: {error.detail}")
            return
        is_api = inbox.get("channel_type") == "Channel::Api"
        yield Check(is_api, "inbox", f"{inbox.get('name')}: {inbox.get('channel_type')}")
        calls = inbox.get("webhook_url")
        yield Check(
            callback_url is not None and calls == callback_url,
            "callbacks",
            f"it calls {'the hub' if calls == callback_url else 'elsewhere, or nobody'}",
            f"Set the inbox's webhook URL to {callback_url}\nFrom version 4.14 on a private address "
            "needs SAFE_FETCH_ALLOW_PRIVATE_NETWORK=true there."
            if callback_url
            else "Set hub.public_url.",
        )


DESTINATION = Destination(
    key="chatwoot",
    title="Chatwoot",
    settings=ChatwootSettings,
    desk=Chatwoot,
    docs_url="https://developers.chatwoot.com",
)

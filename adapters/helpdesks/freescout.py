"""FreeScout: callbacks of its API & Webhooks module, and looking at its conversations.

A callback shows the whole conversation, so one that was lost is made good by the next, and one that is
late tells nothing new: each message is known by its thread.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from adapters.helpdesks._proof import Proof, prove, reading
from hub.channel import Check, IntakeRequest
from hub.destination import Callback, Destination, Seen, Ticket
from hub.errors import SendError
from hub.model import Secret
from normalizers.helpdesks.freescout import seen_of
from outbound.helpdesks._answers import check_answer
from outbound.helpdesks.freescout import FreeScoutApi, FreeScoutSettings

__all__ = ["DESTINATION", "FreeScout"]

SIGNED = Proof(
    place="header:X-FreeScout-Signature",
    secret=Secret(""),
    algorithm="hmac-sha1",
    encoding="base64",
)
GONE = frozenset({"convo.deleted", "convo.deleted_forever", "customer.created", "customer.updated"})


class FreeScout(FreeScoutApi):
    """The connector."""

    async def accept(self, request: IntakeRequest) -> Callback:
        """As :class:`hub.destination.Desk` says; the event's name stands in a header only."""
        secret = self.settings.webhook_secret
        if secret is not None:
            prove(msgspec.structs.replace(SIGNED, secret=secret), request)
        if request.headers.get("x-freescout-event") in GONE:
            return Callback(seen=None, proven=secret is not None)
        with reading("FreeScout"):
            seen = self._seen(msgspec.json.decode(request.body))
        return Callback(seen=seen, proven=secret is not None)

    def _seen(self, conversation: Any) -> Seen:
        return seen_of(conversation, base_url=self._base, hub_user=self.settings.hub_user_id)

    async def look(self, ticket: Ticket, after: int | None) -> Seen:
        """As :class:`hub.destination.Desk` says; everything comes, and what is known is known."""
        return self._seen(await self.conversation(ticket.ref))

    async def check(self, callback_url: str | None) -> AsyncIterator[Check]:
        """Its API and the key, and what to set up there."""
        query = {"mailboxId": str(self.settings.mailbox_id), "pageSize": "1"}
        try:
            check_answer(await self.call("GET", "conversations", params=query), writes=False)
        except SendError as error:
            yield Check(False, "API", f"{self._base}: {error.detail}")
            return
        yield Check(True, "API", f"{self._base} takes the key")
        yield Check(
            callback_url is not None,
            "callbacks",
            "a webhook" if callback_url else "hub.public_url is not set",
            f"Manage > API & Webhooks: {callback_url}\nEvents: convo.agent.reply.created, "
            "convo.status, convo.assigned."
            if callback_url
            else None,
        )


DESTINATION = Destination(
    key="freescout",
    title="FreeScout",
    settings=FreeScoutSettings,
    desk=FreeScout,
    docs_url="https://api-docs.freescout.net",
)

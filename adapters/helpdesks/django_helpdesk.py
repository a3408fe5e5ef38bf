"""django-helpdesk: its callbacks, and looking at its tickets.

It signs nothing and calls once, inside the agent's own request, for at most 3 s. So a callback comes by a
secret path, and is a hint to look at the ticket; nothing is sent to a customer that was not read back.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from adapters.helpdesks._proof import reading
from hub.channel import Check, IntakeRequest
from hub.destination import Callback, DeskTools, Destination, Seen, Target, Ticket
from hub.errors import SendError
from normalizers.helpdesks.django_helpdesk import seen_of
from outbound.helpdesks.django_helpdesk import DjangoHelpdeskApi, DjangoHelpdeskSettings

__all__ = ["DESTINATION", "DjangoHelpdesk"]

OVERLAP = 100
"""Entries that are read again: under parallel agents ids do not become visible in their order."""


class DjangoHelpdesk(DjangoHelpdeskApi):
    """The connector."""

    def __init__(self, target: Target, tools: DeskTools) -> None:
        super().__init__(target, tools)
        self._base_url = self.settings.base_url

    async def accept(self, request: IntakeRequest) -> Callback:
        """As :class:`hub.destination.Desk` says: a new ticket, or an entry of one."""
        with reading("django-helpdesk"):
            body: Any = msgspec.json.decode(request.body)
            ticket = body["ticket"]
            only = body.get("followup_id")
            seen = seen_of(ticket, base_url=self._base_url, hub_user=None, only=only)
        return Callback(seen=seen, proven=False)

    async def look(self, ticket: Ticket, after: int | None) -> Seen:
        """As :class:`hub.destination.Desk` says."""
        seen = seen_of(
            await self.ticket(ticket.ref),
            base_url=self._base_url,
            hub_user=ticket.facts.get("user"),
        )
        least = (after or 0) - OVERLAP
        kept = tuple(one for one in seen.items if one.order > least)
        return msgspec.structs.replace(seen, items=kept)

    async def check(self, callback_url: str | None) -> AsyncIterator[Check]:
        """Its API, the hub's user, and what to set where."""
        try:
            answer = await self.call("GET", "tickets/", params={"page_size": "1"})
        except SendError as error:
            yield Check(False, "API", f"{self._base_url}: {error.detail}")
            return
        if answer.status in (401, 403):
            yield Check(
                False,
                "API",
                f"HTTP {answer.status}: it does not let {self.settings.username} in",
                "The user needs the right password and the staff status.",
            )
            return
        if answer.status != 200:
            yield Check(
                False, "API", f"HTTP {answer.status}", "Does base_url lead to django-helpdesk?"
            )
            return
        yield Check(True, "API", f"{self._base_url} answers to {self.settings.username}")
        yield Check(
            callback_url is not None,
            "callbacks",
            "set in its environment" if callback_url else "hub.public_url is not set",
            f"HELPDESK_FOLLOWUP_WEBHOOK_URLS={callback_url}\n"
            f"HELPDESK_NEW_TICKET_WEBHOOK_URLS={callback_url}"
            if callback_url
            else None,
        )


DESTINATION = Destination(
    key="django_helpdesk",
    title="django-helpdesk",
    settings=DjangoHelpdeskSettings,
    desk=DjangoHelpdesk,
    docs_url="https://django-helpdesk.readthedocs.io",
)

"""Zammad: callbacks of its triggers, and looking at its tickets.

A webhook with a token is signed by HMAC-SHA1 over the body, without a time: a repeat is known by its
article. It is tried five times in about 100 s, then never again.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from adapters.helpdesks._proof import Proof, prove, reading
from hub.channel import Check, IntakeRequest
from hub.destination import Callback, DeskTools, Destination, Seen, Target, Ticket
from hub.errors import SendError
from hub.model import Secret
from normalizers.helpdesks.zammad import assignee_of, heard_of, seen_of_event, state_of
from outbound.helpdesks._answers import json_of
from outbound.helpdesks.zammad import ZammadApi, ZammadSettings

__all__ = ["DESTINATION", "Zammad"]

OVERLAP = 100
SIGNED = Proof(
    place="header:X-Hub-Signature", secret=Secret(""), algorithm="hmac-sha1", prefix="sha1="
)


class Zammad(ZammadApi):
    """The connector."""

    def __init__(self, target: Target, tools: DeskTools) -> None:
        super().__init__(target, tools)
        self._types: dict[str, str] = {}

    async def accept(self, request: IntakeRequest) -> Callback:
        """As :class:`hub.destination.Desk` says."""
        secret = self.settings.webhook_secret
        if secret is not None:
            prove(msgspec.structs.replace(SIGNED, secret=secret), request)
        with reading("Zammad"):
            body: Any = msgspec.json.decode(request.body)
            seen = seen_of_event(body, base_url=self._base, hub_user=self.settings.hub_user_id)
        return Callback(seen=seen, proven=secret is not None)

    async def look(self, ticket: Ticket, after: int | None) -> Seen:
        """As :class:`hub.destination.Desk` says."""
        answer = await self.call("GET", f"tickets/{ticket.ref}", params={"expand": "true"})
        now = json_of(answer, writes=False)
        if now.get("state") not in self._types:
            self._types = await self._state_types()
        least = (after or 0) - OVERLAP
        items = tuple(
            heard_of(one, base_url=self._base, hub_user=self.settings.hub_user_id)
            for one in await self.articles(ticket.ref)
            if int(one["id"]) > least
        )
        return Seen(
            ticket=ticket.ref,
            items=items,
            state=state_of(now.get("state"), self._types),
            assignee=assignee_of(now),
            knows_assignee=True,
        )

    async def _state_types(self) -> dict[str, str]:
        """What each state means: names differ from one installation to the next."""
        answer = await self.call("GET", "ticket_states", params={"expand": "true"})
        return {
            str(one["name"]): str(one.get("state_type") or one["name"])
            for one in json_of(answer, writes=False)
        }

    async def check(self, callback_url: str | None) -> AsyncIterator[Check]:
        """Its API, the token, and what to set up there."""
        try:
            me = json_of(await self.call("GET", "users/me"), writes=False)
        except SendError as error:
            yield Check(False, "API", f"{self._base}: {error.detail}")
            return
        yield Check(
            True, "API", f"{self._base} knows the token as {me.get('login')}, id {me['id']}"
        )
        yield Check(
            callback_url is not None,
            "callbacks",
            "a webhook and three triggers" if callback_url else "hub.public_url is not set",
            f"Manage > Webhook: endpoint {callback_url}\n"
            f"Manage > Trigger, each with group {self.settings.group}: an article of an agent was "
            "created, public; the state has changed; the owner has changed."
            if callback_url
            else None,
        )


DESTINATION = Destination(
    key="zammad",
    title="Zammad",
    settings=ZammadSettings,
    desk=Zammad,
    docs_url="https://docs.zammad.org/en/latest/api/intro.html",
)

"""FreeScout's API ("API & Webhooks" module): what is put into its conversations.

Source: https://api-docs.freescout.net and public clients of it (see docs/helpdesks/freescout.md).
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Annotated, Any

from msgspec import Meta

from hub.channel import HttpAnswer
from hub.destination import Case, DeskTools, HeardFile, Post, State, Target, Ticket, Told
from hub.errors import Rejected, SendError
from hub.model import Secret
from outbound.helpdesks._answers import agent_id, check_answer, json_of, own_url
from outbound.helpdesks._notes import titled, told_text, with_footer
from outbound.helpdesks._settings import DeskSettings

__all__ = ["FreeScoutApi", "FreeScoutSettings"]

PAGE = 50
_STATUS: Mapping[State, str] = {"open": "active", "pending": "pending", "resolved": "closed"}


class FreeScoutSettings(DeskSettings, frozen=True, kw_only=True):
    """``[destinations.NAME]`` with ``type = "freescout"``."""

    api_key: Annotated[Secret, Meta(description="Key of the API & Webhooks module")]
    mailbox_id: Annotated[int, Meta(ge=1, description="Mailbox of new conversations")]
    hub_user_id: Annotated[int, Meta(ge=1, description="Id of a user of its own for the hub")]
    webhook_secret: Annotated[
        Secret | None,
        Meta(description="The module's webhook secret; without it messages are read back"),
    ] = None


class FreeScoutApi:
    """The calls; a :class:`hub.destination.Desk` but for what comes back."""

    files_each = 10

    def __init__(self, target: Target, tools: DeskTools) -> None:
        self.settings: FreeScoutSettings = target.settings
        self._tools = tools
        self._base = self.settings.base_url.rstrip("/")
        self._headers = {
            "X-FreeScout-API-Key": self.settings.api_key.reveal(),
            "Accept": "application/json",
        }

    async def call(self, method: str, path: str, **more: Any) -> HttpAnswer:
        """One call; *path* follows ``/api/``."""
        return await self._tools.http(
            method, f"{self._base}/api/{path}", headers=self._headers, **more
        )

    # -- posting -------------------------------------------------------------------------------------

    async def open(self, case: Case, post: Post) -> tuple[Ticket, str]:
        """As :class:`hub.destination.Desk` says; the customer is made with it."""
        customer = {"email": _email(case), "firstName": (case.name or case.address.value)[:40]}
        facts = {"email": customer["email"]}
        body = {
            "type": "chat",  # an agent's answer to it is sent to nobody by e-mail
            "mailboxId": self.settings.mailbox_id,
            "subject": titled(case, 250),
            "customer": customer,
            "status": "active",
            "threads": [self._thread(post, facts)],
        }
        answer = await self.call("POST", "conversations", json=body)
        ref = _made_id(answer)
        ticket = Ticket(ref=ref, facts=facts)
        try:
            found = await self.find(ticket, post)
        except SendError:  # it was made, whatever can be read of it now
            found = ()
        return ticket, found[0] if found else f"hub:{post.key}"

    def _thread(self, post: Post, facts: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {"text": _html(post)}
        if post.role == "contact":
            made |= {"type": "customer", "customer": {"email": facts.get("email")}}
        else:
            made |= {"type": "note", "user": self.settings.hub_user_id}
        if post.files:
            made["attachments"] = [
                {
                    "fileName": file.filename,
                    "mimeType": file.mime_type,
                    "data": base64.b64encode(file.content).decode("ascii"),
                }
                for file in post.files
            ]
        return made

    async def add(self, ticket: Ticket, post: Post) -> str:
        """As :class:`hub.destination.Desk` says; what was said elsewhere is a note."""
        path = f"conversations/{ticket.ref}/threads"
        return _made_id(await self.call("POST", path, json=self._thread(post, ticket.facts)))

    async def change(self, ticket: Ticket, state: State) -> None:
        """As :class:`hub.destination.Desk` says."""
        body = {"byUser": self.settings.hub_user_id, "status": _STATUS[state]}
        answer = await self.call("PUT", f"conversations/{ticket.ref}", json=body)
        check_answer(answer, writes=False)

    async def assign(self, ticket: Ticket, assignee: str | None) -> None:
        """As :class:`hub.destination.Desk` says."""
        if assignee is None:
            raise Rejected("its API documents no way to assign a conversation to nobody")
        body = {"byUser": self.settings.hub_user_id, "assignTo": agent_id(assignee)}
        answer = await self.call("PUT", f"conversations/{ticket.ref}", json=body)
        check_answer(answer, writes=False)

    async def tell(self, ticket: Ticket, told: Told) -> None:
        """A note where a reply did not simply go out."""
        if (text := told_text(told)) is None:
            return
        html = escape(text).replace("\n", "<br>")
        body = {"type": "note", "user": self.settings.hub_user_id, "text": html}
        path = f"conversations/{ticket.ref}/threads"
        check_answer(await self.call("POST", path, json=body), writes=False)

    # -- looking up ----------------------------------------------------------------------------------

    async def find_ticket(self, case: Case, post: Post) -> tuple[Ticket, str | None] | None:
        """Among the mailbox's newest conversations, the customer's that has the post."""
        query = {
            "mailboxId": str(self.settings.mailbox_id),
            "sortField": "createdAt",
            "sortOrder": "desc",
            "embed": "threads",
            "pageSize": str(PAGE),
        }
        found = json_of(await self.call("GET", "conversations", params=query), writes=False)
        email = _email(case)
        for one in (found.get("_embedded") or {}).get("conversations") or ():
            if (one.get("customer") or {}).get("email") == email:
                ticket = Ticket(ref=str(one["id"]), facts={"email": email})
                if refs := _same(one, post):
                    return ticket, refs[0]
        return None

    async def find(self, ticket: Ticket, post: Post) -> Sequence[str]:
        """The entries that say the same: FreeScout keeps nothing of ours beside them."""
        return _same(await self.conversation(ticket.ref), post)

    async def conversation(self, ref: str) -> Mapping[str, Any]:
        """The conversation with its threads."""
        answer = await self.call("GET", f"conversations/{ref}", params={"embed": "threads"})
        found: Mapping[str, Any] = json_of(answer, writes=False)
        return found

    async def fetch(self, file: HeardFile) -> bytes:
        """As :class:`hub.destination.Desk` says."""
        answer = await self._tools.files("GET", own_url(self._base, file))
        check_answer(answer, writes=False)
        return answer.body


def _made_id(answer: HttpAnswer) -> str:
    """The id of what was made: in a header, or in the body."""
    check_answer(answer, writes=True)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return headers.get("resource-id") or str(json_of(answer, writes=True)["id"])


def _email(case: Case) -> str:
    """An address that nothing can be delivered to; FreeScout knows customers by one."""
    address = case.address
    whole = f"{address.scheme}:{address.scope}:{address.value}"
    return f"hub-{hashlib.sha256(whole.encode()).hexdigest()[:24]}@hub.invalid"


def _html(post: Post) -> str:
    """The text as the HTML that FreeScout keeps, whatever the customer wrote."""
    text = with_footer(post.text.replace("\0", "") or "—", post)
    return escape(text).replace("\n", "<br>")


def _same(conversation: Mapping[str, Any], post: Post) -> list[str]:
    wanted = _plain(_html(post))
    threads = (conversation.get("_embedded") or {}).get("threads") or ()
    return [
        str(one["id"])
        for one in sorted(threads, key=lambda one: int(one["id"]))
        if one.get("type") == ("customer" if post.role == "contact" else "note")
        and _plain(one.get("body") or "") == wanted
    ]


def _plain(html: str) -> str:
    return "".join(html.replace("<br />", "<br>").replace("<br/>", "<br>").split())

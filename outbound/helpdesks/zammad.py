"""Zammad's REST API: what is put into its tickets.

Source: https://docs.zammad.org/en/latest/api/intro.html and Zammad's own code where that is silent (see
docs/helpdesks/zammad.md).
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta

from hub.channel import HttpAnswer
from hub.destination import Case, DeskTools, HeardFile, Post, State, Target, Ticket, Told
from hub.errors import Ambiguous, Unreachable
from hub.model import Secret
from outbound.helpdesks._answers import agent_id, check_answer, json_of, own_url
from outbound.helpdesks._notes import titled, told_text, with_footer
from outbound.helpdesks._settings import DeskSettings

__all__ = ["OURS", "ZammadApi", "ZammadSettings"]

OURS = "hub:m:"
"""How the subject of an article begins that the hub has written; Zammad keeps no id of ours."""

NOBODY = 1
"""The user that owns what nobody owns."""

TITLE_LIMIT = 250
MOST_MADE = 1000
"""Customers that were made lately are remembered: its search learns of them later."""

MOST_TICKETS = 10
"""Of a customer's newest tickets are looked through for one whose making was not answered."""


class ZammadSettings(DeskSettings, frozen=True, kw_only=True):
    """``[destinations.NAME]`` with ``type = "zammad"``."""

    api_token: Annotated[
        Secret, Meta(description="Access token of an agent of its own for the hub (ticket.agent)")
    ]
    group: Annotated[str, Meta(description="Group of new tickets, one without an e-mail address")]
    webhook_secret: Annotated[
        Secret | None,
        Meta(description="The webhook's HMAC token; without it messages are read back"),
    ] = None
    hub_user_id: Annotated[
        int | None, Meta(description="Id of the hub's own user, whose articles are not replies")
    ] = None
    open_state: Annotated[str, Meta(description="State of a ticket that is opened again")] = "open"
    closed_state: Annotated[str, Meta(description="State of a resolved ticket")] = "closed"


class ZammadApi:
    """The calls; a :class:`hub.destination.Desk` but for what comes back."""

    files_each = 10

    def __init__(self, target: Target, tools: DeskTools) -> None:
        self.settings: ZammadSettings = target.settings
        self._tools = tools
        self._base = self.settings.base_url.rstrip("/")
        token = self.settings.api_token.reveal()
        self._headers = {"Authorization": f"Token token={token}", "Accept": "application/json"}
        self._made: dict[str, int] = {}

    async def call(self, method: str, path: str, **more: Any) -> HttpAnswer:
        """One call; *path* follows ``/api/v1/``."""
        url = f"{self._base}/api/v1/{path}"
        return await self._tools.http(method, url, headers=self._headers, **more)

    async def _json(self, path: str, **query: str) -> Any:
        return json_of(await self.call("GET", path, params=query or None), writes=False)

    # -- the customer --------------------------------------------------------------------------------

    async def _customer(self, case: Case) -> int:
        """The id of the customer's user; making one may be repeated, for logins are unique."""
        login = _login(case)
        body = {
            "firstname": case.name or case.address.value,
            "login": login,
            "roles": ["Customer"],
            "note": f"{case.channel_title}: {case.address.value}",
        }
        if case.address.scheme == "tel":
            body["mobile"] = case.address.value
        try:
            answer = await self.call("POST", "users", json=body)
        except Ambiguous as error:
            raise Unreachable(error.detail) from error
        if answer.status == 422 and (found := await self._find_customer(login)) is not None:
            return found
        made = self._made[login] = int(json_of(answer, writes=False)["id"])
        if len(self._made) > MOST_MADE:
            del self._made[next(iter(self._made))]
        return made

    async def _find_customer(self, login: str) -> int | None:
        found = await self._json("users/search", query=login, limit="20")
        same = (int(one["id"]) for one in found if one.get("login") == login)
        return next(same, self._made.get(login))

    # -- posting -------------------------------------------------------------------------------------

    async def open(self, case: Case, post: Post) -> tuple[Ticket, str]:
        """As :class:`hub.destination.Desk` says; ticket and article are one call."""
        customer = await self._customer(case)
        body = {
            "title": titled(case, TITLE_LIMIT),
            "group": self.settings.group,
            "customer_id": customer,
            "article": _article(post, customer),
        }
        made = json_of(await self.call("POST", "tickets", json=body), writes=True)
        ticket = Ticket(ref=str(made["id"]), facts={"customer": customer})
        articles = made.get("article_ids") or [0]
        return ticket, str(min(articles))

    async def add(self, ticket: Ticket, post: Post) -> str:
        """As :class:`hub.destination.Desk` says."""
        body = {"ticket_id": int(ticket.ref), **_article(post, ticket.facts.get("customer"))}
        answer = await self.call("POST", "ticket_articles", json=body)
        return str(json_of(answer, writes=True)["id"])

    async def change(self, ticket: Ticket, state: State) -> None:
        """As :class:`hub.destination.Desk` says; ``pending`` wants a time there, and is left."""
        if state == "pending":
            return
        name = self.settings.closed_state if state == "resolved" else self.settings.open_state
        path = f"tickets/{ticket.ref}"
        check_answer(await self.call("PUT", path, json={"state": name}), writes=False)

    async def assign(self, ticket: Ticket, assignee: str | None) -> None:
        """As :class:`hub.destination.Desk` says."""
        owner = NOBODY if assignee is None else agent_id(assignee)
        path = f"tickets/{ticket.ref}"
        check_answer(await self.call("PUT", path, json={"owner_id": owner}), writes=False)

    async def tell(self, ticket: Ticket, told: Told) -> None:
        """An internal note where a reply did not simply go out."""
        if (text := told_text(told)) is None:
            return
        body = {"ticket_id": int(ticket.ref), **_note(f"{OURS}told", text)}
        check_answer(await self.call("POST", "ticket_articles", json=body), writes=False)

    # -- looking up ----------------------------------------------------------------------------------

    async def find_ticket(self, case: Case, post: Post) -> tuple[Ticket, str | None] | None:
        """Among the customer's newest tickets, the one that has the post.

        ``tickets/search`` would not do: it asks Elasticsearch, which learns of a ticket later, if there is
        one at all.
        """
        customer = await self._find_customer(_login(case))
        if customer is None:
            return None
        found = await self._json("ticket_customer", customer_id=str(customer))
        # the newest 15 of each
        ids = [*found.get("ticket_ids_open", ()), *found.get("ticket_ids_closed", ())]
        for ref in sorted(map(int, ids), reverse=True)[:MOST_TICKETS]:
            ticket = Ticket(ref=str(ref), facts={"customer": customer})
            if refs := await self.find(ticket, post):
                return ticket, refs[0]
        return None

    async def find(self, ticket: Ticket, post: Post) -> Sequence[str]:
        """By the post's key, which stands in the subject."""
        return [
            str(one["id"])
            for one in await self.articles(ticket.ref)
            if one.get("subject") == f"{OURS}{post.key}"
        ]

    async def articles(self, ref: str) -> list[Mapping[str, Any]]:
        """The ticket's articles, ascending."""
        found: list[Mapping[str, Any]] = await self._json(f"ticket_articles/by_ticket/{ref}")
        return sorted(found, key=lambda one: int(one["id"]))

    async def fetch(self, file: HeardFile) -> bytes:
        """As :class:`hub.destination.Desk` says; the token goes to Zammad itself only."""
        answer = await self._tools.files("GET", own_url(self._base, file), headers=self._headers)
        check_answer(answer, writes=False)
        return answer.body


def _login(case: Case) -> str:
    address = case.address
    digest = hashlib.sha256(f"{address.scope}:{address.value}".encode()).hexdigest()[:24]
    return f"hub-{address.scheme}-{digest}"


def _article(post: Post, customer: Any) -> dict[str, Any]:
    text = with_footer(post.text.replace("\0", "") or "—", post)
    if post.role != "contact":
        made = _note(f"{OURS}{post.key}", text)
        made["internal"] = post.role == "hub"
    else:
        made = {
            "subject": f"{OURS}{post.key}",
            "body": text,
            "content_type": "text/plain",
            "type": "web",
            "sender": "Customer",  # without it an agent's token writes as the agent
            "origin_by_id": customer,
            "internal": False,
        }
    if post.files:
        made["attachments"] = [
            {
                "filename": file.filename,
                "data": base64.b64encode(file.content).decode("ascii"),
                "mime-type": file.mime_type,
            }
            for file in post.files
        ]
    return made


def _note(subject: str, text: str) -> dict[str, Any]:
    return {
        "subject": subject,
        "body": text,
        "content_type": "text/plain",
        "type": "note",
        "sender": "Agent",
        "internal": True,
    }

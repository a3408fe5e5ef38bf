"""Chatwoot's application API, for an inbox of the kind "API": what is put into its conversations.

Source: https://developers.chatwoot.com/api-reference and Chatwoot's own code where that is silent (see
docs/helpdesks/chatwoot.md).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urljoin, urlsplit

from msgspec import Meta, field

from hub.channel import HttpAnswer
from hub.destination import Case, DeskTools, HeardFile, Post, State, Target, Ticket, Told
from hub.errors import Ambiguous, RateLimited, Rejected, SendError, Unreachable
from hub.model import Secret
from outbound.helpdesks._answers import agent_id, check_answer, json_of
from outbound.helpdesks._notes import told_text
from outbound.helpdesks._settings import DeskSettings

__all__ = ["OURS", "ChatwootApi", "ChatwootSettings"]

OURS = "hub:m:"
"""How the ``source_id`` of a message begins that the hub has put there."""

CONTENT_LIMIT = 150_000
MAX_HOPS = 3
FOUND_EACH, MAX_SEARCHED = 15, 20
"""Contacts on a page of its search, and how many pages are looked through."""

PAGE_BACK, MAX_PAGES_BACK = 20, 50
CLOCKS_APART_S = 3600.0
_STATES: Mapping[State, str] = {"open": "open", "pending": "pending", "resolved": "resolved"}
_TOLD = frozenset({"sent", "delivered", "read", "failed"})


class ChatwootSettings(DeskSettings, frozen=True, kw_only=True):
    """``[destinations.NAME]`` with ``type = "chatwoot"``."""

    account_id: Annotated[int, Meta(ge=1, description="The number behind /accounts/ in its pages")]
    inbox_id: Annotated[int, Meta(ge=1, description='Id of the inbox, which has the channel "API"')]
    api_token: Annotated[
        Secret, Meta(description="Access token of an administrator of its own for the hub")
    ]
    webhook_secret: Annotated[
        Secret | None,
        Meta(
            description="The inbox's webhook secret (4.13 or later); without it messages are read back"
        ),
    ] = None
    hub_user_id: Annotated[
        int | None,
        Meta(description="Id of the hub's own user there, whose messages are not replies"),
    ] = None
    file_hosts: Annotated[
        list[str], Meta(description="Further hosts that its files lie on, e.g. an S3 host")
    ] = field(default_factory=list)


class ChatwootApi:
    """The calls; a :class:`hub.destination.Desk` but for what comes back."""

    files_each = 1

    def __init__(self, target: Target, tools: DeskTools) -> None:
        self.settings: ChatwootSettings = target.settings
        self._tools = tools
        self._base = self.settings.base_url.rstrip("/")
        self._headers = {"api_access_token": self.settings.api_token.reveal()}

    async def call(self, method: str, path: str, **more: Any) -> HttpAnswer:
        """One call; *path* follows the account."""
        url = f"{self._base}/api/v1/accounts/{self.settings.account_id}/{path}"
        return await self._tools.http(method, url, headers=self._headers, **more)

    async def profile(self) -> HttpAnswer:
        """Who the token belongs to."""
        return await self._tools.http("GET", f"{self._base}/api/v1/profile", headers=self._headers)

    # -- contacts ------------------------------------------------------------------------------------

    async def _contact(self, case: Case) -> tuple[int, str]:
        """The contact's id and its source_id in the inbox, made where they are missing.

        Making them may be repeated: ``identifier`` is unique in an account, ``source_id`` in an inbox.
        """
        identifier, source_id = _identifier(case), _source_id(case)
        body = {
            "name": case.name or case.address.value,
            "identifier": identifier,
            "inbox_id": self.settings.inbox_id,
            "source_id": source_id,
            "custom_attributes": {"channel": case.channel},
        }
        if case.address.scheme == "tel":
            body["phone_number"] = case.address.value
        answer = await self.call("POST", "contacts", json=body)
        if answer.status == 422 and (found := await self._find_contact(identifier)) is not None:
            return found, await self._place(found, source_id)
        for taken in ("phone_number", "source_id"):  # by another contact, one that was merged, say
            if answer.status == 422 and body.pop(taken, None) is not None:
                answer = await self.call("POST", "contacts", json=body)
        made = json_of(answer, writes=False)["payload"]
        return int(made["contact"]["id"]), str(made["contact_inbox"]["source_id"])

    async def _place(self, contact: int, source_id: str) -> str:
        """The contact's source_id in the inbox; another where someone else has ours since a merge."""
        path = f"contacts/{contact}/contact_inboxes"
        linked = {"inbox_id": self.settings.inbox_id, "source_id": source_id}
        answer = await self.call("POST", path, json=linked)
        if answer.status == 422:
            del linked["source_id"]
            answer = await self.call("POST", path, json=linked)
        return str(json_of(answer, writes=False)["source_id"])

    async def _find_contact(self, identifier: str) -> int | None:
        """By its identifier, exactly; the search itself matches parts."""
        for page in range(1, MAX_SEARCHED + 1):
            query = {"q": identifier, "page": str(page)}
            answer = await self.call("GET", "contacts/search", params=query)
            found = json_of(answer, writes=False)["payload"]
            for one in found:
                if one.get("identifier") == identifier:
                    return int(one["id"])
            if len(found) < FOUND_EACH:
                break
        return None

    # -- posting -------------------------------------------------------------------------------------

    async def open(self, case: Case, post: Post) -> tuple[Ticket, str]:
        """As :class:`hub.destination.Desk` says; conversation and message are one call.

        Its answer does not tell the message's id, so that is looked up.
        """
        try:
            contact_id, source_id = await self._contact(case)
        except Ambiguous as error:  # it may be made again
            raise Unreachable(error.detail) from error
        body = {
            "inbox_id": self.settings.inbox_id,
            "contact_id": contact_id,
            "source_id": source_id,
            "status": "open",
            "custom_attributes": {"hub_case": case.key, **_attributes(post)},
            "message": {
                "content": _content(post),
                "message_type": "outgoing" if post.role == "agent" else "incoming",
                "source_id": f"{OURS}{post.key}",
            },
        }
        made = json_of(await self._post("conversations", json=body), writes=True)
        ref = str(made["id"])
        facts = {"case": case.key, "contact": contact_id}
        ticket = Ticket(ref=ref, facts=facts)
        try:
            found = await self.find(ticket, post)
        except SendError:
            found = ()
        return ticket, found[0] if found else f"{OURS}{post.key}"

    async def _post(self, path: str, **more: Any) -> HttpAnswer:
        """A POST; a conversation takes so many messages in a minute."""
        answer = await self.call("POST", path, **more)
        if answer.status == 422 and b"oo many messages" in answer.body:
            raise RateLimited("too many messages in this conversation", retry_after=20.0)
        return answer

    async def add(self, ticket: Ticket, post: Post) -> str:
        """As :class:`hub.destination.Desk` says."""
        fields: dict[str, Any] = {
            "content": _content(post),
            "message_type": "incoming" if post.role == "contact" else "outgoing",
            "private": post.role == "hub",
            "source_id": f"{OURS}{post.key}",
        }
        path = f"conversations/{ticket.ref}/messages"
        if post.files:
            (file,) = post.files
            form = fields | {"private": "true" if fields["private"] else "false"}
            content = {"attachments[]": (file.filename, file.content, file.mime_type)}
            answer = await self._post(path, form=form, files=content)
        else:
            answer = await self._post(path, json=fields)
        made = json_of(answer, writes=True)
        if post.role == "contact" and post.footer:
            await self._show_limits(ticket, post)
        return str(made["id"])

    async def _show_limits(self, ticket: Ticket, post: Post) -> None:
        """Channel, deadline and what is left, beside the conversation; no reason to fail."""
        values = {"hub_case": ticket.facts.get("case"), **_attributes(post)}
        path = f"conversations/{ticket.ref}/custom_attributes"
        try:
            await self.call("POST", path, json={"custom_attributes": values})
        except SendError:
            return

    async def change(self, ticket: Ticket, state: State) -> None:
        """As :class:`hub.destination.Desk` says; not where it has that state by itself already."""
        now = await self.conversation(ticket.ref)
        if now.get("status") == _STATES[state]:
            return
        path = f"conversations/{ticket.ref}/toggle_status"
        check_answer(await self.call("POST", path, json={"status": _STATES[state]}), writes=False)

    async def assign(self, ticket: Ticket, assignee: str | None) -> None:
        """As :class:`hub.destination.Desk` says; an unknown agent would silently leave it to nobody."""
        wanted = agent_id(assignee) if assignee is not None else None
        path = f"conversations/{ticket.ref}/assignments"
        answer = await self.call("POST", path, json={"assignee_id": wanted})
        made = json_of(answer, writes=False)
        if wanted is not None and (made or {}).get("id") != wanted:
            raise Rejected(f"there is no agent with the id {wanted} in its account")

    async def tell(self, ticket: Ticket, told: Told) -> None:
        """The message's own status; a note for what Chatwoot has no status for."""
        if told.ref is not None and told.status in _TOLD:
            body = {"status": told.status}
            if told.status == "failed":
                body["external_error"] = (told.reason or "not delivered")[:255]
            path = f"conversations/{ticket.ref}/messages/{told.ref}"
            answer = await self.call("PATCH", path, json=body)
            if answer.status not in (403, 404, 405):  # before version 4.2 there is no such call
                check_answer(answer, writes=False)
                return
        if (text := told_text(told)) is None:
            return
        body = {"content": text, "message_type": "outgoing", "private": True}  # type: ignore[dict-item]
        answer = await self._post(
            f"conversations/{ticket.ref}/messages", json=body | {"source_id": f"{OURS}note"}
        )
        check_answer(answer, writes=False)

    # -- looking up ----------------------------------------------------------------------------------

    async def find_ticket(self, case: Case, post: Post) -> tuple[Ticket, str | None] | None:
        """Among the contact's conversations, the one of the case."""
        contact = await self._find_contact(_identifier(case))
        if contact is None:
            return None
        answer = await self.call("GET", f"contacts/{contact}/conversations")
        for one in json_of(answer, writes=False)["payload"]:
            if (one.get("custom_attributes") or {}).get("hub_case") == case.key:
                facts = {"case": case.key, "contact": contact}
                ticket = Ticket(ref=str(one["id"]), facts=facts)
                found = await self.find(ticket, post)
                return ticket, found[0] if found else None
        return None

    async def find(self, ticket: Ticket, post: Post) -> Sequence[str]:
        """By the post's key, which Chatwoot keeps as ``source_id`` (and does not check for repeats).

        From the newest messages back to those that are older than what was said.
        """
        query: dict[str, str] = {}
        for _ in range(MAX_PAGES_BACK):
            answer = await self.call("GET", f"conversations/{ticket.ref}/messages", params=query)
            page = json_of(answer, writes=False)["payload"]
            if same := [one for one in page if one.get("source_id") == f"{OURS}{post.key}"]:
                return [str(one["id"]) for one in same]
            oldest = min(page, key=lambda one: int(one["id"]), default=None)
            if oldest is None or len(page) < PAGE_BACK or _made_before(oldest, post.at):
                break
            query = {"before": str(oldest["id"])}
        return []

    async def conversation(self, ref: str) -> Mapping[str, Any]:
        """The conversation as it is now."""
        found: Mapping[str, Any] = json_of(
            await self.call("GET", f"conversations/{ref}"), writes=False
        )
        return found

    async def messages(self, ref: str, after: int) -> list[Mapping[str, Any]]:
        """Up to 100 messages with higher ids than *after*, ascending."""
        query = {"after": str(after)}
        answer = await self.call("GET", f"conversations/{ref}/messages", params=query)
        payload: list[Mapping[str, Any]] = json_of(answer, writes=False)["payload"]
        return sorted(payload, key=lambda one: int(one["id"]))

    async def fetch(self, file: HeardFile) -> bytes:
        """As :class:`hub.destination.Desk` says: through at most three redirects, to known hosts."""
        url = urljoin(f"{self._base}/", file.url)
        hosts = {urlsplit(self._base).hostname, *self.settings.file_hosts}
        for _ in range(MAX_HOPS + 1):
            if urlsplit(url).hostname not in hosts:
                raise Rejected(f"the file {file.filename} lies on a host that is not in file_hosts")
            answer = await self._tools.files("GET", url)
            if answer.status not in (301, 302, 303, 307, 308):
                check_answer(answer, writes=False)
                return answer.body
            headers = {name.lower(): value for name, value in answer.headers.items()}
            url = urljoin(url, headers.get("location", ""))
        raise Unreachable(f"the file {file.filename} is redirected too often")


def _identifier(case: Case) -> str:
    address = case.address
    return ":".join(part for part in ("hub", address.scheme, address.scope, address.value) if part)


def _source_id(case: Case) -> str:
    return f"hub:{case.conversation_id}"


def _made_before(message: Mapping[str, Any], at: datetime) -> bool:
    """Whether it is older, by Chatwoot's clock, than anything that was said at *at* can be there."""
    made = message.get("created_at")  # Unix seconds
    return isinstance(made, int | float) and made < at.timestamp() - CLOCKS_APART_S


def _attributes(post: Post) -> dict[str, Any]:
    """What the agent sees beside the conversation."""
    until = post.reply_until.isoformat() if post.reply_until else None
    return {
        "hub_channel": post.footer,
        "hub_reply_until": until,
        "hub_replies_left": post.replies_left,
    }


def _content(post: Post) -> str:
    text = post.text.replace("\0", "")
    if len(text) > CONTENT_LIMIT:
        text = text[: CONTENT_LIMIT - 40] + "\n[cut: the hub has the whole text]"
    return text or "—"

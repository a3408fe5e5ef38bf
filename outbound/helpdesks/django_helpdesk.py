"""django-helpdesk's REST API: what is put into its tickets.

Facts here were found by running django-helpdesk 2.6.1 (see docs/helpdesks/django_helpdesk.md): it has no
API tokens, renders each comment as a Django template, calls its webhooks inside the request that causes
them, and may answer 500 although it kept the row.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any

from msgspec import Meta, field

from hub.channel import HttpAnswer
from hub.destination import Case, DeskTools, HeardFile, Post, PostFile, State, Target, Ticket, Told
from hub.errors import SendError
from hub.model import Secret
from outbound.helpdesks._answers import agent_id, check_answer, json_of, own_url
from outbound.helpdesks._notes import titled, told_text
from outbound.helpdesks._settings import DeskSettings
from outbound.helpdesks._templates import escape_braces

__all__ = ["DjangoHelpdeskApi", "DjangoHelpdeskSettings"]

TITLE_LIMIT = 200
PAGE = 100
EXTENSIONS = (".txt", ".asc", ".pdf", ".doc", ".docx", ".odt", ".jpg", ".png", ".eml")
"""What it takes out of the box (``HELPDESK_VALID_EXTENSIONS``); any other answers 500."""

OPEN, REOPENED, RESOLVED, CLOSED, DUPLICATE = 1, 2, 3, 4, 5


class DjangoHelpdeskSettings(DeskSettings, frozen=True, kw_only=True):
    """``[destinations.NAME]`` with ``type = "django_helpdesk"``."""

    username: Annotated[str, Meta(description="A staff user of its own for the hub")]
    password: Annotated[Secret, Meta(description="That user's password")]
    queue_id: Annotated[int, Meta(ge=1, description="Id of the queue that tickets are made in")] = 1
    priority: Annotated[int, Meta(ge=1, le=5, description="Priority of new tickets, 1 to 5")] = 3
    extensions: Annotated[
        list[str], Meta(description="File name endings that its HELPDESK_VALID_EXTENSIONS allows")
    ] = field(default_factory=lambda: list(EXTENSIONS))
    due_date: Annotated[
        bool, Meta(description="True: a ticket is due when the channel's reply window closes")
    ] = True


class DjangoHelpdeskApi:
    """The calls; a :class:`hub.destination.Desk` but for what comes back."""

    files_each = 10

    def __init__(self, target: Target, tools: DeskTools) -> None:
        self.settings: DjangoHelpdeskSettings = target.settings
        self._tools = tools
        self._base = self.settings.base_url.rstrip("/")
        pair = f"{self.settings.username}:{self.settings.password.reveal()}"
        self._headers = {"Authorization": f"Basic {_base64(pair)}", "Accept": "application/json"}

    async def call(self, method: str, path: str, **more: Any) -> HttpAnswer:
        """One call of its API; *path* follows ``/api/``."""
        url = f"{self._base}/api/{path}"
        return await self._tools.http(method, url, headers=self._headers, **more)

    # -- posting -------------------------------------------------------------------------------------

    async def open(self, case: Case, post: Post) -> tuple[Ticket, str]:
        """As :class:`hub.destination.Desk` says."""
        wanted = {
            "queue": self.settings.queue_id,
            "title": titled(case, TITLE_LIMIT),
            "description": self._description(case, post),
            "priority": self.settings.priority,
        }
        if self.settings.due_date and post.reply_until:
            wanted["due_date"] = post.reply_until.isoformat()
        made = json_of(await self.call("POST", "tickets/", json=wanted), writes=True)
        return self._opened(made)

    def _opened(self, made: Mapping[str, Any]) -> tuple[Ticket, str]:
        first = min(made.get("followup_set") or [{}], key=lambda one: one.get("id", 0))
        facts = {"user": first.get("user")}
        return Ticket(ref=str(made["id"]), facts=facts), f"{made['id']}:{first.get('id', 0)}"

    def _description(self, case: Case, post: Post) -> str:
        marks = " · ".join(filter(None, (post.footer, case.key)))
        return f"{post.text.replace(chr(0), '')}\n\n— {marks}"

    async def add(self, ticket: Ticket, post: Post) -> str:
        """As :class:`hub.destination.Desk` says."""
        form = {
            "ticket": ticket.ref,
            "comment": escape_braces(self._comment(post)),
            "public": "false" if post.role == "hub" else "true",
        }
        taken, _ = self._sorted(post.files)
        files = {
            f"attachments[{number}]": (name, file.content, file.mime_type)
            for number, (name, file) in enumerate(taken)
        }
        answer = await self.call("POST", "followups/", form=form, files=files or None)
        made = json_of(answer, writes=True)
        if self.settings.due_date and post.role == "contact" and post.reply_until:
            await self._set_due(ticket, post.reply_until)
        return f"{ticket.ref}:{made['id']}"

    async def _set_due(self, ticket: Ticket, until: datetime) -> None:
        """Show the deadline; makes no entry and calls nobody. It is no reason to fail."""
        try:
            await self.call("PATCH", f"tickets/{ticket.ref}/", json={"due_date": until.isoformat()})
        except SendError:
            return

    def _comment(self, post: Post) -> str:
        text = post.text.replace("\0", "")
        _, links = self._sorted(post.files)
        lines = [text, *links]
        if post.role == "contact" and post.replies_left is not None and post.replies_left <= 1:
            lines.append(f"— {post.footer}")
        return "\n".join(line for line in lines if line) or "—"

    def _sorted(self, files: Sequence[PostFile]) -> tuple[list[tuple[str, PostFile]], list[str]]:
        """The files that it takes, under names that it takes, and a line for each of the others."""
        taken, lines = [], []
        for file in files:
            name = re.sub(r"\.jpe?g$", ".jpg", file.filename, flags=re.IGNORECASE)
            if PurePath(name).suffix.lower() in self.settings.extensions:
                taken.append((name, file))
            else:
                lines.append(f"[file] {file.filename} {file.link or 'is kept in the hub'}")
        return taken, lines

    async def change(self, ticket: Ticket, state: State) -> None:
        """As :class:`hub.destination.Desk` says; by an entry, so that people see who did it."""
        if state == "pending":
            answer = await self.call("PATCH", f"tickets/{ticket.ref}/", json={"on_hold": True})
            check_answer(answer, writes=False)
            return
        status, text = (RESOLVED, "Resolved") if state == "resolved" else (REOPENED, "Open again")
        body = {
            "ticket": ticket.ref,
            "comment": f"{text} in the hub.",
            "public": False,
            "new_status": status,
        }
        check_answer(await self.call("POST", "followups/", json=body), writes=False)

    async def assign(self, ticket: Ticket, assignee: str | None) -> None:
        """As :class:`hub.destination.Desk` says; this makes no entry there and calls nobody back."""
        body = {"assigned_to": None if assignee is None else agent_id(assignee)}
        check_answer(await self.call("PATCH", f"tickets/{ticket.ref}/", json=body), writes=False)

    async def tell(self, ticket: Ticket, told: Told) -> None:
        """A note where a reply did not simply go out."""
        if (text := told_text(told)) is None:
            return
        body = {"ticket": ticket.ref, "comment": escape_braces(text), "public": False}
        check_answer(await self.call("POST", "followups/", json=body), writes=True)

    # -- looking up ----------------------------------------------------------------------------------

    async def find_ticket(self, case: Case, post: Post) -> tuple[Ticket, str | None] | None:
        """Among the newest tickets, the one that names the case."""
        size = {"page_size": "1"}
        count = json_of(await self.call("GET", "tickets/", params=size), writes=False)["count"]
        for page in range(-(-count // PAGE), max(0, -(-count // PAGE) - 2), -1):
            query = {"page_size": str(PAGE), "page": str(page)}
            found = json_of(await self.call("GET", "tickets/", params=query), writes=False)
            for one in found["results"]:
                if (one.get("description") or "").endswith(case.key):
                    return self._opened(one)
        return None

    async def find(self, ticket: Ticket, post: Post) -> Sequence[str]:
        """The hub's own entries that say the same."""
        wanted = self._comment(post).strip()
        found = await self.ticket(ticket.ref)
        return [
            f"{ticket.ref}:{one['id']}"
            for one in sorted(found["followup_set"], key=lambda one: int(one["id"]))
            if one["user"] == ticket.facts.get("user")
            and (one["comment"] or "").strip().replace("\r\n", "\n") == wanted.replace("\r\n", "\n")
        ]

    async def ticket(self, ref: str) -> Mapping[str, Any]:
        """The ticket with all its entries."""
        found: Mapping[str, Any] = json_of(await self.call("GET", f"tickets/{ref}/"), writes=False)
        return found

    async def fetch(self, file: HeardFile) -> bytes:
        """As :class:`hub.destination.Desk` says; only from the helpdesk itself, without credentials."""
        answer = await self._tools.files("GET", own_url(self._base, file))
        check_answer(answer, writes=False)
        return answer.body


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")

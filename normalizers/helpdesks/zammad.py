"""What Zammad's triggers and its API say of tickets and articles."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urljoin

from hub.destination import Heard, HeardFile, Seen, State
from normalizers.helpdesks._html import agent_text

__all__ = ["assignee_of", "heard_of", "seen_of_event", "state_of"]

OURS = "hub:m:"
TYPES = frozenset({"note", "web", "email", "phone"})
"""Articles that an agent may mean for the customer."""

NOBODY = 1
_STATES: Mapping[str, State] = {
    "new": "open",
    "open": "open",
    "pending reminder": "pending",
    "pending action": "pending",
    "closed": "resolved",
    "merged": "resolved",
    "removed": "resolved",
}


def state_of(state: str | None, types: Mapping[str, str] | None = None) -> State | None:
    """The state of a ticket by its name; *types* says what an installation's own names mean."""
    name = (types or {}).get(state or "", state or "")
    return _STATES.get(name)


def heard_of(article: Mapping[str, Any], *, base_url: str, hub_user: int | None) -> Heard:
    """One article; only what an agent said in public is a reply."""
    kind, reason = _kind(article, hub_user)
    body = article.get("body") or ""
    is_html = (article.get("content_type") or "text/html") == "text/html"
    text = agent_text(body) if is_html else body.strip()
    files = _files(article, base_url)
    if kind == "reply" and not text and not files:
        kind, reason = "ignored", "it says nothing"
    return Heard(
        ref=str(article["id"]),
        order=int(article["id"]),
        kind=kind,  # type: ignore[arg-type]
        text=text,
        files=files,
        author=article.get("from"),
        reason=reason,
    )


def _kind(article: Mapping[str, Any], hub_user: int | None) -> tuple[str, str | None]:
    sender = article.get("sender")
    if sender == "Customer":
        return "echo", "the customer said it"
    if str(article.get("subject") or "").startswith(OURS):
        return "echo", "the hub put it there"
    if hub_user is not None and article.get("created_by_id") == hub_user:
        return "echo", "the hub's own user said it"
    if article.get("internal") is not False:  # whatever is not known to be public is not sent
        return "note", "it is internal"
    if sender != "Agent" or article.get("type") not in TYPES:
        return "ignored", f"{sender} {article.get('type')} is not for the customer"
    return "reply", None


def _files(article: Mapping[str, Any], base_url: str) -> tuple[HeardFile, ...]:
    found: Sequence[Mapping[str, Any]] = article.get("attachments") or ()
    base = f"{base_url.rstrip('/')}/"
    where = f"api/v1/ticket_attachment/{article.get('ticket_id')}/{article['id']}"
    return tuple(
        HeardFile(
            url=urljoin(base, f"{where}/{one['id']}"),
            filename=one.get("filename") or "file",
            mime_type=(one.get("preferences") or {}).get("Content-Type"),
        )
        for one in found
        if one.get("id") is not None
    )


def seen_of_event(body: Mapping[str, Any], *, base_url: str, hub_user: int | None) -> Seen:
    """A trigger's payload. Its article is context: one that was seen before is nothing new."""
    ticket = body["ticket"]
    article = body.get("article") or {}
    items: tuple[Heard, ...] = ()
    if article.get("id") is not None:
        items = (heard_of(article, base_url=base_url, hub_user=hub_user),)
    return Seen(
        ticket=str(ticket["id"]),
        items=items,
        state=state_of(ticket.get("state")),
        assignee=assignee_of(ticket),
        knows_assignee="owner_id" in ticket,
    )


def assignee_of(ticket: Mapping[str, Any]) -> str | None:
    """The owner's id; user 1 stands for nobody."""
    owner = ticket.get("owner_id")
    return None if owner in (None, NOBODY) else str(owner)

"""What a FreeScout conversation says; its webhooks and its API show the same snapshot of the whole."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urljoin

from hub.destination import Heard, HeardFile, Seen, State
from normalizers.helpdesks._html import agent_text

__all__ = ["seen_of"]

STATES: Mapping[str, State] = {
    "active": "open",
    "pending": "pending",
    "closed": "resolved",
    "spam": "resolved",
}


def seen_of(conversation: Mapping[str, Any], *, base_url: str, hub_user: int) -> Seen:
    """Every thread in the order of their ids, the state and who is assigned.

    A draft is nothing yet: when it is sent, it is published under the same id.
    """
    threads = (conversation.get("_embedded") or {}).get("threads") or ()
    written = [one for one in threads if one.get("state") != "draft"]
    ordered = sorted(written, key=lambda one: int(one["id"]))
    assignee = conversation.get("assignee") or {}
    return Seen(
        ticket=str(conversation["id"]),
        items=tuple(_heard(one, base_url, hub_user) for one in ordered),
        state=STATES.get(str(conversation.get("status"))),
        assignee=str(assignee["id"]) if assignee.get("id") is not None else None,
        knows_assignee="assignee" in conversation,
    )


def _heard(thread: Mapping[str, Any], base_url: str, hub_user: int) -> Heard:
    kind, reason = _kind(thread, hub_user)
    text = agent_text(thread.get("body") or "")
    files = _files((thread.get("_embedded") or {}).get("attachments") or (), base_url)
    if kind == "reply" and not text and not files:
        kind, reason = "ignored", "it says nothing"
    author = thread.get("createdBy") or {}
    return Heard(
        ref=str(thread["id"]),
        order=int(thread["id"]),
        kind=kind,  # type: ignore[arg-type]
        text=text,
        files=files,
        author=author.get("firstName") or None,
        reason=reason,
    )


def _kind(thread: Mapping[str, Any], hub_user: int) -> tuple[str, str | None]:
    kind, author = thread.get("type"), thread.get("createdBy") or {}
    if kind == "customer" or author.get("type") == "customer":
        return "echo", "the customer said it"
    if author.get("id") == hub_user:
        return "echo", "the hub's own user said it"
    if kind == "note":
        return "note", "it is a note"
    if kind != "message" or thread.get("state") != "published":
        return "ignored", f"{thread.get('state')} {kind} is not for the customer"
    return "reply", None


def _files(found: Sequence[Mapping[str, Any]], base_url: str) -> tuple[HeardFile, ...]:
    return tuple(
        HeardFile(
            url=urljoin(f"{base_url.rstrip('/')}/", one["fileUrl"]),
            filename=one.get("fileName") or "file",
            mime_type=one.get("mimeType"),
        )
        for one in found
        if one.get("fileUrl")
    )

"""What a django-helpdesk ticket says; its webhooks and its API show tickets in the same shape."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urljoin

from hub.destination import Heard, HeardFile, Seen, State

__all__ = ["seen_of"]

STATES: Mapping[int, State] = {1: "open", 2: "open", 3: "resolved", 4: "resolved", 5: "resolved"}


def seen_of(
    ticket: Mapping[str, Any], *, base_url: str, hub_user: int | None, only: int | None = None
) -> Seen:
    """The ticket's entries in the order of their ids, its state and who is assigned.

    *hub_user* is the id of the hub's own user there, None: whoever opened the ticket. *only*: the one
    entry that a callback is about.
    """
    entries = sorted(ticket.get("followup_set") or (), key=lambda one: int(one["id"]))
    if hub_user is None:
        hub_user = entries[0].get("user") if entries else None
    chosen = [one for one in entries if only is None or one["id"] == only]
    assigned = ticket.get("assigned_to")
    state = STATES.get(int(ticket.get("status") or 1), "open")
    return Seen(
        ticket=str(ticket["id"]),
        items=tuple(_heard(one, str(ticket["id"]), base_url, hub_user) for one in chosen),
        state="pending" if ticket.get("on_hold") and state == "open" else state,
        assignee=None if assigned is None else str(assigned),
        knows_assignee=True,
    )


def _heard(entry: Mapping[str, Any], ticket: str, base_url: str, hub_user: int | None) -> Heard:
    text = (entry.get("comment") or "").replace("\r\n", "\n").strip()
    files = _files(entry.get("followupattachment_set") or (), base_url)
    kind, reason = "reply", None
    if entry.get("user") is None or entry.get("user") == hub_user:
        kind, reason = "echo", "the hub's own entry"
    elif not entry.get("public"):
        kind, reason = "note", "it is private"
    elif not text and not files:
        kind, reason = "ignored", "it says nothing"
    return Heard(
        ref=f"{ticket}:{entry['id']}",
        order=int(entry["id"]),
        kind=kind,  # type: ignore[arg-type]
        text=text,
        files=files,
        author=f"user {entry['user']}" if entry.get("user") is not None else None,
        reason=reason,
    )


def _files(found: Sequence[Mapping[str, Any]], base_url: str) -> tuple[HeardFile, ...]:
    return tuple(
        HeardFile(
            url=urljoin(f"{base_url.rstrip('/')}/", one["file"]),
            filename=one.get("filename") or "file",
            mime_type=one.get("mime_type"),
        )
        for one in found
        if one.get("file")
    )

"""A reply as the message that the hub stores and shows. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from hub.ids import show_id
from hub.model import (
    Address,
    Attachment,
    ConversationRef,
    Draft,
    Message,
    Participant,
    public_json,
)
from hub.outbox import to_json
from hub.replies.composing import Stored
from hub.replies.request import AskedIn, Author, ReplyRequest, kind_of, readable
from hub.store import outbox

__all__ = ["Said"]


class Said(NamedTuple):
    """Message number *seq* of the conversation *place* (its row): what *author* wants said."""

    id: UUID
    seq: int
    place: Any
    stored: Stored
    author: Author
    at: datetime
    asked_in: AskedIn | None = None

    def body(self, drafts: Sequence[Draft], files: tuple[Attachment, ...] = ()) -> dict[str, Any]:
        """The message as JSON-like data, queued."""
        request, place = self.stored.request, self.place
        names = tuple(one.filename or one.kind for one in files)
        message = Message(
            channel=place["channel"],
            account=place["account"],
            direction="outbound",
            kind=kind_of(request),
            text=readable(request, names),
            html=request.html,
            subject=request.subject,
            sender=Participant(
                "agent", Address("hub", place["account"], self.author.name), self.author.name
            ),
            conversation=ConversationRef(
                show_id("cnv", place["id"]),
                place["thread_key"],
                place["is_group"],
                place["queue"],
            ),
            dedupe_key=str(self.id),
            sent_at=self.at,
            id=show_id("msg", self.id),
            seq=self.seq,
            in_reply_to=request.in_reply_to,
            attachments=files,
            location=request.location,
            extra=_elsewhere(self.asked_in) | _extra(request, drafts),
        )
        return public_json(message) | {"status": "queued", "status_at": self.at, "error": None}

    def row(self, body: Mapping[str, Any], shown: str) -> outbox.NewOutbound:
        """The message as a row to be; *shown* is *body* as JSON."""
        error = body["error"]
        return outbox.NewOutbound(
            self.id,
            self.place["id"],
            self.seq,
            self.place["account"],
            self.place["channel"],
            str(body["kind"]),
            str(self.id),
            shown,
            to_json(self.stored),
            str(body["status"]),
            to_json(error) if error else None,
        )


def _elsewhere(asked_in: AskedIn | None) -> dict[str, Any]:
    if asked_in is None:
        return {}
    shown = show_id("cnv", asked_in.conversation_id)
    return {"asked_in": {"conversation": shown, "reason": asked_in.reason}}


def _extra(request: ReplyRequest, drafts: Sequence[Draft]) -> dict[str, Any]:
    """What the common shape has no field for: menu, template, link, what was downgraded, and facts of
    the calls (how many SMS each becomes)."""
    marks = {"automatic": True} if request.automatic else {}
    said = {"menu": request.menu, "template": request.template, "link": request.link}
    extra: dict[str, Any] = marks | {
        name: value for name, value in said.items() if value is not None
    }
    notes = [draft.note for draft in drafts if draft.note]
    shown = [draft.shown for draft in drafts if draft.shown]
    return extra | {name: told for name, told in (("notes", notes), ("drafts", shown)) if told}

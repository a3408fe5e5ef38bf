"""Everything that happened to one message, in both directions, redacted: for ``/trace`` and ``hub trace``."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from hub.ids import read_id, read_trace, show_id
from hub.redact import redact
from hub.store import Database
from hub.store.trace import TraceRows, find_message, trace_rows
from hub.text import single_line

__all__ = ["Entry", "Trace", "find", "render", "trace"]

Kind = Literal[
    "received", "filed", "accepted", "attachment", "draft", "receipt", "event", "delivery", "attempt",
    "exchange",
]  # fmt: skip
Mood = Literal["good", "waiting", "bad", "neutral"]

_DELIVERY: Mapping[int, tuple[str, Mood]] = {
    0: ("waiting", "waiting"),
    1: ("delivered", "good"),
    2: ("dead", "bad"),
    3: ("replaced by a replay", "neutral"),
}
_DRAFT: Mapping[str, Mood] = {
    "queued": "waiting",
    "sending": "waiting",
    "held": "waiting",
    "unknown": "bad",
    "failed": "bad",
    "cancelled": "neutral",
}
_INBOX: Mapping[int, tuple[str, Mood]] = {
    0: ("waiting to be filed", "waiting"),
    1: ("filed", "good"),
    2: ("parked", "bad"),
    3: ("cancelled", "neutral"),
}


class Entry(Struct, frozen=True, kw_only=True):
    """One thing that happened: *facts* are its details, without secrets."""

    at: datetime
    kind: Kind
    mood: Mood
    summary: str
    facts: Mapping[str, Any] = {}


class Trace(Struct, frozen=True, kw_only=True):
    """What happened to a message, the oldest first."""

    message_id: str
    conversation_id: str
    account: str
    channel: str
    direction: Literal["inbound", "outbound"]
    seq: int
    queue: str
    status: str | None
    text: str
    entries: tuple[Entry, ...]


async def find(db: Database, text: str) -> UUID | None:
    """The message that *text* names: ``msg_…``, ``evt_…`` (a webhook-id), ``dlv_…``, a trace id or whole
    ``traceparent``, or a platform's id."""
    prefix = text.partition("_")[0]
    return await find_message(db, read_id(prefix, text) or read_trace(text), text)


async def trace(
    db: Database, message_id: UUID, queues: Sequence[str] | None = None
) -> Trace | None:
    """What happened to the message; None when it is not there for who sees *queues* (None: all)."""
    rows = await trace_rows(db, queues, message_id)
    if rows is None:
        return None
    message = rows.message
    body = msgspec.json.decode(message["body"])
    return Trace(
        message_id=show_id("msg", message["id"]),
        conversation_id=show_id("cnv", message["conversation_id"]),
        account=message["account"],
        channel=message["channel"],
        direction=message["direction"],
        seq=message["seq"],
        queue=message["queue"],
        status=message["status"],
        text=body.get("text") or "",
        entries=tuple(sorted(_entries(rows), key=lambda one: one.at)),
    )


def _entries(rows: TraceRows) -> Iterator[Entry]:
    yield from map(_received, rows.inbox)
    yield _filed(rows.message)
    yield from map(_attachment, rows.attachments)
    yield from map(_draft, rows.drafts)
    yield from map(_exchange, rows.exchanges)
    yield from map(_receipt, rows.receipts)
    yield from map(_event, rows.events)
    yield from map(_delivery, rows.deliveries)
    yield from map(_attempt, rows.attempts)


def _received(row: Any) -> Entry:
    state, mood = _INBOX.get(row["state"], ("?", "neutral"))
    start = bytes(row["start"] or b"").decode("utf-8", "replace")
    return Entry(
        at=row["received_at"],
        kind="received",
        mood=mood,
        summary=f"received, proven by {row['proof']}, {state}",
        facts={
            "inbox_id": row["id"],
            "dedupe_key": row["dedupe_key"],
            "partition": row["partition"],
            "size_bytes": row["size"],
            "body": redact(start) if row["size"] is not None else None,
            "error": row["error"],
        },
    )


_ASKED_IN: Mapping[str, str] = {
    "chosen": "who answered chose this way",
    "closed": "that one was closed, and the account's plan leads here",
}


def _filed(row: Any) -> Entry:
    inbound = row["direction"] == "inbound"
    asked_in = (_json(row["body"]).get("extra") or {}).get("asked_in")
    return Entry(
        at=row["created_at"],
        kind="filed" if inbound else "accepted",
        mood="good",
        summary=f"{'filed' if inbound else 'accepted'} as number {row['seq']}, kind {row['kind']}",
        facts={
            "external_id": row["external_id"],
            "queue": row["queue"],
            "status": row["status"],
            "asked_in": asked_in and asked_in["conversation"],
            "because": asked_in and _ASKED_IN.get(asked_in["reason"]),
            "error": _json(row["error"]),
        },
    )


def _attachment(row: Any) -> Entry:
    moods: Mapping[str, Mood] = {"stored": "good", "pending": "waiting"}
    return Entry(
        at=row["created_at"],
        kind="attachment",
        mood=moods.get(row["state"], "bad"),
        summary=f"attachment ({row['kind']}): {row['state']}",
        facts={
            "id": show_id("att", row["id"]),
            "size_bytes": row["size_bytes"],
            "error": row["error"],
        },
    )


def _draft(row: Any) -> Entry:
    call = _json(row["call"]) or {}
    mood = _DRAFT.get(row["state"], "good")
    return Entry(
        at=row["finished_at"] or row["started_at"] or _made_at(row["id"]),
        kind="draft",
        mood=mood,
        summary=f"part {row['position'] + 1} ({row['role']}): {row['state']}",
        facts={
            "call": redact(f"{call.get('method', '')} {call.get('url', '')}"),
            "note": call.get("note"),
            "tries": row["tries"],
            "started_at": row["started_at"],
            "worker": row["worker"],
            "external_id": row["external_id"],
            "error": _json(row["error"]),
        },
    )


def _made_at(own: UUID) -> datetime:
    """When a UUIDv7 was made."""
    return msgspec.convert((own.int >> 80) / 1000, datetime, strict=False)


def _exchange(row: Any) -> Entry:
    answered = row["status"] if row["status"] is not None else row["error"] or "no answer"
    good = row["status"] is not None and row["status"] < 400
    return Entry(
        at=row["at"],
        kind="exchange",
        mood="good" if good else "bad",
        summary=redact(f"{row['method']} {row['url']} → {answered}"),
        facts={
            "duration_ms": row["duration_ms"],
            "request": row["request"] and redact(row["request"]),
            "answer": row["answer"] and redact(row["answer"]),
        },
    )


def _receipt(row: Any) -> Entry:
    body = _json(row["body"]) or {}
    status = body.get("status", "?")
    return Entry(
        at=row["created_at"],
        kind="receipt",
        mood="bad" if status in ("failed", "unknown") else "good",
        summary=f"the platform reports: {status}",
        facts={
            "external_id": row["external_id"],
            "code": body.get("code"),
            "detail": redact(str(body["detail"])) if body.get("detail") else None,
            "occurred_at": body.get("occurred_at"),
        },
    )


def _event(row: Any) -> Entry:
    return Entry(
        at=row["created_at"],
        kind="event",
        mood="neutral",
        summary=f"event {row['type']}",
        facts={"webhook_id": show_id("evt", row["id"])},
    )


def _delivery(row: Any) -> Entry:
    state, mood = _DELIVERY.get(row["state"], ("?", "neutral"))
    again = " (replayed)" if row["replayed"] else ""
    return Entry(
        at=row["finished_at"] or row["first_tried_at"] or row["created_at"],
        kind="delivery",
        mood=mood,
        summary=f"to {row['destination']}{again}: {state}",
        facts={
            "id": show_id("dlv", row["id"]),
            "webhook_id": show_id("evt", row["event_id"]),
            "lane": f"lan_{row['lane_id']}",
            "n": row["n"],
            "failed_tries": row["tries"],
            "first_tried_at": row["first_tried_at"],
            "error": row["error"] and redact(row["error"]),
        },
    )


def _attempt(row: Any) -> Entry:
    outcome = row["status"] if row["status"] is not None else row["error"] or "no answer"
    return Entry(
        at=row["at"],
        kind="attempt",
        mood="bad",
        summary=f"a try failed: {redact(str(outcome))}",
        facts={
            "delivery_id": show_id("dlv", row["delivery_id"]),
            "duration_ms": row["duration_ms"],
            "error": row["error"] and redact(row["error"]),
            "answer": row["answer"] and redact(row["answer"]),
        },
    )


def _json(value: str | None) -> Any:
    return None if value is None else msgspec.json.decode(value)


# --- for the terminal -------------------------------------------------------------------------------

_SIGNS: Mapping[Mood, str] = {"good": "✓", "waiting": "…", "bad": "✗", "neutral": "·"}
_COLOURS: Mapping[Mood, str] = {"good": "32", "waiting": "33", "bad": "31", "neutral": "2"}


def render(found: Trace, *, colour: bool = False) -> str:
    """*found* as a time line: when, what, and the facts that are known below."""
    arrow = "→" if found.direction == "inbound" else "←"
    lines = [
        f"{found.message_id}  {arrow}  {found.channel}/{found.account}  queue {found.queue}"
        f"  {found.conversation_id} no. {found.seq}"
        + (f"  {found.status}" if found.status else ""),
        f"  “{single_line(found.text, 100)}”",
        "",
    ]
    day = ""
    for entry in found.entries:
        if (today := f"{entry.at:%Y-%m-%d}") != day:
            day = today
            lines.append(f"{day} (UTC)")
        lines.append(
            f"  {entry.at:%H:%M:%S}.{entry.at.microsecond // 1000:03d}  {_head(entry, colour)}"
        )
        lines += [f"                  {line}" for line in _facts(entry)]
    return "\n".join(lines)


def _head(entry: Entry, colour: bool) -> str:
    text = f"{_SIGNS[entry.mood]} {entry.summary}"
    return f"\x1b[{_COLOURS[entry.mood]}m{text}\x1b[0m" if colour else text


def _facts(entry: Entry) -> Iterator[str]:
    for name, value in entry.facts.items():
        if value in (None, "", 0, {}):
            continue
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        yield f"{name.replace('_', ' ')}: {single_line(shown, 160)}"

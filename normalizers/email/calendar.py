"""Invitations (RFC 5546): what, when, where, from whom."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from hub.text import single_line

__all__ = ["invitation", "invitation_text"]

_MAX_BYTES = 512 * 1024


def invitation(content: bytes) -> Mapping[str, Any] | None:
    """The first event of a calendar file; None when there is none that can be read.

    ``method`` is REQUEST, CANCEL, REPLY …; ``start`` and ``end`` are RFC 3339 times, or dates of a
    whole day.
    """
    if b"BEGIN:VEVENT" not in content[:_MAX_BYTES].upper():
        return None
    from icalendar import Calendar

    try:
        calendar = Calendar.from_ical(content[:_MAX_BYTES])
        event = next(iter(calendar.walk("VEVENT")), None)
        if event is None:
            return None
        facts = {
            "method": single_line(str(calendar.get("METHOD") or ""), 40).upper() or None,
            "summary": single_line(str(event.get("SUMMARY") or ""), 500) or None,
            "location": single_line(str(event.get("LOCATION") or ""), 500) or None,
            "organizer": _address(event.get("ORGANIZER")),
            "uid": single_line(str(event.get("UID") or ""), 500) or None,
            "start": _time(event.get("DTSTART")),
            "end": _time(event.get("DTEND")),
        }
    except Exception:  # bytes of others
        return None
    return {name: value for name, value in facts.items() if value}


def _address(value: Any) -> str | None:
    text = single_line(str(value or ""), 320)
    return text[7:] if text.lower().startswith("mailto:") else text or None


def _time(value: Any) -> str | None:
    found = getattr(value, "dt", None)
    if isinstance(found, datetime):
        return (found.astimezone(UTC) if found.tzinfo else found).isoformat()
    return found.isoformat() if isinstance(found, date) else None


def invitation_text(facts: Mapping[str, Any]) -> str:
    """The invitation as lines, for a mail that says nothing else."""
    head = f"[calendar{' ' + facts['method'].lower() if 'method' in facts else ''}]"
    when = " – ".join(facts[name] for name in ("start", "end") if name in facts)
    lines = [f"{head} {facts.get('summary', '')}".rstrip(), when, facts.get("location", "")]
    return "\n".join(line for line in lines if line)

"""Mail that no person wrote, and mail that must not be answered by a machine: two different things."""

import re
from collections.abc import Iterable
from typing import Any

from normalizers.email.headers import Headers

__all__ = ["automatic_flags"]

# A header that only machines set when they write on their own (RFC 3834 and its forerunners).
_MACHINE_HEADERS = ("x-autoreply", "x-autorespond", "x-auto-reply-from", "x-fc-machinegenerated")
# Local parts that nobody reads, or that answer by themselves (RFC 2142, RFC 5230 section 4.6).
_MACHINE_LOCAL_PART = re.compile(
    r"(mailer-daemon|postmaster|no-?_?\.?reply.*|do-?_?not-?_?reply.*|bounces?([+=.-].*)?|owner-.*"
    r"|.*-request|listserv|majordomo)"
)
# What answering machines write above their answers; people do, too, so that it wants a second sign.
_SUBJECT = re.compile(
    r"\s*(?:自动回复|自动答复|自動回覆|自動返信|automatic reply|auto(?:matic)?[- ]?(?:reply|response)"
    r"|out of (?:the )?office|abwesenheit|automatische antwort|réponse automatique"
    r"|respuesta automática|risposta automatica)",
    re.IGNORECASE,
)
# A mail that has gone through more servers runs in circles.
_MAX_HOPS = 25
_SUPPRESSING_VALUES = frozenset({"all", "autoreply", "oof"})


def _tokens(text: str) -> list[str]:
    return [token.strip().lower() for token in re.split(r"[;,\s]+", text) if token.strip()]


def _is_generated(headers: Headers, media_type: str) -> bool:
    submitted = _tokens(headers.text("auto-submitted"))
    if submitted and submitted[0] != "no":
        return True
    if any(name in headers for name in _MACHINE_HEADERS):
        return True
    return "auto_reply" in _tokens(headers.text("precedence")) or media_type == "multipart/report"


def _comes_from_a_list(headers: Headers) -> bool:
    precedence = _tokens(headers.text("precedence"))
    if not {"bulk", "list", "junk"}.isdisjoint(precedence) or "feedback-id" in headers:
        return True
    return any(name.startswith("list-") for name, _ in headers.fields)


def _asks_for_silence(headers: Headers) -> bool:
    """``X-Auto-Response-Suppress`` stands on ordinary mail of Exchange: it says nothing of its author."""
    asked = _tokens(headers.text("x-auto-response-suppress"))
    return not _SUPPRESSING_VALUES.isdisjoint(asked) or "x-loop" in headers


def automatic_flags(
    headers: Headers,
    *,
    media_type: str,
    is_bounce: bool,
    is_forged: bool,
    sender: str,
    own: Iterable[str],
) -> dict[str, Any]:
    """The flags by which automatic answers are decided; *own* are the hub's addresses.

    ``is_auto_generated``: no person wrote it. ``suppress_auto_reply``: no machine may answer it.
    """
    generated = _is_generated(headers, media_type) or is_bounce
    null_sender = headers.raw("return-path").strip() == b"<>"
    if _SUBJECT.match(headers.text("subject")) and (null_sender or _asks_for_silence(headers)):
        generated = True
    local = sender.rpartition("@")[0].lower()
    silent = (
        generated
        or null_sender
        or is_forged
        or sum(1 for _ in headers.raws("received")) > _MAX_HOPS
        or _comes_from_a_list(headers)
        or _asks_for_silence(headers)
        or _MACHINE_LOCAL_PART.fullmatch(local) is not None
        or sender.lower() in {one.lower() for one in own}
    )
    return {
        "auto_submitted": headers.text("auto-submitted")[:100] or None,
        "is_auto_generated": generated,
        "suppress_auto_reply": silent,
        "is_bounce": is_bounce,
    }

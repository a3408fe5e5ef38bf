"""What the SMS channels have in common when they compose and send."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from hub.channel import Account, Check, HttpAnswer
from hub.errors import Ambiguous, BadCredentials, RateLimited, Rejected, Unsupported
from hub.model import Reply, ReplyAttachment
from hub.segments import count_segments
from hub.text import clean
from outbound import _calls
from outbound._calls import retry_after
from outbound._plain import menu_lines, place_line, text_of_html

__all__ = [
    "HIDDEN",
    "PlainReply",
    "callback_check",
    "callback_path",
    "check_status",
    "form_bytes",
    "plain_reply",
    "shown_segments",
]

HIDDEN = "***"
FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


class PlainReply(NamedTuple):
    """All of a reply as one text, and what had to be changed for that."""

    text: str
    notes: tuple[str, ...]


def plain_reply(reply: Reply) -> PlainReply:
    """*reply* as an SMS can say it.

    Raises:
        Unsupported: a file that has no address, or nothing to say.
    """
    lines, notes = [], []
    if reply.subject:
        notes.append("subject left out: this channel has none")
    if reply.text and reply.text.strip():
        lines.append(clean(reply.text))
    elif reply.html:
        notes.append("html sent as text")
        lines.append(clean(text_of_html(reply.html)))
    if reply.menu:
        notes.append("menu sent as text: this channel has none")
        lines.append(clean(menu_lines(reply.menu)))
    if reply.location:
        notes.append("location sent as text: this channel cannot send one")
        lines.append(place_line(reply.location))
    if reply.link:
        lines.append(" ".join(filter(None, [reply.link.title, reply.link.url])))
    for attachment in reply.attachments:
        notes.append(f"{_called(attachment)} sent as a link: this channel carries text only")
        lines.append(_as_link(attachment))
    text = "\n".join(filter(None, lines))
    if not text.strip():
        raise Unsupported("there is nothing to say")
    return PlainReply(text, tuple(notes))


def _called(attachment: ReplyAttachment) -> str:
    return attachment.filename or attachment.kind


def _as_link(attachment: ReplyAttachment) -> str:
    if not attachment.url:
        raise Unsupported(f"{_called(attachment)} cannot be sent: this channel carries text only")
    return f"{_called(attachment)}: {attachment.url}"


def shown_segments(text: str, *, mainland: bool = False) -> Mapping[str, Any]:
    """How many SMS *text* becomes, as the draft and the API show it."""
    counted = count_segments(text, mainland=mainland)
    return {"encoding": counted.encoding, "segments": counted.segments}


def form_bytes(form: Mapping[str, Any]) -> bytes:
    """*form* as it is sent; a list is a field given several times."""
    return urlencode(form, doseq=True).encode("ascii")


def check_status(answer: HttpAnswer) -> None:
    """Raises the SendError of an HTTP status that says enough by itself; 4xx bodies are the caller's."""
    if answer.status >= 500:
        raise Ambiguous(f"HTTP {answer.status}")
    if answer.status == 429:
        raise RateLimited("HTTP 429", retry_after=retry_after(answer))
    if answer.status == 407 or 300 <= answer.status < 400:
        refusal = BadCredentials if answer.status == 407 else Rejected
        raise refusal(f"HTTP {answer.status}", external_code=answer.status)


# --- hub check --------------------------------------------------------------------------------------


def callback_path(account: Account[Any], *, secret: bool = False) -> str:
    """Where the platform calls; the secret segment is hidden unless *secret*."""
    hidden = account.settings.intake_secret
    segment = f"/{hidden.reveal() if secret else HIDDEN}" if hidden else ""
    return f"/in/{account.channel}/{account.name}{segment}"


def callback_check(account: Account[Any], public_url: str | None, where: str) -> Check:
    """What to paste under *where* in the console."""
    advice = f"paste it under {where}"
    return _calls.callback_check(account, public_url, advice, "https only", _is_https)


def _is_https(url: str) -> bool:
    return url.startswith("https://")


def unsigned_check(account: Account[Any]) -> Check:
    """The provider signs nothing: only what is hard to guess keeps strangers out."""
    name = "callbacks are not signed"
    settings = account.settings
    kept_out = [
        text
        for text, given in (
            ("a secret path segment", settings.intake_secret),
            ("a list of source addresses", settings.sources),
        )
        if given
    ]
    if not settings.intake_secret:
        advice = "anybody who knows the URL can write as any number: set intake_secret, and sources"
        return Check(False, name, "nothing keeps strangers out", advice)
    return Check(True, name, f"strangers are kept out by {' and '.join(kept_out)} only")

"""Checks of the way out: what a sender composes, and what it makes of the platform's answers."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from hub.channel import HttpAnswer, Sender
from hub.errors import (
    Ambiguous,
    BadCredentials,
    NeedsTemplate,
    RateLimited,
    Rejected,
    SendError,
    Unreachable,
    Unsupported,
    WindowClosed,
)
from hub.model import Allowance, Draft, Menu, MenuChoice, Receipt, ReplyAttachment, Template
from hub.testing.kit import ChannelKit, Platform
from hub.testing.tools import HttpCall, Workbench
from hub.testing.verdict import expect, hidden

__all__ = ["OUTGOING"]

_ALPHABET = (
    "客服您好，请问有什么可以帮到您？\nHello, world. ",
    "😀👍🏽👨\u200d👩\u200d👧\u200d👦🇨🇳é1\u20e3",
    "龍𠮷ｶﾅ\t한국어 ",
)
_FILES = {
    "image": ("a.png", "image/png"),
    "voice": ("a.amr", "audio/amr"),
    "video": ("a.mp4", "video/mp4"),
    "file": ("a.pdf", "application/pdf"),
}


def long_text(length: int = 10_000) -> str:
    """*length* characters, Chinese, Latin, emoji and joiners mixed, the same every time."""
    pattern = "".join(_ALPHABET)
    return (pattern * (length // len(pattern) + 1))[:length]


def _sender(kit: ChannelKit, bench: Workbench) -> Sender:
    if kit.channel.sender is None:
        raise AssertionError("the channel has no sender")
    return kit.channel.sender(kit.account, bench.tools)


def _compose(kit: ChannelKit, *allowances: Allowance, **content: Any) -> Sequence[Draft]:
    return _sender(kit, Workbench()).compose(kit.reply(**content), allowances)


async def long_text_is_lossless(kit: ChannelKit) -> None:
    """10,000 mixed characters: every draft within the limit, and joined they are the text again.

    Where only templates may be sent, none carries it: it is refused, never cut.
    """
    if kit.channel.sender is None:
        return
    said = long_text()
    if not kit.channel.capabilities.free_text:
        expect(
            _fails(kit, text=said) is NeedsTemplate, "a text that fits no template is not refused"
        )
        return
    drafts = [one for one in _compose(kit, text=said) if one.role == "say"]
    texts = [one.text or "" for one in drafts]
    expect("".join(texts) == said, "the drafts do not add up to the text")
    limits = kit.channel.capabilities
    for text in texts:
        size = len(text.encode())
        expect(not limits.max_text_bytes or size <= limits.max_text_bytes, f"{size} bytes")
        most = limits.max_text_characters
        expect(not most or len(text) <= most, f"{len(text)} characters")


async def drafts_keep(kit: ChannelKit) -> None:
    """Drafts can be stored and shown: they survive JSON and hold no secret."""
    if kit.channel.sender:
        for draft in _compose(kit, text="hello"):
            kept = msgspec.json.decode(msgspec.json.encode(draft), type=Draft)
            expect(kept == draft, "a draft is another one after JSON")
            hidden(kit, repr(draft), msgspec.json.encode(draft).decode())


async def nothing_to_say_is_unsupported(kit: ChannelKit) -> None:
    """An empty reply is refused early."""
    if kit.channel.sender:
        expect(_fails(kit) is Unsupported, "an empty reply is not refused")


def _fails(kit: ChannelKit, *allowances: Allowance, **content: Any) -> type[SendError] | None:
    try:
        _compose(kit, *allowances, **content)
    except SendError as error:
        return type(error)
    return None


async def closed_window_is_refused_early(kit: ChannelKit) -> None:
    """With its window over, or its count used up, a reply is WindowClosed before anything is sent."""
    window = kit.channel.capabilities.reply_window
    if kit.channel.sender and window:
        now = Workbench().clock()
        over = Allowance(
            trigger="message", key="1", opened_at=now - 2 * window, until=now - window, remaining=5
        )
        used = Allowance(
            trigger="message", key="2", opened_at=now, until=now + timedelta(hours=1), remaining=0
        )
        for allowance in (over, used):
            failure = _fails(kit, allowance, text="hello")
            expect(failure is WindowClosed, f"{allowance} gives {failure}")


async def attachments_are_as_declared(kit: ChannelKit) -> None:
    """A declared kind of file is sent; another, or one too large, is refused or becomes a link."""
    if kit.channel.sender is None:
        return
    limits = kit.channel.capabilities.attachments
    for kind, (filename, mime_type) in _FILES.items():
        file = ReplyAttachment(
            kind=kind,  # type: ignore[arg-type]
            filename=filename,
            mime_type=mime_type,
            size_bytes=3,
            content=b"abc",
            id="att_1",
        )
        failure = _fails(kit, attachments=(file,))
        expect((failure is None) == (kind in limits), f"{kind}: declared otherwise; {failure}")
        if kind in limits:
            large = msgspec.structs.replace(file, size_bytes=limits[kind] + 1, content=None)
            expect(_fails(kit, attachments=(large,)) is Unsupported, f"{kind} may be too large")
        if kind not in limits:
            link = msgspec.structs.replace(file, url="https://files.example/a")
            _is_link_or_refused(kit, link)


def _is_link_or_refused(kit: ChannelKit, file: ReplyAttachment) -> None:
    if _fails(kit, attachments=(file,)) is None:
        drafts = _compose(kit, attachments=(file,))
        expect(any(file.url in (one.text or "") for one in drafts if file.url), "the link is lost")
        expect(any(one.note for one in drafts), "a downgrade without a note")


async def menus_and_templates_are_as_declared(kit: ChannelKit) -> None:
    """A declared menu or template is composed; an undeclared one is refused or noted as downgraded."""
    if kit.channel.sender is None:
        return
    menu = Menu("Well?", (MenuChoice("1", "Yes"), MenuChoice("2", "No")))
    for declared, content in (
        (kit.channel.capabilities.menus, {"menu": menu}),
        (kit.channel.capabilities.templates, {"template": Template("t", {"a": "b"})}),
    ):
        failure = _fails(kit, **content)
        if declared:
            expect(failure is None, f"{content} is declared and gives {failure}")
        elif failure is None:
            noted = any(one.note for one in _compose(kit, **content))
            expect(noted, f"{content} is not declared, and nothing is noted")


# --- what comes back --------------------------------------------------------------------------------


def _script(platform: Platform, answer: HttpAnswer | Exception) -> Workbench:
    def script(call: HttpCall) -> HttpAnswer | Exception:
        return platform.support(call) or answer

    return Workbench(script)


async def _send(
    kit: ChannelKit, platform: Platform, answer: HttpAnswer | Exception
) -> tuple[Receipt | SendError, Workbench]:
    """What comes of saying hello when the platform answers with *answer*."""
    bench = _script(platform, answer)
    sender = _sender(kit, bench)
    drafts = sender.compose(kit.reply(text="hello"), ())
    draft = next(one for one in drafts if one.role == "say")
    try:
        outcome: Receipt | SendError = await sender.send(draft, {})
    except SendError as error:
        outcome = error
        hidden(kit, repr(error), str(error.as_json()))
    hidden(kit, repr(bench.log.lines))
    for token in bench.tokens.stored.values():
        seen = token in repr(outcome) or token in repr(bench.log.lines)
        expect(not seen, "an access token can be read in a receipt, error or log")
    return outcome, bench


def _outcomes(platform: Platform) -> Iterator[tuple[str, HttpAnswer | Exception, type[SendError]]]:
    """(name, answer, what it must become): what every platform does, then its own refusals."""
    yield "HTTP 429", HttpAnswer(429, {"retry-after": "7"}, b""), RateLimited
    for status in (500, 502, 503, 504):
        yield f"HTTP {status}", HttpAnswer(status, {}, b"<html>"), Ambiguous
    yield "no connection", Unreachable("refused"), Unreachable
    yield "timeout after writing", Ambiguous("timeout"), Ambiguous
    yield "an unreadable 200", HttpAnswer(200, {}, b"\xff<html>"), Ambiguous
    if platform.unknown:
        yield "an unknown code", platform.unknown, Rejected
    for name, (answer, kind) in platform.refusals.items():
        yield name, answer, kind


async def success_is_a_receipt(kit: ChannelKit) -> None:
    """A message taken is a receipt; the platform was called once for it."""
    if kit.platform and kit.channel.sender:
        outcome, bench = await _send(kit, kit.platform, kit.platform.said)
        taken = isinstance(outcome, Receipt) and outcome.status in ("sent", "delivered", "held")
        expect(taken, f"a success becomes {outcome!r}")
        calls = [call for call in bench.http.calls if kit.platform.support(call) is None]
        expect(len(calls) == 1, f"one draft makes {len(calls)} calls")


async def failures_have_their_class(kit: ChannelKit) -> None:
    """429, 5xx, timeout, an error inside 200 and an unknown code each become the right class."""
    if kit.platform and kit.channel.sender:
        for name, answer, kind in _outcomes(kit.platform):
            outcome, _bench = await _send(kit, kit.platform, answer)
            expect(type(outcome) is kind, f"{name} becomes {outcome!r}, not {kind.__name__}")


async def expired_token_is_refreshed_once(kit: ChannelKit) -> None:
    """ "Expired" fetches one more token and tries once more; never a third time."""
    if kit.platform and kit.platform.expired and kit.channel.sender:
        outcome, bench = await _send(kit, kit.platform, kit.platform.expired)
        calls = [call for call in bench.http.calls if kit.platform.support(call) is None]
        expect(isinstance(outcome, BadCredentials), f"expired for ever becomes {outcome!r}")
        expect(len(calls) == 2, f"an expired token makes {len(calls)} calls")
        expect(bench.tokens.fetches == 2, f"it makes {bench.tokens.fetches} tokens")


OUTGOING = (
    long_text_is_lossless,
    drafts_keep,
    nothing_to_say_is_unsupported,
    closed_window_is_refused_early,
    attachments_are_as_declared,
    menus_and_templates_are_as_declared,
    success_is_a_receipt,
    failures_have_their_class,
    expired_token_is_refreshed_once,
)

"""Checks of the way in: what an adapter lets through and what a normalizer makes of it."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec.structs import replace

from hub.channel import Adapter, Intake, IntakeRequest
from hub.errors import NotAuthentic, NotRecognised
from hub.model import InboundEvent, Message, Notice, Receipt, Result, public_json
from hub.testing.kit import ChannelKit
from hub.testing.tools import Workbench
from hub.testing.verdict import expect, hidden

__all__ = ["INCOMING"]

_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_MAX_KEY_BYTES = 1024
_MAX_SEALED = 32_768  # an envelope of it must stay within what adapters take

NASTY_BODIES: Sequence[bytes] = (
    b"",
    b"\0",
    b"\xff\xfe\x00",
    b"{",
    b"{}",
    b"[]",
    b"null",
    b'"text"',
    b"1e999",
    b'{"a":' * 5000,
    b"[" * 60_000,
    b'{"a":"\\ud800"}',
    b'{"a":' + b"9" * 5000 + b"}",
    b"<",
    b"<xml/>",
    b"<xml></xml>",
    b"<a>" * 20_000,
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><xml>&b;</xml>',
    b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><xml>&a;</xml>',
    b"a=b&a=c&%zz=%",
    b"--x\r\nContent-Disposition: form-data\r\n\r\n",
    b"A" * 65_536,
)


def _adapter(kit: ChannelKit, bench: Workbench) -> Adapter:
    if kit.channel.adapter is None:
        raise AssertionError("the channel has no adapter")
    return kit.channel.adapter(kit.account, bench.tools)


async def _accept(kit: ChannelKit, request: IntakeRequest) -> Intake:
    return await _adapter(kit, Workbench()).accept(request)


async def _refused(kit: ChannelKit, request: IntakeRequest) -> NotAuthentic | NotRecognised | None:
    """Why *request* is refused, or None when it is taken; anything else is a fault."""
    try:
        await _accept(kit, request)
    except (NotAuthentic, NotRecognised) as refusal:
        hidden(kit, repr(refusal), str(refusal), refusal.detail)
        return refusal
    except Exception as error:
        shown = f"{request.method} ?{request.query[:80]} {request.body[:80]!r}"
        raise AssertionError(f"{type(error).__name__} from {shown}") from error
    return None


async def genuine_is_taken(kit: ChannelKit) -> None:
    """A genuine request is taken and answered 2xx."""
    if kit.sample:
        intake = await _accept(kit, kit.sample(1))
        expect(bool(intake.events or intake.bells), "it brings neither events nor bells")
        expect(200 <= intake.response.status < 300, f"it is answered {intake.response.status}")


async def forged_proof_is_refused(kit: ChannelKit) -> None:
    """A proof that is missing, empty, doubled, cut or changed is NotAuthentic: 403, nothing echoed."""
    for request in filter(None, (kit.sample(1) if kit.sample else None, kit.handshake)):
        for name in kit.proof:
            for what, forged in _forgeries(request, name):
                refusal = await _refused(kit, forged)
                expect(
                    isinstance(refusal, NotAuthentic),
                    f"{request.method} with {name} {what} gives {refusal!r}, not NotAuthentic",
                )


def _forgeries(request: IntakeRequest, name: str) -> Iterator[tuple[str, IntakeRequest]]:
    where, _, field = name.partition(":")
    if where == "header":
        value = request.headers.get(field, "")
        if not value:
            return
        for what, forged in _changes(value):
            yield what, replace(request, headers={**request.headers, field: forged})
        yield "missing", replace(request, headers=_without(dict(request.headers), field))
        return
    pairs = parse_qsl(request.query, keep_blank_values=True)
    value = dict(pairs).get(field, "")
    if not value:
        return
    rest = [pair for pair in pairs if pair[0] != field]
    for what, forged in _changes(value):
        yield what, replace(request, query=urlencode([*rest, (field, forged)]))
    yield "missing", replace(request, query=urlencode(rest))
    yield "doubled", replace(request, query=urlencode([*pairs, (field, "x")]))


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    headers.pop(name, None)
    return headers


def _changes(value: str) -> Iterator[tuple[str, str]]:
    last = "0" if value[-1:] != "0" else "1"
    yield "changed", value[:-1] + last
    yield "empty", ""
    yield "cut", value[:-1]
    yield "longer", value + "0"
    yield "not ASCII", "é" + value[1:]
    yield "with NUL", "\0" + value[1:]


async def changed_body_is_refused_or_means_the_same(kit: ChannelKit) -> None:
    """One bit of a genuine body changed: it is refused, or it brings exactly the same events."""
    if kit.sample and kit.channel.capabilities.signed:
        request = kit.sample(1)
        genuine = (await _accept(kit, request)).events
        step = max(len(request.body) // 97, 1)
        for place in range(0, len(request.body), step):
            body = bytearray(request.body)
            body[place] ^= 1
            forged = replace(request, body=bytes(body))
            if await _refused(kit, forged) is None:
                events = (await _accept(kit, forged)).events
                expect(_meaning(events) == _meaning(genuine), f"bit {place} forges a message")


def _meaning(events: Sequence[InboundEvent]) -> list[tuple[str, str, bytes]]:
    return [(one.dedupe_key, one.order_key, one.body) for one in events]


async def any_bytes_are_refused_cleanly(kit: ChannelKit) -> None:
    """Whatever bytes come: events, NotAuthentic or NotRecognised, never another exception."""
    if kit.sample:
        request = kit.sample(1)
        for body in (*NASTY_BODIES, *_noise()):
            await _refused(kit, replace(request, body=body))
            await _refused(kit, replace(request, body=body, query=""))
        for query in ("&&==", "a" * 5000, "%ff=%fe", "=&" * 500, "\udcff=1"):
            await _refused(kit, replace(request, query=query))
        for method in ("GET", "PUT", "DELETE", "HEAD", "POST", ""):
            await _refused(kit, replace(request, method=method, query="", body=b""))


def _noise() -> Iterator[bytes]:
    source = random.Random(20260102)  # noqa: S311 - the same bytes every time
    for size in (1, 16, 333, 4096):
        yield source.randbytes(size)


async def any_proven_bytes_are_shown(kit: ChannelKit) -> None:
    """Whatever a genuine request brings is an event, and the normalizer shows it without an exception."""
    for body in (*NASTY_BODIES, *_noise()):
        if kit.sealed and body:
            for event in (await _accept(kit, kit.sealed(body[:_MAX_SEALED]))).events:
                _shown(kit, event)
        if kit.event:
            _shown(kit, kit.event(body))


async def samples_are_shown(kit: ChannelKit) -> None:
    """Every sample is understood: readable text, aware and sane times, keys that a database can hold."""
    events = list(kit.samples)
    if kit.sample:
        events += (await _accept(kit, kit.sample(1))).events
    for event in events:
        for result in _shown(kit, event):
            unreadable = isinstance(result, Message) and result.kind == "unsupported"
            expect(not unreadable, f"a sample is shown as unsupported: {event.body[:200]!r}")


def _shown(kit: ChannelKit, event: InboundEvent) -> list[Result]:
    try:
        results = list(kit.channel.normalize(event, kit.account))
        again = list(kit.channel.normalize(event, kit.account))
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} from {event.body[:80]!r}") from error
    expect(bool(results), f"nothing comes of an event: {event.body[:80]!r}")
    expect(results == again, "the normalizer gives two answers to one event")
    _storable(event.dedupe_key, event.order_key)
    for result in results:
        msgspec.json.decode(msgspec.json.encode(public_json(result)))
        _sane(kit, result)
    return results


def _sane(kit: ChannelKit, result: Result) -> None:
    if isinstance(result, Message | Notice):
        expect(result.sent_at.tzinfo is not None, "sent_at has no time zone")
        expect(_EARLIEST < result.sent_at < _LATEST, f"sent_at is {result.sent_at}")
        expect(bool(result.text), "there is no readable text")
        expect(result.channel == kit.channel.key, f"it calls its channel {result.channel!r}")
        expect(result.account == kit.account.name, f"it calls its account {result.account!r}")
        _storable(result.dedupe_key)
    if isinstance(result, Message):
        _storable(result.conversation.thread_key or "", result.sender.address.value)
        expect(bool(result.conversation.thread_key), "a message belongs to no conversation")
    if isinstance(result, Receipt):
        expect(bool(result.external_id or result.message_id), "a receipt names no message")


def _storable(*keys: str) -> None:
    for key in keys:
        expect("\0" not in key, f"NUL in {key[:80]!r}")
        size = len(key.encode("utf-8", "surrogatepass"))
        expect(size <= _MAX_KEY_BYTES, f"{size} bytes in a key: {key[:80]!r}")
        expect(not any("\ud800" <= one <= "\udfff" for one in key), "a lone surrogate in a key")


async def repeats_have_one_key(kit: ChannelKit) -> None:
    """The same message sent again has the same dedupe_key, another message another one."""
    if kit.sample:
        first = (await _accept(kit, kit.sample(1))).events
        again = (await _accept(kit, kit.sample(1))).events
        other = (await _accept(kit, kit.sample(2))).events
        keys = [one.dedupe_key for one in first]
        expect(keys == [one.dedupe_key for one in again], "a repeat has another dedupe_key")
        expect(not set(keys) & {one.dedupe_key for one in other}, "two messages share a key")


async def handshake_is_answered(kit: ChannelKit) -> None:
    """A genuine handshake is answered 2xx and brings no events."""
    if kit.handshake:
        intake = await _accept(kit, kit.handshake)
        expect(200 <= intake.response.status < 300, f"answered {intake.response.status}")
        expect(not intake.events, "a handshake brings events")


async def allowance_is_as_declared(kit: ChannelKit) -> None:
    """A customer's message opens the allowance that the capabilities declare."""
    declared = kit.channel.capabilities
    if kit.sample and declared.reply_window:
        for event in (await _accept(kit, kit.sample(1))).events:
            for result in kit.channel.normalize(event, kit.account):
                opened = result.allowances if isinstance(result, Message) else ()
                expect(len(opened) == 1, f"it opens {len(opened)} allowances")
                expect(opened[0].remaining == declared.allowance, "another count than declared")
                until = opened[0].opened_at + declared.reply_window
                expect(opened[0].until == until, "another window than declared")


INCOMING = (
    genuine_is_taken,
    forged_proof_is_refused,
    changed_body_is_refused_or_means_the_same,
    any_bytes_are_refused_cleanly,
    any_proven_bytes_are_shown,
    samples_are_shown,
    repeats_have_one_key,
    handshake_is_answered,
    allowance_is_as_declared,
)

"""Negative controls: a channel with a fault fails the check that is there for it."""

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.wechat import CHANNEL, WeChatAdapter
from hub.channel import Account, Channel, Intake, IntakeRequest, Response
from hub.errors import NotAuthentic, NotRecognised, Rejected, SendError
from hub.model import Allowance, Draft, InboundEvent, Message, Receipt, Reply, Result
from hub.testing import ChannelKit, checks
from outbound.wechat import WeChatSender
from tests.conformance import kit_wechat

KIT: ChannelKit = kit_wechat.KIT
CHECKS = {check.__name__: check for check in checks()}


class Trusting(WeChatAdapter):
    """Does not look at the signature."""

    def _check(self, signature: str | None, query: dict[str, str], *sealed: str) -> None:
        return


class Echoing(WeChatAdapter):
    """Tells whoever asks why it refuses, secret and all."""

    async def accept(self, request: IntakeRequest) -> Intake:
        try:
            return await super().accept(request)
        except (NotAuthentic, NotRecognised):
            raise NotAuthentic(f"expected {KIT.secrets[0]}") from None


class Fragile(WeChatAdapter):
    """Lets the parser's exceptions through."""

    async def accept(self, request: IntakeRequest) -> Intake:
        request.body.decode()
        return await super().accept(request)


class Forgetful(WeChatAdapter):
    """Makes up a key for each push."""

    numbers = itertools.count()

    async def accept(self, request: IntakeRequest) -> Intake:
        intake = await super().accept(request)
        events = tuple(replace(one, dedupe_key=str(next(self.numbers))) for one in intake.events)
        return replace(intake, events=events)


class Silent(WeChatAdapter):
    """Answers a push with an error."""

    async def accept(self, request: IntakeRequest) -> Intake:
        return replace(await super().accept(request), response=Response(500))


def changed(**changes: Any) -> Any:
    def normalize(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
        for one in CHANNEL.normalize(event, account):
            yield replace(one, **changes) if isinstance(one, Message) else one

    return normalize


def raising(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    event.body.decode()
    return CHANNEL.normalize(event, account)


class Lossy(WeChatSender):
    """Drops the end of long texts."""

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        return super().compose(reply, allowances)[:3]


class Wordy(WeChatSender):
    """Sends a long text in one piece."""

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        return [replace(super().compose(reply, allowances)[0], text=reply.text)]


class Leaky(WeChatSender):
    """Puts the app secret into the draft."""

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        return [replace(one, url=KIT.secrets[1]) for one in super().compose(reply, allowances)]


class Pushing(WeChatSender):
    """Sends though the window is closed."""

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        return super().compose(reply, ())


class Stubborn(WeChatSender):
    """Tries a second time, whatever happened, and blames the message."""

    async def send(self, draft: Draft, results: Any) -> Receipt:
        try:
            return await super().send(draft, results)
        except SendError:
            try:
                return await super().send(draft, results)
            except SendError as error:
                raise Rejected(error.detail) from error


def channel(**changes: Any) -> Channel:
    return replace(CHANNEL, **changes)


FAULTS: list[tuple[str, Channel]] = [
    ("forged_proof_is_refused", channel(adapter=Trusting)),
    ("forged_proof_is_refused", channel(adapter=Echoing)),
    ("changed_body_is_refused_or_means_the_same", channel(adapter=Forgetful)),
    ("any_bytes_are_refused_cleanly", channel(adapter=Fragile)),
    ("repeats_have_one_key", channel(adapter=Forgetful)),
    ("genuine_is_taken", channel(adapter=Silent)),
    ("handshake_is_answered", channel(adapter=Silent)),
    ("any_proven_bytes_are_shown", channel(normalize=raising)),
    ("samples_are_shown", channel(normalize=changed(sent_at=datetime(2026, 1, 1)))),  # noqa: DTZ001
    ("samples_are_shown", channel(normalize=changed(text=""))),
    ("samples_are_shown", channel(normalize=changed(dedupe_key="\0"))),
    ("samples_are_shown", channel(normalize=changed(kind="unsupported"))),
    ("samples_are_shown", channel(normalize=lambda _event, _account, /: [])),
    ("allowance_is_as_declared", channel(normalize=changed(allowances=()))),
    ("long_text_is_lossless", channel(sender=Lossy)),
    ("long_text_is_lossless", channel(sender=Wordy)),
    ("drafts_keep", channel(sender=Leaky)),
    ("closed_window_is_refused_early", channel(sender=Pushing)),
    ("failures_have_their_class", channel(sender=Stubborn)),
    ("expired_token_is_refreshed_once", channel(sender=Stubborn)),
    (
        "attachments_are_as_declared",
        channel(capabilities=replace(CHANNEL.capabilities, attachments={"file": 5})),
    ),
    (
        "menus_and_templates_are_as_declared",
        channel(capabilities=replace(CHANNEL.capabilities, menus=False)),
    ),
    ("record_is_complete", channel(title="")),
]


@pytest.mark.parametrize(
    "check,faulty", FAULTS, ids=[f"{number}-{name}" for number, (name, _) in enumerate(FAULTS)]
)
async def test_a_fault_is_caught(check: str, faulty: Channel) -> None:
    """The check says no to the fault, and yes to the channel without it."""
    await CHECKS[check](KIT)
    with pytest.raises(AssertionError):
        await CHECKS[check](replace(KIT, channel=faulty))


def test_a_kit_with_gaps_is_told() -> None:
    """A check that has nothing to work with does not pass unseen."""
    assert replace(KIT, sample=None, platform=None).gaps == ("sample", "platform")

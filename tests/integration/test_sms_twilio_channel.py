"""Twilio's channel against its simulator, over real sockets: neither shares code."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.sms_twilio import CHANNEL, TwilioSettings
from hub.errors import Ambiguous, BadCredentials, OptedOut
from hub.model import Message, Notice, Receipt, Secret
from outbound.sms_twilio import TwilioMedia
from sandbox.sms import TwilioSimulator
from tests.corekit import eventually
from tests.smskit import SECRET, Shop, running_shop

PERSON = "+14155550100"
JPEG = b"\xff\xd8\xff\xe0 a picture"


@pytest.fixture
async def simulator() -> AsyncIterator[TwilioSimulator]:
    simulator = TwilioSimulator(time_scale=0.05)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def shop(simulator: TwilioSimulator, aiohttp_server: Any) -> AsyncIterator[Shop]:
    def settings(base: str) -> TwilioSettings:
        return TwilioSettings(
            account_sid=simulator.account_sid,
            auth_token=Secret(simulator.auth_token),
            from_number=simulator.number,
            public_url=base,
            api_base=simulator.api_base,
            intake_secret=Secret(SECRET),
        )

    async with running_shop(CHANNEL, settings, aiohttp_server) as shop:
        simulator.callback_url = f"{shop.url}#rc=3&rp=all"
        yield shop


async def test_a_text_arrives_and_nothing_is_texted_back(
    simulator: TwilioSimulator, shop: Shop
) -> None:
    """The signature fits, blank fields and all; the answer is no text for the customer."""
    pushed = await simulator.text(PERSON, "Hi & bye + 你好")
    assert (pushed.acked, pushed.tries) == (True, 1)
    (message,) = shop.of(Message)
    assert (message.text, message.sender.address.value) == ("Hi & bye + 你好", PERSON)
    assert [one.author for one in simulator.phone(PERSON)] == ["user"]


async def test_files_are_fetched_with_the_accounts_credentials_only(
    simulator: TwilioSimulator, shop: Shop
) -> None:
    """The store that the redirect leads to sees none of them."""
    await simulator.text(PERSON, "", media=[("image/jpeg", JPEG), ("application/pdf", b"%PDF")])
    (message,) = shop.of(Message)
    assert [one.kind for one in message.attachments] == ["image", "file"]
    media = TwilioMedia(shop.account, shop.tools)
    assert b"".join([piece async for piece in media.open(message.attachments[0])]) == JPEG
    # The simulator's store is on its own host; anywhere else no credentials go at all.
    assert media._credentials("https://elsewhere.example/cdn/1") == {}


async def test_a_reply_is_reported_in_any_order(simulator: TwilioSimulator, shop: Shop) -> None:
    """Each report names our message and Twilio's."""
    simulator.reports = "reversed"
    receipt = await shop.say(PERSON, "We are open until 9.")
    assert simulator.phone(PERSON)[-1].text == "We are open until 9."
    await eventually(lambda: len(shop.of(Receipt)) == 2)
    reports = shop.of(Receipt)
    assert [one.status for one in reports] == ["delivered", "sent"]
    assert {one.external_id for one in reports} == {receipt.external_id}
    assert {one.message_id for one in reports} == {"msg_1"}
    assert len(set(shop.keys)) == 2


async def test_a_failed_message_says_why(simulator: TwilioSimulator, shop: Shop) -> None:
    """The code and a sentence."""
    simulator.reports = "failed"
    await shop.say(PERSON, "hello")
    await eventually(lambda: len(shop.of(Receipt)) == 2)
    failed = shop.of(Receipt)[-1]
    assert (failed.status, failed.code) == ("failed", "30003")
    assert "out of reach" in failed.detail


async def test_stop_is_kept_and_ends_it(simulator: TwilioSimulator, shop: Shop) -> None:
    """The wish is a notice, nothing is answered, and the platform refuses what is sent after it."""
    await simulator.text(PERSON, " Stop. ")
    await simulator.text(PERSON, "STOP")
    assert [one.consent for one in shop.of(Notice)] == ["withdrawn", "withdrawn"]
    with pytest.raises(OptedOut):
        await shop.say(PERSON, "one more thing")
    await simulator.text(PERSON, "start")
    assert shop.of(Notice)[-1].consent == "given"
    await shop.say(PERSON, "welcome back")


@pytest.mark.parametrize("fault", ["drop_answer", "bad_gateway"])
async def test_a_lost_answer_is_looked_up(
    simulator: TwilioSimulator, shop: Shop, fault: Any
) -> None:
    """The message is out, and the look-up finds it; one that never arrived is not found."""
    simulator.reports = "never"
    simulator.fail(fault)
    (draft,) = shop.sender.compose(shop.reply(PERSON, "only once"), ())
    with pytest.raises(Ambiguous):
        await shop.sender.send(draft, {})
    found = await shop.sender.reconcile(draft)
    assert found is not None
    assert (found.status, found.external_id) == ("sent", next(iter(simulator.messages)))
    (other,) = shop.sender.compose(shop.reply(PERSON, "never sent"), ())
    assert await shop.sender.reconcile(other) is None


async def test_two_of_the_same_words_decide_nothing(simulator: TwilioSimulator, shop: Shop) -> None:
    """Either may be the one that nobody answered for."""
    (draft,) = shop.sender.compose(shop.reply(PERSON, "OK"), ())
    await shop.sender.send(draft, {})
    await shop.sender.send(draft, {})
    assert await shop.sender.reconcile(draft) is None


async def test_refused_callbacks_come_again(simulator: TwilioSimulator, shop: Shop) -> None:
    """As the overrides in the URL say, and each is the same message."""
    shop.status = 503
    pushed = await simulator.text(PERSON, "hello", sid="SM1")
    assert (pushed.acked, pushed.tries) == (False, 4)
    shop.status = 200
    await simulator.text(PERSON, "hello", sid="SM1")
    await simulator.text(PERSON, "hello", sid="SM1")
    assert shop.keys == ["SM1", "SM1"]


async def test_wrong_credentials_stop_the_account(simulator: TwilioSimulator, shop: Shop) -> None:
    """And the check says which."""
    found = await shop.checks()
    assert found["credentials"].ok
    assert found[f"number {simulator.number}"].ok
    simulator.auth_token = "another"
    with pytest.raises(BadCredentials):
        await shop.say(PERSON, "hello")
    found = await shop.checks()
    assert not found["credentials"].ok

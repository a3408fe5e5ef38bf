"""A gateway by settings, those of the docs, against its simulator over real sockets."""

import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.sms_http import CHANNEL, GatewaySettings
from hub.errors import Ambiguous, BadCredentials
from hub.model import Message, Notice, Receipt
from hub.settings import channel_part, read_table
from sandbox.sms import GatewaySimulator
from tests.corekit import eventually
from tests.smskit import SECRET, Shop, running_shop

PERSON = "+447700900001"
PAGE = Path(__file__).parents[2] / "docs" / "channels" / "sms_http.md"


def example(name: str, **environment: str) -> dict[str, Any]:
    """The settings that the page shows for *name*, with the variables that it names."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- file: {name}.toml -->\n```toml\n(.*?)```", text, re.DOTALL)
    assert found
    filled = re.sub(r"\$\{(\w+)\}", lambda hole: environment[hole[1]], found[1])
    (table,) = tomllib.loads(filled)["accounts"].values()
    return channel_part(table)


@pytest.fixture
async def simulator() -> AsyncIterator[GatewaySimulator]:
    simulator = GatewaySimulator(time_scale=0.05)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def shop(simulator: GatewaySimulator, aiohttp_server: Any) -> AsyncIterator[Shop]:
    table = example(
        "vonage",
        VONAGE_SIGNATURE_SECRET=simulator.signature_secret,
        VONAGE_API_SECRET=simulator.api_secret,
    )
    table["intake_secret"] = SECRET
    table["send"]["api_base"] = simulator.api_base
    table["send"]["form"]["api_key"] = simulator.api_key
    settings = read_table(GatewaySettings, table, source="docs")
    async with running_shop(CHANNEL, lambda _base: settings, aiohttp_server) as shop:
        simulator.callback_url = shop.url
        yield shop


async def test_a_text_arrives(simulator: GatewaySimulator, shop: Shop) -> None:
    """Signed, whatever is in it."""
    assert (await simulator.text(PERSON, "Hi & a=b + 你好")).acked
    (message,) = shop.of(Message)
    assert (message.text, message.sender.address.value) == ("Hi & a=b + 你好", PERSON)
    simulator.signature_secret = "guessed"
    simulator.RETRY_PAUSES = ()
    assert (await simulator.text(PERSON, "forged")).status == 403


async def test_a_long_text_comes_in_parts(simulator: GatewaySimulator, shop: Shop) -> None:
    """Each knows what it is a part of."""
    await simulator.text(PERSON, "字" * 150)
    parts = [one.part for one in shop.of(Message)]
    assert [(one.number, one.total) for one in parts] == [(1, 3), (2, 3), (3, 3)]
    assert len({one.key for one in parts}) == 1


async def test_a_reply_goes_out_and_is_reported(simulator: GatewaySimulator, shop: Shop) -> None:
    """With our id, in any order."""
    simulator.reports = "reversed"
    receipt = await shop.say(PERSON, "We are open until 9 & a half.")
    assert simulator.phone(PERSON)[-1].text == "We are open until 9 & a half."
    await eventually(lambda: len(shop.of(Receipt)) == 2)
    assert [one.status for one in shop.of(Receipt)] == ["delivered", "sent"]
    assert {one.external_id for one in shop.of(Receipt)} == {receipt.external_id}
    assert {one.message_id for one in shop.of(Receipt)} == {"msg_1"}


async def test_no_secret_stands_in_a_draft(simulator: GatewaySimulator, shop: Shop) -> None:
    """It is put in when the call is made."""
    (draft,) = shop.sender.compose(shop.reply(PERSON, "{api_secret} {to}"), ())
    assert draft.form["api_secret"] == "***"
    assert draft.form["text"] == "{api_secret} {to}"
    await shop.sender.send(draft, {})
    assert simulator.sent[0]["text"] == "{api_secret} {to}"


async def test_errors_have_their_class(simulator: GatewaySimulator, shop: Shop) -> None:
    """By the table of the settings; a lost answer is ambiguous."""
    simulator.fail("drop_answer")
    with pytest.raises(Ambiguous):
        await shop.say(PERSON, "hello")
    simulator.api_secret = "another"
    with pytest.raises(BadCredentials):
        await shop.say(PERSON, "hello")


async def test_stop_is_kept(simulator: GatewaySimulator, shop: Shop) -> None:
    """The usual words."""
    await simulator.text(PERSON, "STOP")
    assert [one.consent for one in shop.of(Notice)] == ["withdrawn"]


async def test_the_check_tells_what_to_paste(shop: Shop) -> None:
    """And how callbacks are proven."""
    found = await shop.checks()
    assert found["callbacks are signed"].ok
    assert "/in/sms_http/shop/<intake_secret>" in found["callback URL"].detail

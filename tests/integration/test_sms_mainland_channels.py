"""The channels for mainland China against their simulators, over real sockets; SDKs as peers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.sms_aliyun import CHANNEL as ALIYUN
from adapters.sms_aliyun import AliyunSettings
from adapters.sms_tencent import CHANNEL as TENCENT
from adapters.sms_tencent import TencentSettings
from hub.channel import Account
from hub.errors import Ambiguous, BadCredentials, NeedsTemplate, OptedOut, RateLimited
from hub.model import Address, Message, Notice, Receipt, Reply, Secret, Template
from hub.testing import Workbench
from outbound._sms_templates import SmsTemplate
from sandbox.sms import AliyunSimulator, SmsPlatform, TencentSimulator
from tests.corekit import eventually
from tests.smskit import SECRET, Shop, running_shop

PERSON = "+8613800138000"
KINDS = ["aliyun", "tencent"]


def aliyun(simulator: AliyunSimulator) -> AliyunSettings:
    return AliyunSettings(
        access_key_id=simulator.access_key_id,
        access_key_secret=Secret(simulator.access_key_secret),
        sign_name=simulator.sign_name,
        templates={
            "shipped": SmsTemplate(
                id="SMS_1",
                text="您的订单{order}已发货。",
                when="(?:订单)?(?P<order>[A-Z0-9]+)(?:号)?(?:订单)?已(?:经)?发货[。！]?",
                params={"order": "{order}"},
            ),
            "answer": SmsTemplate(
                id="SMS_2", text="客服回复：{content}", params={"content": "{text}"}
            ),
            "elsewhere": SmsTemplate(
                id="SMS_3",
                text="客服已回复您，编号{code}，请在公众号查看。",
                params={"code": "{code}"},
            ),
        },
        api_base=simulator.api_base,
        intake_secret=Secret(SECRET),
        lines=("01", "02"),
    )


def tencent(simulator: TencentSimulator) -> TencentSettings:
    return TencentSettings(
        secret_id=simulator.secret_id,
        secret_key=Secret(simulator.secret_key),
        sdk_app_id=simulator.sdk_app_id,
        sign_name=simulator.sign_name,
        templates={
            "shipped": SmsTemplate(id="1", text="您的订单{1}已发货。"),
            "answer": SmsTemplate(id="2", text="客服回复：{1}", params={"1": "{text}"}),
            "elsewhere": SmsTemplate(
                id="3", text="客服已回复您，编号{1}，请在公众号查看。", params={"1": "{code}"}
            ),
        },
        api_base=simulator.api_base,
        intake_secret=Secret(SECRET),
        lines=("01", "02"),
    )


@pytest.fixture
async def simulators() -> AsyncIterator[dict[str, Any]]:
    made: dict[str, Any] = {
        "aliyun": AliyunSimulator(time_scale=0.002),
        "tencent": TencentSimulator(time_scale=0.05),
    }
    for one in made.values():
        await one.start()
    yield made
    for one in made.values():
        await one.stop()


@pytest.fixture(params=KINDS)
async def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def simulator(kind: str, simulators: dict[str, Any]) -> Any:
    return simulators[kind]


@pytest.fixture
async def shop(kind: str, simulator: Any, aiohttp_server: Any) -> AsyncIterator[Shop]:
    settings = aliyun(simulator) if kind == "aliyun" else tencent(simulator)
    simulator.templates = {one.id: one.text for one in settings.templates.values()}
    if kind == "aliyun":  # its console writes them so; in settings that is the environment's
        approved = simulator.templates.items()
        simulator.templates = {own: text.replace("{", "${") for own, text in approved}
    channel = ALIYUN if kind == "aliyun" else TENCENT
    async with running_shop(channel, lambda _base: settings, aiohttp_server) as shop:
        simulator.callback_url = shop.url
        yield shop


async def test_a_reply_arrives_from_one_address(simulator: Any, shop: Shop) -> None:
    """The number in E.164, the time of Beijing in UTC, and the provider content with the answer."""
    pushed = await simulator.text(PERSON, "什么时候发货？")
    assert (pushed.acked, pushed.tries) == (True, 1)
    (message,) = shop.of(Message)
    assert (message.text, message.sender.address.value) == ("什么时候发货？", PERSON)
    assert abs((message.sent_at - datetime.now(UTC)).total_seconds()) < 5


async def test_what_cannot_be_stored_comes_again(simulator: Any, shop: Shop) -> None:
    """Any other answer is no receipt, and a repeat has the same key."""
    shop.status = 503
    pushing = asyncio.create_task(simulator.text(PERSON, "hello"))
    await eventually(lambda: shop.refused)
    shop.status = 200
    pushed = await pushing
    assert pushed.acked
    assert pushed.tries > 1
    assert len(shop.of(Message)) == 1


async def test_a_template_says_it_and_is_reported(simulator: Any, shop: Shop) -> None:
    """The customer reads the approved text; the report names our message."""
    receipt = await shop.say(PERSON, "您的订单A17已发货。")
    assert simulator.phone(PERSON)[-1].text == "【小店】您的订单A17已发货。"
    await eventually(lambda: shop.of(Receipt))
    (report,) = shop.of(Receipt)
    assert (report.status, report.message_id) == ("delivered", "msg_1")
    assert report.external_id == receipt.external_id
    assert report.address.value == PERSON


async def test_a_failed_text_says_why(simulator: Any, shop: Shop) -> None:
    """With the network's code."""
    simulator.reports = "failed"
    await shop.say(PERSON, "好的")
    await eventually(lambda: shop.of(Receipt))
    (report,) = shop.of(Receipt)
    assert (report.status, report.code, report.detail) == ("failed", "MK:0001", "空号")


async def test_a_short_answer_goes_out_whole_and_a_long_one_not_at_all(
    simulator: Any, shop: Shop
) -> None:
    """Never a piece of it; what was tried is told."""
    await shop.say(PERSON, "今天晚上九点前都在。")
    assert simulator.phone(PERSON)[-1].text == "【小店】客服回复：今天晚上九点前都在。"
    with pytest.raises(NeedsTemplate) as refused:
        await shop.say(PERSON, "您好" * 40)
    assert "80 characters, at most 35" in refused.value.detail
    with pytest.raises(NeedsTemplate) as refused:
        await shop.say(PERSON, "见 https://shop.example/7")
    assert "address" in refused.value.detail
    assert len(simulator.phone(PERSON)) == 1


async def test_a_template_can_be_asked_for(simulator: Any, shop: Shop) -> None:
    """By its name here or the platform's id; a wrong variable is refused before it is sent."""
    name = "order" if isinstance(simulator, AliyunSimulator) else "1"
    await shop.say(PERSON, None, template=Template("shipped", {name: "B2"}))
    assert simulator.phone(PERSON)[-1].text == "【小店】您的订单B2已发货。"
    with pytest.raises(NeedsTemplate):
        await shop.say(PERSON, None, template=Template("shipped", {"nonsense": "B2"}))


async def test_the_platform_checks_what_we_sign(kind: str, simulator: Any, shop: Shop) -> None:
    """A wrong secret is refused, and ends the account."""
    checks = await shop.checks()
    bad = [one.name for one in checks.values() if not one.ok]
    assert bad == []
    assert "only" in checks["callbacks are not signed"].detail
    if kind == "aliyun":
        simulator.access_key_secret = "another"
    else:
        simulator.secret_key = "another"
    with pytest.raises(BadCredentials):
        await shop.say(PERSON, "好的")


@pytest.mark.parametrize("fault", ["drop_answer", "bad_gateway"])
async def test_a_lost_answer_is_looked_up_by_our_id(simulator: Any, shop: Shop, fault: Any) -> None:
    """The platform knows our message's id; one that never arrived is not found."""
    simulator.reports = "never"
    simulator.fail(fault)
    (draft,) = shop.sender.compose(shop.reply(PERSON, "好的", "msg_lost"), ())
    with pytest.raises(Ambiguous):
        await shop.sender.send(draft, {})
    found = await shop.sender.reconcile(draft)
    assert found is not None
    assert found.status == "sent"
    (other,) = shop.sender.compose(shop.reply(PERSON, "好的", "msg_other"), ())
    assert await shop.sender.reconcile(other) is None


async def test_lines_are_conversations_of_their_own(simulator: Any, shop: Shop) -> None:
    """An answer to a line comes back to it, and goes out under its number; other codes are no lines."""
    extended = "dest_code" if isinstance(simulator, AliyunSimulator) else "extend"
    for code in ("01", "02", "77"):
        await simulator.text(PERSON, f"to {code}", **{extended: code})
    keys = [one.conversation.thread_key for one in shop.of(Message)]
    assert keys == [f"{PERSON}/01", f"{PERSON}/02", PERSON]
    reply = Reply(
        to=shop.of(Message)[0].sender.address,
        thread_key=keys[1],
        text="好的",
        message_id="msg_2",
        reply_context=shop.of(Message)[1].reply_context,
    )
    (draft,) = shop.sender.compose(reply, ())
    await shop.sender.send(draft, {})
    assert simulator.sent[-1]["extend"] == "02"


@pytest.mark.parametrize("word", ["退订", "TD", "ｔｄ", " T ", "R。"])
async def test_opt_out_words(simulator: Any, shop: Shop, word: str) -> None:
    """Alone in a message, in any case and width."""
    await simulator.text(PERSON, word)
    (notice,) = shop.of(Notice)
    assert (notice.kind, notice.consent) == ("opted_out", "withdrawn")
    await simulator.text(PERSON, f"我想知道怎么{word}")
    assert len(shop.of(Notice)) == 1


async def test_the_fallback_points_elsewhere() -> None:
    """With a code for the agent; the text itself stays where it is, and the draft says so."""
    made = replace(aliyun(AliyunSimulator()), fallback_template="elsewhere")
    sender = ALIYUN.sender(Account("shop", "sms_aliyun", made), Workbench().tools)  # type: ignore[misc]
    reply = Reply(to=Address("tel", "", PERSON), text="您好" * 40, message_id="msg_01abcdef")
    (draft,) = sender.compose(reply, ())
    assert draft.text == "【小店】客服已回复您，编号ABCDEF，请在公众号查看。"
    assert "did not go out" in (draft.note or "")
    assert draft.shown == {"encoding": "UCS-2", "segments": 1}


async def test_limits_of_the_platforms(simulators: dict[str, Any], aiohttp_server: Any) -> None:
    """A blacklist is an opt-out, "too fast" says when to try again."""
    platform = simulators["tencent"]
    settings = tencent(platform)
    platform.templates = {one.id: one.text for one in settings.templates.values()}
    async with running_shop(TENCENT, lambda _base: settings, aiohttp_server) as shop:
        platform.callback_url = shop.url
        await shop.say(PERSON, "好的")
        with pytest.raises(RateLimited) as limited:
            await shop.say(PERSON, "好的")
        assert limited.value.retry_after == 30.0
        platform.blacklist.add(PERSON)
        with pytest.raises(OptedOut):
            await shop.say(PERSON, "好")


async def test_strangers_are_kept_out(aiohttp_server: Any, simulators: dict[str, Any]) -> None:
    """By the list of networks, where there is one."""
    platform: SmsPlatform = simulators["aliyun"]
    settings = replace(aliyun(simulators["aliyun"]), sources=("203.0.113.0/24",))
    platform.RETRY_PAUSES = ()
    async with running_shop(ALIYUN, lambda _base: settings, aiohttp_server) as shop:
        platform.callback_url = shop.url
        pushed = await simulators["aliyun"].text(PERSON, "hello")
        assert (pushed.acked, pushed.status) == (False, 403)

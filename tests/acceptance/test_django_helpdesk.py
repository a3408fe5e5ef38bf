"""The real django-helpdesk with the whole hub: customers' messages become tickets, agents answer there."""

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub.store.models import Conversation, MessageRow
from sandbox.http import free_port
from sandbox.mail import MailPair
from sandbox.qq import QqSimulator
from sandbox.sms import TwilioSimulator
from sandbox.wechat import WeChatSimulator
from tests.corekit import eventually
from tests.mailkit import ANNA, PASSWORD, SUPPORT, simple_mail
from tests.support.desks import assign_all
from tests.support.djangodesk import AGENT_ID, HUB_ID, Agent, DjangoDesk, django_desk
from tests.support.whole_hub import WholeHub, whole_hub

ALICE, BOB = "oAlice_0123456789abcdefghijk", "oBob_0123456789abcdefghijklm"
PHONE = "+14155550100"
CALLBACK_SECRET = secrets.token_hex(16)
PATIENCE = 60.0
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)

CONFIG = """
[hub]
data_dir = "{folder}"
public_url = "http://127.0.0.1:{port}"
secret_key = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"

[accounts.shop]
channel = "wechat"
app_id = "{app_id}"
app_secret = "{app_secret}"
token = "{token}"
aes_key = "{aes_key}"
original_id = "{original_id}"
api_base = "{api_base}"

[accounts.support]
channel = "email"
address = "{address}"
imap_host = "127.0.0.1"
imap_port = {imap_port}
imap_security = "none"
smtp_host = "127.0.0.1"
smtp_port = {smtp_port}
smtp_security = "none"
password = "{password}"

[accounts.bot]
channel = "qq"
app_id = "{qq_app_id}"
secret = "{qq_secret}"
api_base = "{qq_api_base}"

[accounts.texts]
channel = "sms_twilio"
account_sid = "{sms_sid}"
auth_token = "{sms_token}"
from_number = "{sms_number}"
public_url = "http://127.0.0.1:{port}"
api_base = "{sms_api_base}"
intake_secret = "{callback_secret}"

[destinations.desk]
type = "django_helpdesk"
base_url = "{desk_url}"
username = "hub"
password = "hub-pass"
callback_secret = "{callback_secret}"
allow_private = true
poll_s = {poll_s}
time_zone = "Asia/Shanghai"
"""


@dataclass
class World:
    """Two channels, the hub, and the helpdesk with its agent."""

    hub: WholeHub
    wechat: WeChatSimulator
    mail: MailPair
    qq: QqSimulator
    sms: TwilioSimulator
    desk: DjangoDesk
    agent: Agent

    async def ticket(self, marker: str) -> dict[str, Any]:
        """The ticket whose first message has *marker*, once it is there."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            found[:] = [one for one in await self.agent.tickets() if marker in one["description"]]
            return bool(found)

        await eventually(there, PATIENCE)
        return found[-1]

    async def entry(self, ticket: dict[str, Any], text: str) -> dict[str, Any]:
        """The ticket's entry whose comment has *text*, once it is there."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            now = await self.agent.get(f"tickets/{ticket['id']}/")
            found[:] = [one for one in now["followup_set"] if text in (one["comment"] or "")]
            return bool(found)

        await eventually(there, PATIENCE)
        return found[-1]

    async def answers(self, openid: str, count: int) -> list[str]:
        """What the customer's phone shows of the business, once there is that much."""

        def there() -> bool:
            return len(self.shown(openid)) >= count

        await eventually(there, PATIENCE)
        return self.shown(openid)

    def shown(self, openid: str) -> list[str]:
        return [one.text for one in self.wechat.phone(openid) if one.author == "account"]


@pytest.fixture
async def world(
    tmp_path: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    async for made in make_world(tmp_path, database_url, redis_url, monkeypatch, poll_s=3600):
        yield made


async def make_world(
    folder: Path,
    database_url: str,
    redis_url: str,
    patch: pytest.MonkeyPatch,
    *,
    poll_s: float,
    callbacks: bool = True,
) -> AsyncIterator[World]:
    port, desk_port = free_port(), free_port()
    wechat = WeChatSimulator(callback_url=f"http://127.0.0.1:{port}/in/wechat/shop")
    await wechat.start()
    mail = MailPair({SUPPORT: PASSWORD, ANNA: "x"})
    await mail.start()
    qq = QqSimulator(callback_url=f"http://127.0.0.1:{port}/in/qq/bot")
    await qq.start()
    sms = TwilioSimulator(time_scale=0.05)
    await sms.start()
    sms.callback_url = f"http://127.0.0.1:{port}/in/sms_twilio/texts/{CALLBACK_SECRET}"
    hook = f"http://127.0.0.1:{port}/in/django_helpdesk/desk/{CALLBACK_SECRET}"
    lost = f"{hook[:-1]}x"  # a path that the hub does not know: as good as lost
    made = wechat.credentials
    config = CONFIG.format(
        folder=folder,
        port=port,
        app_id=made.app_id,
        app_secret=made.app_secret,
        token=made.token,
        aes_key=made.aes_key,
        original_id=made.original_id,
        api_base=wechat.api_base,
        address=SUPPORT,
        imap_port=mail.imap_port,
        smtp_port=mail.smtp_port,
        password=PASSWORD,
        qq_app_id=qq.credentials.app_id,
        qq_secret=qq.credentials.secret,
        qq_api_base=qq.api_base,
        sms_sid=sms.account_sid,
        sms_token=sms.auth_token,
        sms_number=sms.number,
        sms_api_base=sms.api_base,
        desk_url=f"http://127.0.0.1:{desk_port}",
        callback_secret=CALLBACK_SECRET,
        poll_s=poll_s,
    )
    hub = whole_hub(
        patch, folder, config, database_url=database_url, redis_url=redis_url, port=port
    )
    desk = django_desk(folder, desk_port, hook if callbacks else lost)
    try:
        async with hub as running, desk as (server, agent):
            yield World(running, wechat, mail, qq, sms, server, agent)
    finally:
        await wechat.stop()
        await mail.close()
        await qq.stop()
        await sms.stop()


@pytest.mark.slow
async def test_a_conversation_there_and_back(world: World) -> None:
    """Tickets from two channels; replies come back on the right one; notes never leave; closing
    resolves; who writes again reopens."""
    await world.wechat.push_text(ALICE, "我的订单还没有发货")
    await world.mail.send_raw(ANNA, SUPPORT, simple_mail(body="Where is my parcel?"))
    chat = await world.ticket("我的订单还没有发货")
    letter = await world.ticket("Where is my parcel?")
    assert chat["id"] != letter["id"]
    assert "reply until" in chat["description"]
    assert "shop" in chat["description"]
    assert chat["due_date"] is not None

    poison = "100%} off {{ ticket.submitter_email }} {# gone #} {% if %} {{ }}"
    await world.wechat.push_text(ALICE, poison)
    entry = await world.entry(chat, "100%}")
    assert entry["comment"] == poison
    assert entry["public"]

    await world.agent.update(chat, "内部：客户是 VIP", public=False)
    await world.agent.update(chat, "您好，今天发出。")
    await world.agent.update(letter, "It is on its way.")
    assert await world.answers(ALICE, 1) == ["您好，今天发出。"]
    answer = await world.mail.wait_for_letter(ANNA, timeout=PATIENCE)
    assert "It is on its way." in str(answer)

    await world.agent.update(chat, owner=AGENT_ID)
    await eventually(lambda: Conversation.filter(assignee=str(AGENT_ID)).exists(), PATIENCE)
    await assign_all(world.hub.core, None)

    async def is_nobodys() -> bool:
        now = await world.agent.get(f"tickets/{chat['id']}/")
        return bool(now["assigned_to"] is None)

    await eventually(is_nobodys, PATIENCE)

    await world.agent.update(chat, "问题已解决，关闭工单", status=4)
    assert await world.answers(ALICE, 2) == ["您好，今天发出。", "问题已解决，关闭工单"]
    resolved = Conversation.filter(channel="wechat", state="resolved")
    await eventually(resolved.exists, PATIENCE)

    await world.wechat.push_text(ALICE, "又有一个问题")
    await world.entry(chat, "又有一个问题")

    async def is_open() -> bool:
        return (await world.agent.get(f"tickets/{chat['id']}/"))["status"] in (1, 2)

    await eventually(is_open, PATIENCE)
    await eventually(Conversation.filter(channel="wechat", state="open").exists, PATIENCE)
    assert len(await world.agent.tickets()) == 2
    said = await MessageRow.filter(direction="outbound").order_by("created_at")
    assert [one.status for one in said] == ["sent"] * 3, "no note, no echo, nothing twice"


@pytest.mark.slow
async def test_every_answer_goes_back_where_the_question_came_from(world: World) -> None:
    """WeChat, QQ, SMS and mail become tickets; each agent's reply comes out on its own channel only."""
    connector = world.hub.core.desks.get(world.hub.core, "desk")
    assert connector is not None
    assert [one.ok async for one in connector.desk.check("https://hub.example.com/in/x")] == [
        True,
        True,
    ]
    await world.wechat.push_text(ALICE, "asked on WeChat")
    await world.qq.write("林", "asked on QQ")
    await world.sms.text(PHONE, "asked by SMS")
    await world.mail.send_raw(ANNA, SUPPORT, simple_mail(body="asked by mail"))
    for way in ("on WeChat", "on QQ", "by SMS", "by mail"):
        await world.agent.update(await world.ticket(f"asked {way}"), f"answered {way}")
    letter = await world.mail.wait_for_letter(ANNA, timeout=PATIENCE)
    assert "answered by mail" in str(letter)
    assert await world.answers(ALICE, 1) == ["answered on WeChat"]

    def answers(phone: Sequence[Any]) -> list[str]:
        return [one.text for one in phone if one.author == "account"]

    await eventually(lambda: answers(world.qq.phone("林")), PATIENCE)
    await eventually(lambda: answers(world.sms.phone(PHONE)), PATIENCE)
    assert answers(world.qq.phone("林")) == ["answered on QQ"]
    assert answers(world.sms.phone(PHONE)) == ["answered by SMS"]
    assert len(await world.agent.tickets()) == 4


@pytest.mark.slow
async def test_files_go_both_ways(world: World) -> None:
    """A picture in, with a name that the helpdesk takes; a picture out, with a Chinese name."""
    await world.wechat.push_text(BOB, "照片见附件")
    ticket = await world.ticket("照片见附件")
    await world.wechat.push_image(BOB)

    async def has_file() -> bool:
        now = await world.agent.get(f"tickets/{ticket['id']}/")
        return any(one["followupattachment_set"] for one in now["followup_set"])

    await eventually(has_file, PATIENCE)
    now = await world.agent.get(f"tickets/{ticket['id']}/")
    files = [file for one in now["followup_set"] for file in one["followupattachment_set"]]
    assert [one["mime_type"] for one in files] in (["image/png"], ["image/jpeg"])
    assert {one["user"] for one in now["followup_set"]} == {HUB_ID}

    await world.agent.update(ticket, "发票见附件", file=("发票.png", PNG))
    await eventually(lambda: len(world.wechat.phone(BOB)) >= 4, PATIENCE)
    kinds = [one.kind for one in world.wechat.phone(BOB) if one.author == "account"]
    assert sorted(kinds) == ["image", "text"]


@pytest.mark.slow
async def test_a_lost_callback_is_found_by_the_poller(
    tmp_path: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The helpdesk calls where nobody hears; the reply goes out all the same, once."""
    worlds = make_world(tmp_path, database_url, redis_url, monkeypatch, poll_s=1, callbacks=False)
    async for world in worlds:
        await world.wechat.push_text(ALICE, "在吗")
        ticket = await world.ticket("在吗")
        await world.agent.update(ticket, "在的")
        assert await world.answers(ALICE, 1) == ["在的"]
        await world.agent.update(ticket, "还有什么可以帮您？")
        assert await world.answers(ALICE, 2) == ["在的", "还有什么可以帮您？"]

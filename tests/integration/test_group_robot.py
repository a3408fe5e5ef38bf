"""A group's robot, or a mail address, as a helpdesk: messages there, answers by the page."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from html import unescape
from typing import Any

import pytest
from aiohttp import ClientSession

from adapters.helpdesks.group_robot import DESTINATION
from hub.model import Secret
from hub.tickets import handing
from outbound.helpdesks import group_robot
from outbound.helpdesks.group_robot import GroupRobotSettings, MailBox
from sandbox.desks import Fault
from sandbox.group_robot import GroupRobotSimulator
from sandbox.mail.smtp import SmtpServer
from tests.corekit import eventually
from tests.support.desks import DeskWorld, desk_world, plan_of

OK = b'{"errcode":0,"errmsg":"ok"}'
LINK = re.compile(r"https?://\S+")


@pytest.fixture
async def group() -> AsyncIterator[GroupRobotSimulator]:
    simulator = GroupRobotSimulator()
    await simulator.start()
    yield simulator
    await simulator.stop()


def settings_for(**changes: Any) -> GroupRobotSettings:
    return GroupRobotSettings(**{"link_secret": Secret("l" * 32), **changes})


@pytest.fixture
async def world(database_url: str, group: GroupRobotSimulator) -> AsyncIterator[DeskWorld]:
    settings = settings_for(robot_url=Secret(group.robot_url), time_zone="Asia/Shanghai")
    async with desk_world(database_url, [plan_of(DESTINATION, settings)], reachable=True) as made:
        yield made


def link_in(text: str) -> str:
    (found,) = LINK.findall(text)
    return str(found)


async def get(url: str, **more: Any) -> tuple[int, str, dict[str, str]]:
    async with ClientSession() as http, http.get(url, **more) as answer:
        return answer.status, await answer.text(), dict(answer.headers)


async def post(url: str, **more: Any) -> tuple[int, str]:
    async with ClientSession() as http, http.post(url, allow_redirects=False, **more) as answer:
        return answer.status, await answer.text()


def once_in(page: str) -> str:
    found = re.search(r'name="once" value="([^"]+)"', page)
    assert found is not None
    return unescape(found[1])


async def test_there_and_back(world: DeskWorld, group: GroupRobotSimulator) -> None:
    """The message with its deadline and a link; the page shows it; the answer is said once."""
    await world.say({"id": "1", "from": "ann", "name": "安娜", "text": "在吗"})
    await world.delivered()
    (told,) = group.wall
    assert told.startswith("【Test · 安娜】在吗\n— Test · shop\n回复 Reply: http://")
    link = link_in(told)
    status, page, headers = await get(link)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<h1>安娜</h1>" in page
    form = {"once": once_in(page), "text": "您好\r\n今天发出", "name": "小李"}
    for _ in range(2):  # a button is pressed twice
        assert (await post(link, data=form))[0] == 303
    await world.look_due()
    assert await world.said() == [("您好\n今天发出", "queued")]
    _, page, _ = await get(f"{link}&done=1")
    assert "您好\n今天发出" in page
    assert "小李" in page
    assert len(group.wall) == 1


async def test_a_customer_whom_no_message_names_has_the_contacts_name(
    world: DeskWorld, group: GroupRobotSimulator
) -> None:
    """As with WeChat, which tells the name apart from the messages."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    await world.core.db.fetch("UPDATE contacts SET name = '林小雨'")
    _, page, _ = await get(link_in(group.wall[0]))
    assert "<h1>林小雨</h1>" in page
    assert "<small>林小雨 · " in page


async def test_a_preview_changes_nothing(world: DeskWorld, group: GroupRobotSimulator) -> None:
    """Chats fetch links, some of them several times and with HEAD."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    link = link_in(group.wall[0])
    async with ClientSession() as http:
        for _ in range(3):
            async with http.get(f"{link}&text=hi&once=x&close=1") as answer:
                assert answer.status == 200
            async with http.head(link) as answer:
                assert answer.status == 200
    await world.look()
    assert (await world.said(), await world.states()) == ([], ["open"])


async def test_answer_and_close(world: DeskWorld, group: GroupRobotSimulator) -> None:
    """The conversation is resolved; a customer who writes again is announced again."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    link = link_in(group.wall[0])
    form = {"once": once_in((await get(link))[1]), "text": "再见", "close": "1"}
    assert (await post(link, data=form))[0] == 303
    await world.look_due()
    assert (await world.said(), await world.states()) == ([("再见", "queued")], ["resolved"])
    await world.say({"id": "2", "text": "又来了"})
    await world.delivered()
    assert await world.states() == ["open"]
    assert "又来了" in group.wall[1]


async def test_links_that_are_not_good(world: DeskWorld, group: GroupRobotSimulator) -> None:
    """Changed, of another ticket, over, without a form of ours, from another page: nothing is said."""
    await world.say({"id": "1", "from": "ann", "text": "在吗"})
    await world.say({"id": "2", "from": "bob", "text": "hallo"})
    await world.delivered()
    links = [link_in(told) for told in group.wall]
    tickets = [re.search(r"ticket=([^&]+)", link)[1] for link in links]  # type: ignore[index]
    swapped = links[0].replace(tickets[0], tickets[1])
    longer = re.sub(r"expires=\d+", "expires=99999999999", links[0])
    twice = f"{links[0]}&ticket={tickets[1]}"
    once = once_in((await get(links[0]))[1])
    other = once_in((await get(links[1]))[1])
    for bad in (swapped, longer, twice, links[0][:-1], links[0].partition("&")[0]):
        assert (await get(bad))[0] == 403, bad
        assert (await post(bad, data={"once": once, "text": "x"}))[0] == 403, bad
    assert (await post(links[0], data={"text": "x"}))[0] == 403
    assert (await post(links[0], data={"once": other, "text": "x"}))[0] == 403
    evil = {"Origin": "https://evil.example"}
    assert (await post(links[0], data={"once": once, "text": "x"}, headers=evil))[0] == 403
    assert (await post(links[0], json={"once": once, "text": "x"}))[0] == 400
    assert (await post(links[0], data={"once": once, "text": " \r\n "}))[0] == 200
    now = world.core.clock()
    world.core.clock = lambda: now + timedelta(hours=73)
    assert (await get(links[0]))[0] == 410
    assert (await post(links[0], data={"once": once, "text": "x"}))[0] == 410
    await world.look()
    assert await world.said() == []


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> <@all> [x](http://evil.example)"


async def test_text_stays_text(world: DeskWorld, group: GroupRobotSimulator) -> None:
    """In names, texts, drafts and files; and the page's policy would stop what got through."""
    await world.say({"id": "1", "name": EVIL, "text": EVIL})
    await world.delivered()
    assert "<@" not in group.wall[0]
    link = LINK.findall(group.wall[0])[-1]
    _, page, headers = await get(link)
    draft = {"once": once_in(page), "text": EVIL + "x" * 20_000}
    _, again = await post(link, data=draft)
    for shown in (page, again):
        assert set(re.findall(r"<(\w+)", shown)) <= {
            *("html", "head", "meta", "title", "style", "body", "main", "h1", "div", "ol", "li"),
            *("p", "small", "form", "input", "label", "textarea", "button"),
        }
        assert unescape(shown).count(EVIL) >= 2
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("same-origin", "no-store")
    assert headers["X-Frame-Options"] == "DENY"


async def test_files_are_fetched_by_the_page(world: DeskWorld, group: GroupRobotSimulator) -> None:
    """As downloads, by the link of their own conversation only."""
    await world.say({"id": "1", "from": "ann", "text": "bild"})
    await world.say({"id": "2", "from": "bob", "text": "hallo"})
    key = await world.attach(b"<svg onload=alert(1)>", '发票 ".svg')
    await world.delivered()
    first, second = (
        link_in(next(one for one in group.wall if said in one)) for said in ("bild", "hallo")
    )
    pages = {link: (await get(link))[1] for link in (first, second)}
    (owner,) = [link for link, page in pages.items() if key in page]
    async with ClientSession() as http, http.get(f"{owner}&file={key}") as answer:
        assert await answer.read() == b"<svg onload=alert(1)>"
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment; ")
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    (stranger,) = {first, second} - {owner}
    assert (await get(f"{stranger}&file={key}"))[0] == 404


async def test_what_cannot_be_said_is_told_in_the_group(
    world: DeskWorld, group: GroupRobotSimulator
) -> None:
    """With the reason and what was written."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    link = link_in(group.wall[0])
    await post(link, data={"once": once_in((await get(link))[1]), "text": "song"})
    await world.look_due()
    assert "Not sent to the customer: " in group.wall[1]
    await world.assign("小李")
    await world.delivered()
    assert "Assigned to 小李" in group.wall[2]


async def test_long_texts_and_many_messages(world: DeskWorld, group: GroupRobotSimulator) -> None:
    """A message is cut to what a robot takes; the twenty-first of a minute waits, and none is refused."""
    await world.say({"id": "0", "text": "长" * 3000})
    await world.delivered()
    assert len(group.wall[0].encode()) <= 2048
    assert "…（全文见链接）" in group.wall[0]
    assert "回复 Reply: http" in group.wall[0]
    await world.say(*({"id": str(n), "text": f"#{n}"} for n in range(1, 25)))
    async with world.delivering():
        await eventually(lambda: len(group.wall) == 20)

        async def is_waiting() -> bool:
            return bool(
                await world.core.db.fetch("SELECT 1 FROM destinations WHERE state = 'open'")
            )

        await eventually(is_waiting)
    assert (group.refused, len(group.wall)) == (0, 20)
    told = [re.search(r"#(\d+)", one) for one in group.wall[1:]]
    assert [int(one[1]) for one in told if one] == list(range(1, 20))


async def test_an_answer_that_never_came_is_not_repeated(
    world: DeskWorld, group: GroupRobotSimulator
) -> None:
    """A person decides; the group learns of it, and the page has the text."""
    await world.say({"id": "0", "text": "before"})
    await world.delivered()
    group.faults.append(Fault(lambda _: True, 502, kept=True))
    await world.say({"id": "1", "text": "vielleicht"})
    await world.delivered()
    assert sum("vielleicht" in told for told in group.wall) == 1
    assert "could not hand over" in group.wall[-1]
    assert "vielleicht" in (await get(link_in(group.wall[-1])))[1]


async def test_who_waited_for_others_was_not_sent(
    world: DeskWorld, group: GroupRobotSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow robot gets one after the other; what had no turn in time is sent later, not set aside."""
    monkeypatch.setattr(handing, "WITHIN_S", 4.0)
    monkeypatch.setattr(group_robot, "TURN_S", 0.2)
    group.faults.append(Fault(lambda asked: True, 200, kept=True, delay_s=1.5, body=OK, count=3))
    for who in ("ann", "bob", "cat", "dan"):
        await world.say({"id": who, "from": who, "text": f"from {who}"})
    await world.delivered(60.0)
    assert await world.core.db.fetch("SELECT error FROM deliveries WHERE state = 2") == []
    said = [one.partition("】")[2].partition("\n")[0] for one in group.wall]
    assert sorted(said) == ["from ann", "from bob", "from cat", "from dan"]


async def test_a_mail_address_is_a_helpdesk_too(database_url: str) -> None:
    """The same by mail."""
    taken: list[tuple[str, list[str], bytes]] = []

    async def deliver(sender: str, recipients: list[str], raw: bytes) -> None:
        taken.append((sender, recipients, raw))

    server = SmtpServer(knows=lambda _: True, check_password=lambda *_: True, deliver=deliver)
    await server.start("127.0.0.1", 0)
    mail = MailBox(
        to="team@shop.example",
        sender="hub@shop.example",
        smtp_host="127.0.0.1",
        smtp_port=server.port,
        smtp_security="none",
        password=Secret("anything"),
    )
    try:
        plan = plan_of(DESTINATION, settings_for(mail=mail))
        async with desk_world(database_url, [plan], reachable=True) as world:
            await world.say(
                {"id": "1", "from": "ann", "name": "安娜\r\nBcc: x@y.z", "text": "在吗"}
            )
            await world.delivered()
            ((sender, recipients, raw),) = taken
            made = message_from_bytes(raw, policy=default)
            assert (sender, recipients) == ("hub@shop.example", ["team@shop.example"])
            assert (made["Bcc"], made["Auto-Submitted"]) == (None, "auto-generated")
            assert made["Subject"].startswith("Test · 安娜")
            text = made.get_content().replace("\r\n", "\n")
            assert text.startswith("在吗\n")
            assert (await get(link_in(text)))[0] == 200
    finally:
        await server.stop()


def test_mistakes_are_told() -> None:
    """What is missing, what is both, what is none."""
    neither = GroupRobotSettings(link_secret=Secret("short"))
    assert [name for name, _ in neither.mistakes()] == ["link_secret", "robot_url"]
    wrong = settings_for(robot_url=Secret("https://qyapi.weixin.qq.com/send"), time_zone="Mars")
    assert [name for name, _ in wrong.mistakes()] == ["robot_url", "time_zone"]
    mail = MailBox(to="nobody", sender="a@b.example\r\nX: y", smtp_host="x")
    assert [name for name, _ in settings_for(mail=mail).mistakes()] == ["mail.to", "mail.sender"]

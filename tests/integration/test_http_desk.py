"""Helpdesks known by settings only: the examples of the page, against simulators, with the real core."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from hub.errors import ConfigError
from hub.settings import DestinationPlan, load
from sandbox.desks import Fault
from sandbox.qiyu import QiyuSimulator
from sandbox.zendesk import ZendeskSimulator
from tests.corekit import eventually
from tests.support.desks import DeskWorld, desk_world

PAGE = Path(__file__).parents[2] / "docs" / "helpdesks" / "http.md"


def example(name: str) -> str:
    """The configuration of the page."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- file: {name}.toml -->\n```toml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def read(folder: Path, text: str, environment: dict[str, str], **changed: str) -> DestinationPlan:
    """The destination in *text*, with other addresses in it."""
    for before, after in changed.items():
        assert before in text
        text = text.replace(before, after)
    text = text.replace('type = "http"', 'type = "http"\nallow_private = true\ntimeout_s = 5.0')
    file = folder / "hub.toml"
    file.write_text(text, encoding="utf-8")
    (plan,) = load(file, environment).destinations.values()
    return plan


@pytest.fixture
async def zendesk() -> AsyncIterator[ZendeskSimulator]:
    simulator = ZendeskSimulator()
    await simulator.start()
    yield simulator
    await simulator.stop()


def zendesk_plan(zendesk: ZendeskSimulator, folder: Path, text: str | None = None) -> Any:
    environment = {
        "ZENDESK_TOKEN": zendesk.token,
        "ZENDESK_SIGNING_SECRET": zendesk.signing_secret,
        "ZENDESK_CALLBACK_SECRET": "c" * 24,
    }
    changed = {"https://shop.zendesk.com": zendesk.base_url}
    return read(folder, text or example("zendesk"), environment, **changed)


@pytest.fixture
async def world(
    database_url: str, zendesk: ZendeskSimulator, tmp_path: Path
) -> AsyncIterator[DeskWorld]:
    async with desk_world(database_url, [zendesk_plan(zendesk, tmp_path)]) as made:
        zendesk.webhook_url = made.callback_url("zendesk")
        yield made


def said_there(zendesk: ZendeskSimulator, public: bool = True) -> list[str]:
    return [
        one["body"].partition("\n\n— ")[0]
        for listed in zendesk.comments.values()
        for one in listed
        if one["public"] is public
    ]


def ticket(zendesk: ZendeskSimulator) -> int:
    (found,) = zendesk.tickets
    return found


async def heard(simulator: Any, count: int) -> None:
    await eventually(lambda: len(simulator.answers) >= count)


async def test_zendesk_there_and_back(world: DeskWorld, zendesk: ZendeskSimulator) -> None:
    """Messages as the requester's comments; public ones come back once, a private one never."""
    await world.say({"id": "1", "from": "ann", "name": "安娜", "text": "在吗"})
    await world.say({"id": "2", "from": "ann", "text": '"}], "public": false, {text} {{x}}'})
    await world.delivered()
    assert said_there(zendesk) == ["在吗", '"}], "public": false, {text} {{x}}']
    own = zendesk.tickets[ticket(zendesk)]
    authors = {one["author_id"] for one in zendesk.comments[own["id"]]}
    assert authors == {own["requester_id"]}
    assert "Test · shop" in zendesk.comments[own["id"]][0]["body"].partition("\n\n— ")[2]
    zendesk.reply(own["id"], "VIP, careful", public=False)
    zendesk.reply(own["id"], "您好", files=[("a.txt", b"hello")])
    await heard(zendesk, 2)
    await world.look_due()
    await zendesk.repeat_callbacks()
    await world.look_due()
    await world.look()
    assert zendesk.answers == [200] * 4
    assert await world.said() == [("您好\n[file] a.txt", "queued")]


async def test_zendesk_states_and_assignees_both_ways(
    world: DeskWorld, zendesk: ZendeskSimulator
) -> None:
    """Solved there, resolved here; the customer writes again, it is open; assigned here, and there."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    own = ticket(zendesk)
    zendesk.change(own, status="solved", assignee_id=zendesk.agent_id)
    await heard(zendesk, 1)
    await world.look_due()
    assert (await world.states(), await world.assignees()) == (["resolved"], ["9002"])
    await world.say({"id": "2", "text": "又来了"})
    await world.delivered()
    assert zendesk.tickets[own]["status"] == "open"
    await world.assign("9003")
    await world.delivered()
    assert zendesk.tickets[own]["assignee_id"] == 9003
    await world.look()
    assert (await world.states(), await world.assignees()) == (["open"], ["9003"])


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_an_error_that_may_have_kept_it_is_looked_up(
    world: DeskWorld, zendesk: ZendeskSimulator, method: str, kept: bool
) -> None:
    """Either way it is there once; what a repeat could not double has its own key."""
    if method == "PUT":
        await world.say({"id": "0", "text": "before"})
        await world.delivered()
    await world.say({"id": "1", "text": "在吗"})
    zendesk.faults.append(Fault(lambda asked: asked.method == method, 502, kept=kept))
    await world.delivered()
    assert len(zendesk.tickets) == 1
    assert said_there(zendesk).count("在吗") == 1


async def test_lost_and_forged_callbacks(world: DeskWorld, zendesk: ZendeskSimulator) -> None:
    """The poller finds the one, over several pages; the other is refused."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    own = ticket(zendesk)
    zendesk.lose_callbacks = True
    for number in range(120):
        zendesk.reply(own, f"note {number}", public=False)
    zendesk.reply(own, "on its way")
    headers = {
        "X-Zendesk-Webhook-Signature": "AAAA",
        "X-Zendesk-Webhook-Signature-Timestamp": "2026-11-21T09:31:40Z",
    }
    async with (
        ClientSession() as http,
        http.post(
            world.callback_url("zendesk"), data=b'{"ticket":{"id":"1"}}', headers=headers
        ) as answer,
    ):
        assert answer.status == 403
    await world.look()
    assert [text for text, _ in await world.said()] == ["on its way"]


async def test_without_a_look_up_nothing_is_repeated_unasked(
    database_url: str, zendesk: ZendeskSimulator, tmp_path: Path
) -> None:
    """What may be there becomes a dead letter, the next message goes on, and a person may replay it."""
    text = re.sub(
        r"\[destinations.zendesk.find(_ticket)?\]\n.*?\n\n", "", example("zendesk"), flags=re.DOTALL
    )
    async with desk_world(database_url, [zendesk_plan(zendesk, tmp_path, text)]) as world:
        await world.say({"id": "0", "text": "before"})
        await world.delivered()
        zendesk.faults.append(Fault(lambda asked: asked.method == "PUT", 502, kept=False))
        await world.say({"id": "1", "text": "在吗"})
        await world.say({"id": "2", "text": "hallo"})
        await world.delivered(60)
        assert said_there(zendesk) == ["before", "hallo"]
        assert any("nobody can tell" in text for text in said_there(zendesk, public=False))
        await world.replay()
        await world.delivered()
        assert said_there(zendesk) == ["before", "hallo", "在吗"]


async def test_failures_are_told_in_the_ticket(world: DeskWorld, zendesk: ZendeskSimulator) -> None:
    """An answer that the channel cannot carry comes back as a note."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    zendesk.reply(ticket(zendesk), "song")
    await heard(zendesk, 1)
    await world.look_due()
    (note,) = said_there(zendesk, public=False)
    assert note.startswith("Not sent to the customer: ")


@pytest.fixture
async def qiyu() -> AsyncIterator[QiyuSimulator]:
    simulator = QiyuSimulator()
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def qiyu_world(
    database_url: str, qiyu: QiyuSimulator, tmp_path: Path
) -> AsyncIterator[DeskWorld]:
    environment = {
        "QIYU_APP_KEY": qiyu.app_key,
        "QIYU_APP_SECRET": qiyu.secret,
        "QIYU_CALLBACK_SECRET": "c" * 24,
    }
    plan = read(tmp_path, example("qiyu"), environment, **{"https://qiyukf.com": qiyu.base_url})
    async with desk_world(database_url, [plan]) as made:
        qiyu.webhook_url = made.callback_url("qiyu")
        yield made


async def test_qiyu_there_and_back(qiyu_world: DeskWorld, qiyu: QiyuSimulator) -> None:
    """Signed both ways; sessions end and begin; nothing is said twice."""
    await qiyu_world.say({"id": "1", "from": "ann", "name": "安娜", "text": "在吗&a=1"})
    await qiyu_world.say({"id": "2", "from": "ann", "text": "我的订单呢"})
    await qiyu_world.delivered()
    told = [one["content"].partition("\n\n— ")[0] for one in qiyu.messages]
    assert told == ["在吗&a=1", "我的订单呢"]
    (uid,) = qiyu.sessions
    assert uid.startswith("cnv_")
    qiyu.reply(uid, "您好")
    await heard(qiyu, 2)
    await qiyu.repeat_callbacks()
    await qiyu_world.look_due()
    assert await qiyu_world.said() == [("您好", "queued")]
    qiyu.close(uid)
    await heard(qiyu, 5)
    assert await qiyu_world.states() == ["resolved"]
    await qiyu_world.say({"id": "3", "from": "ann", "text": "又来了"})
    await qiyu_world.delivered()
    assert (await qiyu_world.states(), list(qiyu.sessions)) == (["open"], [uid])


async def test_qiyu_has_no_agent(qiyu_world: DeskWorld, qiyu: QiyuSimulator) -> None:
    """Nothing is lost while nobody is on line: HTTP 200 with an error inside is one."""
    qiyu.agents_online = False
    await qiyu_world.say({"id": "1", "text": "在吗"})
    async with qiyu_world.delivering():
        await eventually(lambda: len(qiyu.calls) >= 1)
        assert qiyu.messages == []
        qiyu.agents_online = True
        await eventually(lambda: len(qiyu.messages) == 1, 30)


def test_mistakes_are_told_all_at_once(tmp_path: Path) -> None:
    """Each by the place where it stands."""
    text = example("zendesk")
    for before, after in {
        '"{title}"': '"{Title}"',
        'path = "/api/v2/uploads.json"': 'path = "api/v2/uploads.json?x=1"',
        '{ "metadata.custom.hub" = "{post}" }': "{}",
        'reply_when = { public = ["true"] }': "reply_when = {}",
        'over = "{timestamp}{body}"': 'over = "{body}{salt}"',
        '"{assignee:number}"': '"{assignee:int}"',
    }.items():
        assert before in text
        text = text.replace(before, after)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "x" * 24))
    told = "\n".join(caught.value.mistakes)
    for place in (
        "open.json: found {Title}",
        "upload.path: found 'api",
        "find.match: is empty",
        "list.entry.reply_when: is empty",
        "callback.signature.over: found {salt}",
        "callback.signature.over: has no {timestamp}",
        "assign.json: found {assignee:int}",
    ):
        assert place in told, told


def test_an_unproven_callback_wants_a_way_to_read_back(tmp_path: Path) -> None:
    """Else anybody who knows the path could speak to customers."""
    text = example("qiyu")
    unsigned = text.partition("[destinations.qiyu.callback.signature]")[0]
    bodiless = text.replace(
        'over = "{secret}{body_md5}{timestamp}"', 'over = "{secret}{timestamp}"'
    )
    names = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "x" * 24)
    for one, why in ((unsigned, "is missing"), (bodiless, "is not over the body")):
        with pytest.raises(ConfigError) as caught:
            read(tmp_path, one, names)
        assert f"callback.signature: {why}" in str(caught.value)

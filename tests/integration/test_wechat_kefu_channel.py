"""Customer service through the real core: web server, database, listener, filing and replies."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from hub import listening
from sandbox.wechat_kefu import ENDED, HUBS, SERVED
from tests.corekit import eventually
from tests.kefukit import World, world_of


@pytest.fixture
async def world(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    running = ("ingest", "reply", "listen")
    async with world_of(tmp_path, database_url, monkeypatch, *running) as made:
        yield made


async def test_the_whole_way(world: World) -> None:
    """The URL is proven, a bell brings everything, and the reply is seen on the phone."""
    simulator, desk = world.simulator, world.desk
    assert (await simulator.verify_url()).ok
    lin = simulator.meet("林")
    simulator.write(desk, lin, content="在吗？")
    simulator.send_file(desk, lin, "image")
    simulator.tap(desk, lin, "101", "满意")
    assert (await simulator.ring(desk)).acked
    messages = await world.arrived(3)
    assert [one["kind"] for one in messages] == ["text", "image", "choice"]
    assert messages[0]["reply"]["remaining"] == 5
    (contact,) = await world.core.db.fetch("SELECT name FROM contacts")
    assert contact["name"] == "林"
    sent = await world.status(await world.reply("您好！"), "sent")
    assert world.shown(lin) == ["您好！"]
    assert simulator.desks.get(desk).session(lin).state == HUBS
    simulator.lose(desk, lin, sent["external_id"], 10)
    await simulator.ring(desk)
    rows = await world.rows("outbound")
    failed = await world.status(rows[0]["id"], "failed")
    assert failed["error"]["detail"] == "the customer refuses messages"


async def test_a_bell_that_is_lost_costs_a_second(world: World) -> None:
    """Everything is looked at now and then, without a bell; a new desk too, once it has rung."""
    world.simulator.write(world.desk, world.simulator.meet("lin"), content="hello?")
    assert [one["text"] for one in await world.arrived(1)] == ["hello?"]
    other = world.simulator.desks.open("售后")
    world.simulator.write(other, world.simulator.meet("mia"), content="hi")
    await world.simulator.ring(other)
    assert len(await world.arrived(2)) == 2


async def test_welcome_and_goodbye(world: World) -> None:
    """Said at once, by the codes of the events, and told as the hub's own words."""
    simulator, desk = world.simulator, world.desk
    lin = simulator.meet("lin")
    simulator.enter(desk, lin)
    await simulator.ring(desk)
    await eventually(lambda: world.shown(lin) == ["您好，欢迎！"])
    simulator.write(desk, lin, content="bye")
    simulator.end(desk, lin)
    await simulator.ring(desk)
    await eventually(lambda: world.shown(lin) == ["您好，欢迎！", "再见"])
    assert [one["on"] for one in simulator.log("send_on_event")] == ["welcome", "ended"]
    roles = [one["sender"]["role"] for one in await world.bodies("outbound")]
    assert roles == ["system", "system"]


async def test_a_person_who_answers_in_wecom(world: World) -> None:
    """Their words stand in the conversation as an agent's; while they serve, the hub is refused."""
    simulator, desk = world.simulator, world.desk
    lin = simulator.meet("lin")
    simulator.write(desk, lin, content="hello")
    simulator.answer_in_wecom(desk, lin, "lisi", "稍等")
    await simulator.ring(desk)
    messages = await world.arrived(2)
    assert [(one["sender"]["role"], one["text"]) for one in messages] == [
        ("contact", "hello"),
        ("agent", "稍等"),
    ]
    assert len({one["conversation"]["id"] for one in messages}) == 1
    failed = await world.status(await world.reply("too"), "failed")
    assert "lisi serves the customer in WeCom" in failed["error"]["detail"]
    assert simulator.desks.get(desk).session(lin).state == SERVED


async def test_a_lost_answer_is_asked_for_again_and_shown_once(world: World) -> None:
    """The platform knows the id of the message; the double is dropped, and the reply is sent."""
    simulator, desk = world.simulator, world.desk
    lin = simulator.meet("lin")
    simulator.write(desk, lin, content="hello")
    await simulator.ring(desk)
    await world.arrived(1)
    simulator.fail("drop_answer", path="/cgi-bin/kf/send_msg", count=2)
    await world.status(await world.reply("only once"), "sent")
    assert world.shown(lin) == ["only once"]
    assert [one["errcode"] for one in simulator.log("send")] == [0, 95033, 95033]


async def test_what_may_not_be_said_now_waits_for_the_customer(world: World) -> None:
    """The session has ended: the reply is held, and goes out when the customer writes again."""
    simulator, desk = world.simulator, world.desk
    lin = simulator.meet("lin")
    simulator.write(desk, lin, content="hello")
    await simulator.ring(desk)
    await world.arrived(1)
    simulator.desks.get(desk).session(lin).state = ENDED
    reply = await world.reply("late answer")
    held = await world.status(reply, "held")
    assert "session has ended" in held["error"]["detail"]
    simulator.write(desk, lin, content="still there?")
    await simulator.ring(desk)
    await world.status(reply, "sent")
    assert world.shown(lin) == ["late answer"]


async def test_a_token_that_ends_costs_nothing(world: World) -> None:
    """Neither a message nor a reply."""
    simulator, desk = world.simulator, world.desk
    lin = simulator.meet("lin")
    simulator.write(desk, lin, content="one")
    await simulator.ring(desk)
    await world.arrived(1)
    simulator.tokens.expire_all()
    simulator.write(desk, lin, content="two")
    await simulator.ring(desk)
    await world.arrived(2)
    simulator.tokens.revoke_all()
    await world.status(await world.reply("three"), "sent")
    assert world.shown(lin) == ["three"]


async def test_a_platform_that_refuses_us_stops_the_account_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is not trusted: pulling tells the owner, with the platform's text and what to do."""
    simulator, desk = world.simulator, world.desk
    monkeypatch.setattr(listening, "REFUSED_PAUSE_S", 0.1)
    simulator.fail("errcode", code=60020, path="/cgi-bin/kf/sync_msg", count=3)
    simulator.write(desk, simulator.meet("lin"), content="hello")
    await simulator.ring(desk)
    assert [one["text"] for one in await world.arrived(1)] == ["hello"]
    rows = await world.core.db.fetch("SELECT body FROM events WHERE type = 'account.state'")
    (told,) = [msgspec.json.decode(row["body"])["data"] for row in rows]
    assert told["state"] == "stopped"
    assert "企业可信IP" in told["reason"]
    assert await world.core.accounts.stopped() == {"shop"}


async def test_a_welcome_overtakes_answers_that_wait(world: World) -> None:
    """The platform is slow and forty answers wait; the code of an event is good for 20 seconds only."""
    simulator, desk = world.simulator, world.desk
    for number in range(40):
        simulator.write(desk, simulator.meet(str(number)), content="hello")
    await simulator.ring(desk)
    await world.arrived(40)
    simulator.fail("slow", path="/cgi-bin/kf/send_msg", count=100, seconds=1.5)
    answers = [await world.reply("answer", number) for number in range(40)]
    simulator.enter(desk, simulator.meet("lin"))
    await simulator.ring(desk)
    for answer in answers:
        await world.status(answer, "sent")
    said = [one["kind"] for one in simulator.log() if one["kind"].startswith("send")]

    assert said.count("send") == 40
    assert said.index("send_on_event") < 36

"""The demo with a real hub in it: every tool on the phones, and every switch of the WeChat family."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.helpdesk import PEOPLE
from sandbox.wechat.errors import PlatformError
from tests.corekit import eventually
from tests.demokit import LIN, Stage, running_stage

FAMILY = ("wechat", "wecom", "wechat_kefu")
SENDS = {
    "wechat": "/cgi-bin/message/custom/send",
    "wecom": "/cgi-bin/message/send",
    "wechat_kefu": "/cgi-bin/kf/send_msg",
}


@pytest.fixture
async def stage(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    async with running_stage(tmp_path, database_url, monkeypatch) as made:
        yield made


async def test_a_message_goes_there_and_back_on_every_channel(stage: Stage) -> None:
    """What `hub up` does before it prints the link."""
    seconds = await stage.demo.first_round_trips(timeout=60)

    assert list(seconds) == [part.name for part in stage.demo.parts]


async def test_every_tool_on_the_phones_arrives(stage: Stage) -> None:
    """Every type of message of every channel, each with what stands in the form at first."""
    kinds: dict[str, Counter[str]] = {}
    for app in FAMILY:
        spec = stage.app(app).spec
        await stage.do(app, "text", text="hello")
        for tool in spec.tools:
            if tool.when == "open" and tool.key != "unfollow":
                await stage.do(app, tool.key)
    counts = {"wechat": 9, "wecom": 6, "wechat_kefu": 16}
    for app, count in counts.items():
        kinds[app] = Counter(one["kind"] for one in await stage.has(app, count))

    common = {"text": 1, "image": 1, "voice": 1, "video": 1, "location": 1, "link": 1}
    assert kinds["wechat"] == common | {"video": 2, "card": 1, "unsupported": 1}
    assert kinds["wecom"] == common
    assert kinds["wechat_kefu"] == common | {"file": 1, "card": 9}


@pytest.mark.parametrize("app", FAMILY)
async def test_a_menu_is_tapped(stage: Stage, app: str) -> None:
    """The helpdesk offers choices; the tap comes back as the choice that was offered."""
    await stage.do(app, "text", text="hello")
    await stage.has(app, 1)
    choices = [{"id": "1", "label": "good"}, {"id": "2", "label": "bad"}]
    sent = await stage.answer(app, menu={"title": "How was it?", "choices": choices})
    await stage.status(sent, "sent")
    (chat,) = stage.app(app).state(LIN).values()
    (offered,) = [one for one in chat["bubbles"] if one["choices"]]
    choice, label = offered["choices"][1]
    await stage.do(app, "choice", choice=choice, label=label)
    tapped = (await stage.has(app, 2))[1]

    assert (tapped["kind"], choice, label) == ("choice", "2", "bad")


@pytest.mark.parametrize("app", FAMILY)
async def test_what_comes_twice_is_there_once(stage: Stage, app: str) -> None:
    """Three messages, all pushed twice or standing twice in the feed."""
    await stage.throw(app, "deliver_twice", count=3)
    for text in ("one", "two", "three"):
        await stage.do(app, "text", text=text)
    await stage.do(app, "text", text="end")

    assert [one["text"] for one in await stage.has(app, 4)] == ["one", "two", "three", "end"]
    assert stage.app(app).as_json()["pending"] == []


@pytest.mark.parametrize("app", FAMILY)
async def test_what_comes_out_of_order_is_not_lost(stage: Stage, app: str) -> None:
    """The second is there first; both are there."""
    await stage.throw(app, "out_of_order")
    await asyncio.gather(stage.do(app, "text", text="one"), stage.do(app, "text", text="two"))

    assert [one["text"] for one in await stage.has(app, 2)] == ["two", "one"]


@pytest.mark.parametrize("app", FAMILY)
@pytest.mark.parametrize(
    "switch, fields",
    [
        ("expire_token", {}),
        ("revoke_token", {}),
        ("fail_call", {"nth": 1}),
        ("fail_call", {"nth": 2}),
        ("slow", {"seconds": 0.3, "count": 2}),
    ],
)
async def test_a_fault_costs_no_answer(
    stage: Stage, app: str, switch: str, fields: dict[str, object]
) -> None:
    """Two answers are said once each, in order, whatever the platform does meanwhile."""
    await stage.do(app, "text", text="hello")
    await stage.has(app, 1)
    await stage.status(await stage.answer(app, text="first"), "sent")
    path = {"path": SENDS[app]} if switch == "fail_call" else {}
    await stage.throw(app, switch, **fields, **path)
    answers = [await stage.answer(app, text=text) for text in ("second", "third")]
    for answer in answers:
        await stage.status(answer, "sent")

    assert stage.shown(app) == ["first", "second", "third"]


@pytest.mark.parametrize(
    "app, status", [("wechat", "unknown"), ("wecom", "sent"), ("wechat_kefu", "sent")]
)
async def test_a_lost_answer_is_never_said_twice(stage: Stage, app: str, status: str) -> None:
    """Where the platform knows repeats the hub asks again; else it says that it cannot know."""
    await stage.do(app, "text", text="hello")
    await stage.has(app, 1)
    await stage.throw(app, "fail_call", how="drop_answer", path=SENDS[app])
    await stage.status(await stage.answer(app, text="once"), status)

    assert stage.shown(app) == ["once"]


@pytest.mark.parametrize("app", FAMILY)
async def test_a_closed_window_is_told(stage: Stage, app: str) -> None:
    """The answer is held until the customer writes again; a member out of range is gone."""
    await stage.do(app, "text", text="hello")
    await stage.has(app, 1)
    await stage.throw(app, "close_window")
    answer = await stage.answer(app, text="late")
    if app == "wecom":
        failed = await stage.status(answer, "failed")
        assert "81013" in str(failed)
    else:
        await stage.status(answer, "held")
        await stage.do(app, "text", text="still there?")
        await stage.status(answer, "sent")
        assert stage.shown(app) == ["late"]


async def test_a_switch_for_one_leaves_the_others(stage: Stage) -> None:
    """The window closes for the person whose phone it is."""
    app = stage.app("wechat")
    for person in PEOPLE:
        await stage.demo.phone.act(person.key, "wechat", "shop", "text", {"text": "hello"})
    await stage.throw("wechat", "close_window")
    customers = stage.demo.wechat.customers
    left = [
        customers.get(app.address(one)).remaining_replies(stage.demo.wechat.clock())
        for one in PEOPLE
    ]

    assert left == [0, 5, 5]


async def test_what_happens_in_wecom_itself(stage: Stage) -> None:
    """A colleague's words, the end of the session, and a message that did not arrive after all."""
    app = "wechat_kefu"
    await stage.do(app, "text", text="hello")
    await stage.has(app, 1)
    answer = await stage.answer(app, text="hi")
    await stage.status(answer, "sent")
    await stage.throw(app, "lose_last")
    failed = await stage.status(answer, "failed")
    await stage.throw(app, "servicer_answers", text="I am Li Si")
    await eventually(lambda: "I am Li Si" in [one["text"] for one in stage.arrived(app)], 30)
    await stage.throw(app, "end_session")
    await eventually(lambda: stage.shown(app)[-1] == "感谢您的来信，再见！", 30)

    assert "refuses" in str(failed["detail"])


async def test_a_file_of_the_phone_is_seen_on_it(stage: Stage) -> None:
    """And one that nobody sent is not."""
    for app in FAMILY:
        await stage.do(app, "image")
        (chat,) = stage.app(app).state(LIN).values()
        (bubble,) = [one for one in chat["bubbles"] if one["kind"] == "image"]
        assert stage.demo.phone.file(app, bubble["media_id"]).content.startswith(b"\x89PNG")
        with pytest.raises(PlatformError):
            stage.app(app).file("nothing")


async def test_one_person_at_two_accounts_is_one_contact(stage: Stage) -> None:
    """Lin follows the official account and writes to customer service: WeChat says that it is Lin."""
    await stage.do("wechat", "text", text="hello")
    await stage.do("wechat_kefu", "text", text="hello")
    await stage.do("wecom", "text", text="hello")

    async def contacts() -> dict[str, Any]:
        rows = await stage.core.db.fetch("SELECT channel, contact_id FROM conversations")
        return {row["channel"]: row["contact_id"] for row in rows}

    async def same() -> bool:
        found = await contacts()
        return len(found) == 3 and found["wechat"] == found["wechat_kefu"]

    await eventually(same, 30)
    found = await contacts()
    assert found["wecom"] != found["wechat"]

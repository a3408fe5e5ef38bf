"""The phones of the demo: what a tool asks for, which chat a bubble belongs to, and the switches."""

import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sandbox.faults import Fault, FaultBox
from sandbox.files import File
from sandbox.phones import (
    App,
    Chat,
    Field,
    NotPossible,
    Person,
    Screens,
    Switch,
    SwitchBoard,
    Tool,
    Words,
    samples,
    switch_routes,
)
from sandbox.phones.spec import MAX_FILE_BYTES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "write-a-simulator.md"
LIN, MIA = Person("lin", "林小雨", "lin@home.example"), Person("mia", "Mia", "mia@home.example")
COUNT = Field("count", Words("How often", "次数"), "1", "number")


@pytest.fixture
def example(capsys: pytest.CaptureFixture[str]) -> tuple[App, Screens]:
    """The app that the page explains."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    screens = Screens(lambda: 0.0)
    return names["SignalApp"](screens, (LIN, MIA)), screens


async def test_the_example_of_the_docs_works(
    example: tuple[App, Screens], capsys: pytest.CaptureFixture[str]
) -> None:
    """A text, and a photo that nobody picked."""
    app, _ = example
    await app.act(LIN, "group", "text", {"text": "hello"}, None)
    await app.act(MIA, "shop", "image", {}, None)

    size = len(samples.PICTURE.content)
    assert capsys.readouterr().out == f"林小雨 group hello\nevening.png {size}\n"


def test_a_group_is_seen_by_everybody_and_a_chat_by_one(example: tuple[App, Screens]) -> None:
    """By the key under which the simulator shows it."""
    app, screens = example
    heard: list[tuple[str, str]] = []
    app.listeners.append(lambda news: heard.append((news["person"], news["chat"])))
    screens.show("fans", "user", "text", "hello", sender="Mia")
    screens.show(app.address(MIA), "account", "text", "for you")

    assert heard == [("lin", "group"), ("mia", "group"), ("mia", "shop")]
    assert [one["text"] for one in app.state(LIN)["group"]["bubbles"]] == ["hello"]
    assert app.state(LIN)["shop"]["bubbles"] == []


@pytest.mark.parametrize(
    "chat, action, asked, file",
    [
        ("nowhere", "text", {"text": "x"}, None),
        ("shop", "dance", {}, None),
        ("shop", "text", {}, None),
        ("shop", "text", {"text": "  "}, None),
        ("shop", "text", {"text": ["x"]}, None),
        ("shop", "image", {}, File("x", "image/png", bytes(MAX_FILE_BYTES + 1))),
    ],
)
async def test_what_cannot_be_done_says_so(
    example: tuple[App, Screens], chat: str, action: str, asked: dict[str, Any], file: File | None
) -> None:
    """Instead of an error of Python."""
    with pytest.raises(NotPossible):
        await example[0].act(LIN, chat, action, asked, file)


@pytest.mark.parametrize("value", ["many", "nan", "inf", "", None, {}])
def test_a_number_is_a_number(value: Any) -> None:
    """And nothing else."""
    with pytest.raises(NotPossible):
        COUNT.read({"count": value})
    assert COUNT.read({}) == "1"


def test_a_tool_without_a_file_wants_none() -> None:
    """A sample is for tools that ask for files."""

    async def nothing(given: Any) -> None:
        raise AssertionError

    tool = Tool("image", Words("Photo", "照片"), "picture", nothing, accept="image/*")
    assert tool.as_json()["has_sample"] is False
    assert Chat("a", Words("A", "甲")).as_json()["is_group"] is False


async def test_switches_over_http(aiohttp_client: Any) -> None:
    """Listed, thrown, and refused with the reason."""
    thrown: list[dict[str, str]] = []
    switch = Switch(
        "twice", Words("Twice", "两次"), Words("…", "…"), lambda a: thrown.append(dict(a)), (COUNT,)
    )
    app = web.Application()
    app.add_routes(switch_routes(SwitchBoard((switch,), lambda: [f"twice × {len(thrown)}"])))
    client = await aiohttp_client(app)

    listed = await (await client.get("/_control/switches")).json()
    done = await client.post("/_control/switches/twice", json={"count": 2, "customer": "oAlice"})
    assert [one["key"] for one in listed["switches"]] == ["twice"]
    assert (await done.json())["pending"] == ["twice × 1"]
    assert thrown == [{"count": "2", "customer": "oAlice"}]
    for path, body in (("odd", {}), ("twice", {"count": "x"}), ("twice", [])):
        answer = await client.post(f"/_control/switches/{path}", json=body)
        assert answer.status == 400
    assert (await client.post("/_control/switches/twice", data=b"{}")).status == 415


def test_the_third_call_fails_and_no_other() -> None:
    """Counted among those that the path fits."""
    box = FaultBox()
    box.add(Fault("errcode", path="/send", code=45009, skip=2))

    found = [box.take(path) is not None for path in ("/send", "/get", "/send", "/send", "/send")]
    assert found == [False, False, False, True, False]

"""What an official account's plan makes of a reply that the platform does not allow now."""

from pathlib import Path

import pytest

from hub.errors import WindowClosed
from tests.wechatkit import OPENID, world_of

TEMPLATE = """
when_closed = "template"
closed_template = { id = "TEMPLATE", params = { keyword1 = "{text}" } }
"""


async def test_a_template_says_it_where_the_window_is_over(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform refuses (45015), the template goes out and is reported; a long reply waits."""
    async with world_of(tmp_path, database_url, monkeypatch, TEMPLATE) as world:
        simulator = world.simulator
        simulator.templates["TEMPLATE"] = "template"
        await simulator.push_text(OPENID, "hello")
        await world.arrived()
        simulator.customers.close_window(OPENID)
        await world.status(await world.reply("已发货"), "delivered")
        long = await world.reply("一" * 30)
        await world.status(long, "held")
        await simulator.push_text(OPENID, "什么？")
        await world.status(long, "sent")
        assert len(simulator.log("template")) == 2
        assert world.shown() == ["已发货", "一" * 19 + "…", "一" * 30]


async def test_with_the_plan_fail_the_agent_learns_it(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the platform's own code at first; then at once, since its word counts."""
    async with world_of(tmp_path, database_url, monkeypatch, 'when_closed = "fail"') as world:
        await world.simulator.push_text(OPENID, "hello")
        await world.arrived()
        world.simulator.customers.close_window(OPENID)
        failed = await world.status(await world.reply("late"), "failed")
        assert failed["error"]["external_code"] == "45015"
        with pytest.raises(WindowClosed):
            await world.reply("later")
        assert world.shown() == []

"""OneBot through the real core: web server, database, filing and replies, by every way."""

from pathlib import Path

import pytest

from tests.onebotkit import LIN, world_of

WAYS = ("reverse", "forward", "http", "both")


@pytest.mark.parametrize("way", WAYS)
async def test_the_whole_way(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A message comes in once and in order, the answer is seen on the phone and quotes it."""
    async with world_of(tmp_path, database_url, monkeypatch, way) as world:
        simulator = world.simulator
        first = await simulator.say(LIN, "在吗？")
        await simulator.say(LIN, "查订单 [A1] & more, please")
        messages = await world.arrived(2)
        assert [one["text"] for one in messages] == ["在吗？", "查订单 [A1] & more, please"]
        assert messages[0]["sender"]["name"] == "小不点"
        assert messages[0]["external_id"] == str(first.number)
        reply = await world.reply(f"private:{LIN}", text="[CQ:at,qq=all] 您好！")
        sent = await world.status(reply, "sent")
        assert world.shown() == ["[CQ:at,qq=all] 您好！"]
        assert sent["external_id"] == str(simulator.world.history[-1].number)
        assert simulator.log("quick_operation") == []

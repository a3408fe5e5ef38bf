"""The page about OneBot tells of every setting and notice."""

from pathlib import Path

import msgspec

from adapters.onebot import OneBotSettings
from normalizers.onebot import _BOT_ITSELF, _MADE_HERE, _NOTICES

PAGE = (Path(__file__).parents[2] / "docs" / "channels" / "onebot.md").read_text(encoding="utf-8")


def test_every_setting_is_on_the_page() -> None:
    """With its name, in the table."""
    for one in msgspec.structs.fields(OneBotSettings):
        assert f"| `{one.name}` |" in PAGE


def test_every_notice_is_on_the_page() -> None:
    """A helpdesk can look up what it may get."""
    kinds = [kind for kind, _ in (*_NOTICES.values(), *_MADE_HERE.values())]
    for kind in (*kinds, *_BOT_ITSELF.values()):
        assert f"`{kind}`" in PAGE

"""The page about the official account tells of every setting and notice."""

import re
from pathlib import Path

import msgspec
import pytest

from adapters.wechat import WeChatSettings
from normalizers.wechat import _NOTICES

PAGES = Path(__file__).parents[2] / "docs" / "channels"
PAGE = (PAGES / "wechat.md").read_text(encoding="utf-8")
HEADINGS = (
    "What you need",
    "Settings",
    "Receiving",
    "Sending",
    "Limits and quirks",
    "Error codes",
    "Sources",
)


@pytest.mark.parametrize("channel", ["wechat", "wecom", "wechat_kefu"])
def test_the_familys_pages_have_the_same_headings(channel: str) -> None:
    """Whoever knows one finds their way in the others."""
    page = (PAGES / f"{channel}.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^## (.+)$", page, re.MULTILINE)) == HEADINGS


def test_every_setting_is_on_the_page() -> None:
    """With its name, in the table."""
    for one in msgspec.structs.fields(WeChatSettings):
        assert f"| `{one.name}` |" in PAGE


def test_every_notice_is_on_the_page() -> None:
    """A helpdesk can look up what it may get."""
    for kind, _ in _NOTICES.values():
        assert f"`{kind}`" in PAGE

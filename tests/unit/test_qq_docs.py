"""The page about the QQ bot tells of every setting, event and notice."""

from pathlib import Path

import msgspec

from adapters.qq import QqSettings
from normalizers._qq_event import MESSAGES
from normalizers.qq import _AUDITS, _NOTICES

PAGE = (Path(__file__).parents[2] / "docs" / "channels" / "qq.md").read_text(encoding="utf-8")


def test_every_setting_is_on_the_page() -> None:
    """With its name, in the table."""
    named = {
        name.strip(" `")
        for line in PAGE.splitlines()
        if line.startswith("| `")
        for name in line.split("|")[1].split(",")
    }
    assert {one.name for one in msgspec.structs.fields(QqSettings)} <= named


def test_every_notice_and_event_is_on_the_page() -> None:
    """A helpdesk can look up what it may get."""
    for kind in (*_NOTICES.values(), *MESSAGES, *_AUDITS):
        assert kind in PAGE

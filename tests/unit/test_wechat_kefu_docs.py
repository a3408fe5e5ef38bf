"""The page about customer service tells of every setting and notice."""

from pathlib import Path

import msgspec

from adapters.wechat_kefu import KefuSettings
from normalizers.wechat_kefu import _NOTICES

PAGE = (Path(__file__).parents[2] / "docs" / "channels" / "wechat_kefu.md").read_text(
    encoding="utf-8"
)


def test_every_setting_is_on_the_page() -> None:
    """With its name, in the table."""
    for one in msgspec.structs.fields(KefuSettings):
        assert f"| `{one.name}` |" in PAGE


def test_every_notice_is_on_the_page() -> None:
    """A helpdesk can look up what it may get."""
    for kind, _ in _NOTICES.values():
        assert f"`{kind}`" in PAGE

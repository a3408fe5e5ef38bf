"""What callbacks and looks at tickets leave in the table of agents' messages."""

from datetime import UTC, datetime

from hub.destination import Heard
from hub.store import heard
from tests.corekit import opened, settings_for

AT = datetime(2026, 1, 2, tzinfo=UTC)


def said(text: str) -> Heard:
    return Heard(ref="7", order=7, kind="reply", text=text)


async def test_a_hint_about_the_wrong_ticket_sends_nothing_there(database_url: str) -> None:
    """An unsigned callback names any ticket; what was read back belongs where it was read."""
    async with opened(database_url, settings_for()) as core:
        await heard.enter(core.db, "desk", "A", [said("hint")], ["hint"], AT)
        await heard.enter(core.db, "desk", "B", [said("for B")], ["waiting"], AT)
        assert await heard.waiting(core.db, "desk", "A") == []
        (one,) = await heard.waiting(core.db, "desk", "B")
        assert one.heard.text == "for B"


async def test_what_looks_like_an_escape_is_kept(database_url: str) -> None:
    r"""An agent explains \u0000 to a customer: that is text, and stops no ticket."""
    async with opened(database_url, settings_for()) as core:
        text = 'type "\\u0000" or \x00'
        await heard.enter(core.db, "desk", "A", [said(text)], ["waiting"], AT)
        (one,) = await heard.waiting(core.db, "desk", "A")
        assert one.heard.text == 'type "\\u0000" or \ufffd'

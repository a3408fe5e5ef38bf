"""The conformance kit: what every channel has to get right, for whoever writes one.

::

    KIT = ChannelKit(channel=CHANNEL, settings=…, to=…, sample=…, proof=("query:signature",))

    @pytest.mark.parametrize("check", checks(), ids=lambda check: check.__name__)
    async def test_conformance(check):
        await check(KIT)

``docs/how-to/write-a-channel.md`` shows a whole channel with its kit.
"""

from collections.abc import Awaitable, Callable

from hub.testing.incoming import INCOMING
from hub.testing.kit import ChannelKit, Platform, post
from hub.testing.outgoing import OUTGOING, long_text
from hub.testing.record import RECORD
from hub.testing.tools import (
    HttpCall,
    MemoryMedia,
    MemoryTokens,
    RecordingLog,
    ScriptedHttp,
    TickingClock,
    Workbench,
    json_answer,
)

__all__ = [
    "ChannelKit",
    "HttpCall",
    "MemoryMedia",
    "MemoryTokens",
    "Platform",
    "RecordingLog",
    "ScriptedHttp",
    "TickingClock",
    "Workbench",
    "checks",
    "json_answer",
    "long_text",
    "post",
]

Check = Callable[[ChannelKit], Awaitable[None]]


def checks() -> tuple[Check, ...]:
    """Every check; one whose part a channel does not have passes at once."""
    return (*RECORD, *INCOMING, *OUTGOING)

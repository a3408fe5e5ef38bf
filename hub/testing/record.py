"""Checks of the record itself: is the channel what it says, and does it keep its secrets?"""

from typing import Any, get_args

import msgspec
from msgspec import Meta

from hub.model import Secret
from hub.testing.kit import ChannelKit
from hub.testing.tools import Workbench
from hub.testing.verdict import expect, hidden

__all__ = ["RECORD"]

_SECRET_WORDS = ("secret", "password", "token", "aes_key", "auth_token")


async def settings_are_documented(kit: ChannelKit) -> None:
    """Every setting says what it is, and what is secret has the type Secret."""
    for one in msgspec.structs.fields(type(kit.settings)):
        metas = [meta for meta in getattr(one.type, "__metadata__", ()) if isinstance(meta, Meta)]
        expect(any(meta.description for meta in metas), f"{one.name} has no description")
        if one.name.endswith(_SECRET_WORDS):
            expect(_is_secret(one.type), f"{one.name} is not of type Secret")


def _is_secret(kind: Any) -> bool:
    return kind is Secret or any(_is_secret(part) for part in get_args(kind))


async def secrets_stay_hidden(kit: ChannelKit) -> None:
    """No secret can be read in the repr of the account, of its parts or of the tools."""
    channel, tools = kit.channel, Workbench().tools
    makers = (channel.adapter, channel.sender, channel.listener, channel.media, channel.checker)
    parts = [make(kit.account, tools) for make in makers if make]
    hidden(kit, repr(kit.account), repr(kit.settings), *map(repr, parts))


async def record_is_complete(kit: ChannelKit) -> None:
    """The channel has a key, a title, a page to read, and at least one way in."""
    channel = kit.channel
    expect(channel.key.isidentifier() and channel.key.islower(), f"key {channel.key!r}")
    expect(bool(channel.title and channel.docs_url), "title or docs_url")
    expect(bool(channel.adapter or channel.listener or channel.socket), "there is no way in")
    mistakes = getattr(kit.settings, "mistakes", list)
    expect(not list(mistakes()), f"the kit's own settings have mistakes: {list(mistakes())}")


async def kit_is_whole(kit: ChannelKit) -> None:
    """The kit brings what the checks of each of the channel's roles need."""
    expect(not kit.gaps, f"the kit lacks {', '.join(kit.gaps)}")


RECORD = (kit_is_whole, settings_are_documented, secrets_stay_hidden, record_is_complete)

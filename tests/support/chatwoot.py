"""A simulated Chatwoot, and the hub with a connector to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from adapters.helpdesks.chatwoot import DESTINATION
from hub.model import Secret
from outbound.helpdesks.chatwoot import ChatwootSettings
from sandbox.chatwoot import ChatwootSimulator
from tests.corekit import eventually
from tests.support.desks import DeskWorld, desk_world, plan_of

__all__ = ["chatwoot_world", "heard", "posts_to", "running_chatwoot", "settings_for", "texts"]


def settings_for(simulator: ChatwootSimulator, **changes: Any) -> ChatwootSettings:
    values: dict[str, Any] = {
        "base_url": simulator.base_url,
        "account_id": simulator.account_id,
        "inbox_id": simulator.inbox_id,
        "api_token": Secret(simulator.token),
        "callback_secret": Secret("c" * 24),
        "webhook_secret": Secret(simulator.secret) if simulator.secret else None,
        "hub_user_id": simulator.hub_user["id"],
    }
    return ChatwootSettings(**values | changes)


@asynccontextmanager
async def running_chatwoot(*, signs: bool = True) -> AsyncIterator[ChatwootSimulator]:
    simulator = ChatwootSimulator(signs=signs)
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


@asynccontextmanager
async def chatwoot_world(
    database_url: str, simulator: ChatwootSimulator, **plan: Any
) -> AsyncIterator[DeskWorld]:
    """A hub with *simulator* as its helpdesk, which calls it back; *plan*: as in a destination's settings."""
    plans = [plan_of(DESTINATION, settings_for(simulator), **plan)]
    async with desk_world(database_url, plans) as made:
        simulator.webhook_url = made.callback_url()
        yield made


def posts_to(path: str, asked: web.Request) -> bool:
    return asked.method == "POST" and asked.path.endswith(path)


def texts(chatwoot: ChatwootSimulator, conversation: int = 1) -> list[str]:
    return [one["content"] for one in chatwoot.conversations[conversation].messages]


async def heard(chatwoot: ChatwootSimulator, count: int) -> None:
    """Until that many callbacks were answered."""
    await eventually(lambda: len(chatwoot.answers) >= count)

"""Long messages that come in parts, in any order: one message, nothing lost."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from hub import housekeeping
from hub.core import Core, now
from hub.store.inbox import Arrived, insert_events
from tests.corekit import event, file_all, opened, settings_for

LONG = ("Dear shop, ", "I would like to know ", "where my lamp is.")


@pytest.fixture
async def core(database_url: str) -> AsyncIterator[Core]:
    async with opened(database_url, settings_for()) as core:
        yield core


async def arrive(core: Core, *numbers: int, key: str = "17", ago: timedelta = timedelta(0)) -> None:
    """Parts of one long message arrive and are filed, each by itself."""
    for number in numbers:
        said = {
            "id": f"{key}-{number}",
            "from": "mia",
            "text": LONG[number - 1],
            "part": [f"mia:{key}", number, 3],
        }
        one = replace(event(said), received_at=now() - ago)
        await insert_events(core.db, [Arrived("shop", "test", one)])
        await file_all(core)


async def texts(core: Core) -> list[str]:
    rows: list[Any] = await core.db.fetch("SELECT body FROM messages ORDER BY seq")
    return [json.loads(row["body"])["text"] for row in rows]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
async def test_parts_become_one_message(core: Core, order: tuple[int, ...]) -> None:
    """When the last has come, and not before."""
    await arrive(core, *order[:2])
    assert await texts(core) == []
    await arrive(core, order[2])
    assert await texts(core) == ["".join(LONG)]


async def test_a_repeat_of_a_part_changes_nothing(core: Core) -> None:
    """Neither before nor after the whole is filed."""
    await arrive(core, 1, 1, 2, 3)
    await arrive(core, 2, 3)
    assert await texts(core) == ["".join(LONG)]


async def test_the_same_reference_is_used_again(core: Core) -> None:
    """Phones count to 255 and begin anew."""
    await arrive(core, 1, 2, 3)
    for number in (1, 2, 3):
        said = {
            "id": f"again-{number}",
            "from": "mia",
            "text": f"{number} ",
            "part": ["mia:17", number, 3],
        }
        one = replace(event(said), received_at=now())
        await insert_events(core.db, [Arrived("shop", "test", one)])
    await file_all(core)
    assert await texts(core) == ["".join(LONG), "1 2 3 "]


async def test_what_never_comes_is_told(core: Core) -> None:
    """After a quarter of an hour the rest is filed; what comes later still is, on its own."""
    await arrive(core, 1, 3)
    await housekeeping.expire(core)
    await file_all(core)
    assert await texts(core) == []
    await core.db.fetch("UPDATE message_parts SET at = at - interval '16 minutes'")
    await housekeeping.expire(core)
    await file_all(core)
    assert await texts(core) == [f"{LONG[0]}[part 2 of 3 is missing]{LONG[2]}"]
    await arrive(core, 2)
    await core.db.fetch("UPDATE message_parts SET at = at - interval '16 minutes'")
    await housekeeping.expire(core)
    await file_all(core)
    assert (await texts(core))[1] == f"[part 1 of 3 is missing]{LONG[1]}[part 3 of 3 is missing]"


async def test_others_do_not_wait(core: Core) -> None:
    """A whole message of the same person is filed while parts are missing."""
    await arrive(core, 1)
    one = replace(event({"id": "m1", "from": "mia", "text": "hello?"}), received_at=now())
    await insert_events(core.db, [Arrived("shop", "test", one)])
    await file_all(core)
    assert await texts(core) == ["hello?"]

"""One person with several addresses: the contacts become one, and what came from where is kept."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from hub import identity
from hub.core import Core
from hub.store.identity import mend
from tests.corekit import file_all, opened, settings_for, store, twin


@pytest.fixture
async def core(database_url: str) -> AsyncIterator[Core]:
    async with opened(database_url, settings_for(accounts=("shop", "care"))) as made:
        yield made


def words(who: str, text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"from": who, "text": text, "id": f"{who} {text}", **more}


def told(who: str, *same: str) -> dict[str, Any]:
    """What a platform says of *who* when it is asked."""
    return {"type": "notice", "from": who, "id": f"profile {who} {same}", "same": list(same)}


async def contacts(core: Core) -> dict[str, Any]:
    """The contact of each conversation, by the address of its customer."""
    rows = await core.db.fetch("SELECT address_value, contact_id FROM conversations")
    return {row["address_value"]: row["contact_id"] for row in rows}


async def merges(core: Core) -> Sequence[Any]:
    found: Sequence[Any] = await core.db.fetch("SELECT * FROM contact_merges ORDER BY at, id")
    return found


async def test_two_accounts_of_one_subject_have_one_contact(core: Core) -> None:
    """The older contact keeps its id; the merge tells what came from the younger one."""
    await store(core, words("openid", name="Lin"))
    await file_all(core)
    older = (await contacts(core))["openid"]
    await store(core, words("external"), account="care")
    await store(core, told("openid", "union-1"))
    await store(core, told("external", "union-1"), account="care")
    await file_all(core)
    await identity.follow_claims(core)
    (merge,) = await merges(core)

    assert await contacts(core) == {"openid": older, "external": older}
    assert (merge["kept_id"], merge["evidence"]) == (older, "union::union-1")
    assert (len(merge["addresses"]), len(merge["conversations"])) == (1, 1)
    assert await core.db.fetch("SELECT 1 FROM identity_claims") == []


async def test_another_conversation_of_a_known_person(core: Core) -> None:
    """Whoever is known by the further address first writes to another account later."""
    await store(core, told("openid", "union-1"))
    await file_all(core)
    await identity.follow_claims(core)
    await store(core, told("external", "union-1"), account="care")
    await store(core, words("external"), account="care")
    await file_all(core)
    await identity.follow_claims(core)

    assert len(set((await contacts(core)).values())) == 1


async def test_without_a_word_of_the_platform_nobody_is_merged(core: Core) -> None:
    """The same name and the same words are no proof."""
    await store(core, words("openid", name="Lin"), told("openid", "union-1"))
    await store(core, words("external", name="Lin"), told("external", "union-2"), account="care")
    await file_all(core)
    await identity.follow_claims(core)

    assert len(set((await contacts(core)).values())) == 2
    assert await merges(core) == []


async def test_a_chain_of_addresses_is_one_person(core: Core) -> None:
    """Who is brought together later brings along what was brought together before."""
    for number in range(6):
        await store(core, words(f"p{number}"), told(f"p{number}", f"u{number // 2}"))
    await file_all(core)
    await identity.follow_claims(core)
    assert len(set((await contacts(core)).values())) == 3
    await store(core, told("p1", "u1"), told("p3", "u2"))
    await file_all(core)
    await identity.follow_claims(core)

    assert len(set((await contacts(core)).values())) == 1
    known = await core.db.fetch("SELECT DISTINCT contact_id FROM addresses")
    assert len(known) == 1


async def test_processes_that_follow_at_once_agree(core: Core) -> None:
    """Forty people at two accounts, claims in opposite orders, four processes."""
    people = range(40)
    for number in people:
        await store(core, words(f"a{number}"), told(f"a{number}", f"u{number % 4}"))
        await store(
            core, words(f"b{number}"), told(f"b{number}", f"u{3 - number % 4}"), account="care"
        )
    await file_all(core)
    await asyncio.gather(*(identity.follow_claims(twin(core, f"p{n}")) for n in range(4)))
    found = await contacts(core)
    rows = await core.db.fetch("SELECT value, contact_id FROM addresses WHERE scheme = 'union'")
    unions = {row["value"]: row["contact_id"] for row in rows}

    assert len(set(found.values())) == 4
    assert all(found[f"a{number}"] == unions[f"u{number % 4}"] for number in people)
    assert all(found[f"b{number}"] == unions[f"u{3 - number % 4}"] for number in people)


async def test_a_conversation_made_during_a_merge_is_led_home(core: Core) -> None:
    """The contact that it was made with has gone meanwhile."""
    await store(core, words("openid"), told("openid", "union-1"))
    await store(core, words("external"), told("external", "union-1"), account="care")
    await file_all(core)
    await identity.follow_claims(core)
    (merge,) = await merges(core)
    await core.db.fetch("UPDATE conversations SET contact_id = $1", merge["gone_id"])

    assert await mend(core.db) == 2
    assert set((await contacts(core)).values()) == {merge["kept_id"]}


async def test_a_group_is_nobody_else(core: Core) -> None:
    """Whatever a platform says about one who speaks in it."""
    said = told("openid", "union-1") | {"thread": "group", "group": True}
    await store(core, said)
    await file_all(core)

    assert await core.db.fetch("SELECT 1 FROM identity_claims") == []

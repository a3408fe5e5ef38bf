"""Files that nobody needs any more go at night, and no others."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub import housekeeping
from hub.ids import new_id
from hub.media import Media
from hub.settings import HubSettings
from hub.store import Database
from hub.store import housekeeping as rows

DAYS = 30
OLD, YOUNG = "40 days", "20 days"


@pytest.fixture
async def core(database_url: str, tmp_path: Path) -> AsyncIterator[Any]:
    db = await Database.open(database_url)
    media = Media(db, tmp_path, 1 << 20)
    hub = HubSettings(retention_days=DAYS)
    yield SimpleNamespace(db=db, media=media, settings=SimpleNamespace(hub=hub))
    await media.close()
    await db.close()


async def had(core: Any, content: bytes, *ages: str) -> str:
    """A file that was stored long ago, with an attachment of each of *ages*; its hash."""
    kept = await core.media.blobs.keep(content)
    for age in ages:
        await core.db.fetch(
            "INSERT INTO attachments (id, kind, state, sha256, size_bytes, source, tries, created_at) "
            "VALUES ($1, 'file', 'stored', $2, $3, '{}', 1, now() - $4::text::interval)",
            new_id(),
            kept.sha256,
            kept.size_bytes,
            age,
        )
    os.utime(core.media.blobs._path(kept.sha256), (0, 0))
    return str(kept.sha256)


async def states(core: Any, sha256: str) -> list[str]:
    found = await core.db.fetch(
        "SELECT state FROM attachments WHERE sha256 = $1 ORDER BY created_at", sha256
    )
    return [row["state"] for row in found]


async def test_files_that_only_old_messages_have_go(
    core: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches; one that a younger message has too stays, for both."""
    monkeypatch.setattr(rows, "BATCH", 2)
    gone = [await had(core, b"old %d" % number, OLD, OLD) for number in range(5)]
    both = await had(core, b"both", OLD, YOUNG)
    young = await had(core, b"young", YOUNG)
    await housekeeping.retire(core)
    for sha256 in gone:
        assert await core.media.blobs.read(sha256) is None
        assert await states(core, sha256) == ["expired", "expired"]
    assert await core.media.blobs.read(both) == b"both"
    assert await core.media.blobs.read(young) == b"young"
    assert (await states(core, both), await states(core, young)) == (["stored"] * 2, ["stored"])


async def test_a_file_that_comes_again_as_it_is_retired_stays(
    core: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message is not in the database yet; without one, the file goes another night."""
    monkeypatch.setattr(rows, "BATCH", 1)
    again = await had(core, b"again", OLD)
    others = [await had(core, b"old %d" % number, OLD) for number in range(3)]
    await core.media.blobs.keep(b"again")
    await housekeeping.retire(core)
    assert await core.media.blobs.read(again) == b"again"
    assert await states(core, again) == ["stored"]
    assert [await states(core, other) for other in others] == [["expired"]] * 3
    os.utime(core.media.blobs._path(again), (0, 0))
    await housekeeping.retire(core)
    assert await core.media.blobs.read(again) is None
    assert await states(core, again) == ["expired"]


async def test_what_a_crash_leaves_is_found_the_next_night(core: Any) -> None:
    """The file is gone, and its attachment does not say so yet."""
    sha256 = await had(core, b"old", OLD)
    await core.media.blobs.remove(sha256)
    await housekeeping.retire(core)
    assert await states(core, sha256) == ["expired"]

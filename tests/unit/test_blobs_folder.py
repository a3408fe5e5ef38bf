"""Files in a folder, by their hash."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.blobs import FolderBlobs
from hub.errors import Unreachable
from hub.fetch import TooLarge

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100
MAX = 4096


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """What comes in *parts*."""
    for part in parts:
        yield part


def files(folder: Path) -> list[Path]:
    """Every file below *folder*."""
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_file_lies_once_under_its_hash(tmp_path: Path) -> None:
    """However often and in whatever pieces it comes."""
    blobs = FolderBlobs(tmp_path)
    first = await blobs.keep(PNG)
    again = await blobs.keep_stream(pieces(PNG[:3], PNG[3:]), MAX)
    digest = hashlib.sha256(PNG).hexdigest()
    assert first == again
    assert (first.sha256, first.size_bytes) == (digest, len(PNG))
    assert [path.relative_to(tmp_path) for path in files(tmp_path)] == [
        Path(digest[:2]) / digest[2:]
    ]
    assert await blobs.read(digest) == PNG


async def test_nothing_remains_of_a_file_that_did_not_end(tmp_path: Path) -> None:
    """Too large, broken off or cancelled: no file, no draft."""
    blobs = FolderBlobs(tmp_path)
    with pytest.raises(TooLarge):
        await blobs.keep_stream(pieces(b"x" * 60, b"x" * 60), 100)

    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise Unreachable("reset")

    with pytest.raises(Unreachable):
        await blobs.keep_stream(broken(), 100)

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await blobs.keep_stream(stuck(), 100)
    assert files(tmp_path) == []


async def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Only a sha256 names a file."""
    blobs = FolderBlobs(tmp_path / "media")
    (tmp_path / "secret").write_text("x")
    for name in ("../secret", "..", "", "ab/../../secret", "A" * 64, "g" * 64):
        assert await blobs.read(name) is None


async def test_old_drafts_are_swept(tmp_path: Path) -> None:
    """What a crash left behind goes after a day; what is being written stays."""
    drafts = tmp_path / "drafts"
    drafts.mkdir()
    for name, age in (("old", 90_000), ("new", 60)):
        (drafts / name).write_text("x")
        os.utime(drafts / name, (time.time() - age,) * 2)
    assert await FolderBlobs(tmp_path).sweep() == 1
    assert [path.name for path in files(tmp_path)] == ["new"]


async def test_a_file_stored_while_it_is_removed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came between the look at its age and the removal."""
    blobs = FolderBlobs(tmp_path)
    path = tmp_path / (await blobs.keep(PNG)).sha256[:2]
    (path,) = path.iterdir()
    os.utime(path, (0, 0))
    replace = Path.replace

    def stored_just_before(one: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        os.utime(path)
        return replace(one, target)

    monkeypatch.setattr(Path, "replace", stored_just_before)
    assert not await blobs.remove(path.parent.name + path.name, unless_kept_s=60.0)
    assert path.read_bytes() == PNG
    assert files(tmp_path) == [path]

"""Sealed values, and the key that seals them."""

import multiprocessing
from pathlib import Path

import pytest

from hub.errors import ConfigError
from hub.model import Secret
from hub.seal import CannotOpen, Sealer, secret_key

KEY = Secret("a" * 32)
OTHER = Secret("b" * 32)


def test_what_is_sealed_opens_again() -> None:
    """Nothing is lost, and no two sealed values are alike."""
    sealer = Sealer(KEY)
    sealed = [sealer.seal("token", "令牌".encode(), "wechat/shop") for _ in range(100)]
    assert {sealer.open("token", one, "wechat/shop") for one in sealed} == {"令牌".encode()}
    assert len(set(sealed)) == 100
    assert "令牌".encode() not in sealed[0]


@pytest.mark.parametrize("purpose, aad", [("link", "wechat/shop"), ("token", "wechat/other")])
def test_a_moved_value_does_not_open(purpose: str, aad: str) -> None:
    """A value opens for its purpose and place only."""
    sealed = Sealer(KEY).seal("token", b"x", "wechat/shop")
    with pytest.raises(CannotOpen, match="another place, or is damaged"):
        Sealer(KEY).open(purpose, sealed, aad)


def test_every_flipped_bit_is_noticed() -> None:
    """Header, nonce, text and tag are all covered."""
    sealer = Sealer(KEY)
    sealed = sealer.seal("token", b"x", "a")
    for index in range(len(sealed)):
        with pytest.raises(CannotOpen):
            sealer.open(
                "token", sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :], "a"
            )
        with pytest.raises(CannotOpen):
            sealer.open("token", sealed[:index], "a")


def test_another_key_is_named_as_the_reason() -> None:
    """Whoever lost the key reads so."""
    sealed = Sealer(OTHER).seal("token", b"x", "a")
    with pytest.raises(CannotOpen, match="another HUB_SECRET_KEY"):
        Sealer(KEY).open("token", sealed, "a")
    assert Sealer(KEY, previous=[OTHER]).open("token", sealed, "a") == b"x"


def test_nothing_shows_the_secret() -> None:
    """Neither a repr nor an error tells it."""
    assert "aaaa" not in repr(Sealer(KEY))
    assert Sealer(KEY).derive("links") != Sealer(OTHER).derive("links")


def test_a_configured_key_is_taken(tmp_path: Path) -> None:
    """No file is made when there is one."""
    assert secret_key(KEY, tmp_path, production=True) == KEY
    assert list(tmp_path.iterdir()) == []


def test_a_weak_or_missing_key_is_one_clear_line(tmp_path: Path) -> None:
    """Production never starts with a key that nobody chose."""
    with pytest.raises(ConfigError, match="has 5 characters, wants 32"):
        secret_key(Secret("short"), tmp_path, production=False)
    with pytest.raises(ConfigError, match="is missing; make one with"):
        secret_key(None, tmp_path, production=True)


def _key_of(folder: Path) -> str:
    return secret_key(None, folder, production=False).reveal()


def test_the_demos_key_is_made_once_and_kept(tmp_path: Path) -> None:
    """Four processes that start at once agree; the file is its owner's alone."""
    folder = tmp_path / "new"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(_key_of, [folder] * 8)
    assert len(set(keys)) == 1
    assert [(one.name, one.stat().st_mode & 0o777) for one in folder.iterdir()] == [
        ("secret_key", 0o600)
    ]
    assert _key_of(folder) == keys[0]


def test_a_damaged_key_file_is_not_used(tmp_path: Path) -> None:
    """An empty file would otherwise be a key that everybody knows."""
    (tmp_path / "secret_key").write_text("\n")
    with pytest.raises(ConfigError, match="is damaged"):
        secret_key(None, tmp_path, production=False)

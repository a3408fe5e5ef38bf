"""A process of the hub: settings that change while it runs, and how it starts and ends."""

import asyncio
from pathlib import Path

import pytest

from hub import running
from hub.errors import ConfigError
from hub.running import opened
from hub.store.models import ConfigVersion, Process
from tests.corekit import eventually

DESK = """
[destinations.desk]
url = "https://desk.example.com/hub"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""


@pytest.fixture
def config(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with one destination; data lies in the test's own folder."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr(running, "WATCH_S", 0.05)
    monkeypatch.setattr(running, "SETTLE_S", 0.1)
    path = tmp_path / "hub.toml"
    path.write_text(f'[hub]\ndata_dir = "{tmp_path}"\n{DESK}')
    return path


async def test_a_changed_file_is_in_force_without_a_restart(config: Path) -> None:
    """Queues, routes and destinations follow the file."""
    async with opened(config, "web") as core:
        assert list(core.settings.destinations) == ["desk"]
        config.write_text(config.read_text() + "\n[queues.sales]\n" + DESK.replace("desk]", "two]"))
        await eventually(lambda: set(core.settings.destinations) == {"desk", "two"})
        assert "sales" in core.settings.queues


async def test_a_file_that_is_still_written_is_not_read(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty one is valid: for a moment every account would be removed, and its replies fail for good."""
    monkeypatch.setattr(running, "SETTLE_S", 2.0)
    async with opened(config, "web") as core:
        whole = config.read_text() + "\n[queues.sales]\n"
        for length in (0, 20, len(whole)):
            config.write_text(whole[:length])
            await asyncio.sleep(0.3)
        await eventually(lambda: "sales" in core.settings.queues)
        in_force = [one.sha256 for one in await ConfigVersion.all().order_by("id")]
        assert len(in_force) == 2, "the first and the last"


async def test_a_broken_file_leaves_the_old_settings_in_force(config: Path) -> None:
    """And says so, where `hub status` reads it."""
    async with opened(config, "web") as core:
        good = core.settings
        config.write_text("[destinations.desk]\nurl = 3\n")
        await eventually(lambda: _refused())
        assert core.settings is good
        refused = (await ConfigVersion.all().order_by("-id"))[0]
        assert any("destinations.desk.url: found 3" in line for line in refused.mistakes)


async def _refused() -> bool:
    return any(one.mistakes for one in await ConfigVersion.all())


async def test_a_process_is_seen_while_it_runs(config: Path) -> None:
    """It beats while it runs, and is forgotten when it ends in good order."""
    async with opened(config, "web") as core:
        await eventually(lambda: Process.filter(name=core.name).exists())
    async with opened(config, "status"):
        await asyncio.sleep(0.1)
        assert not await Process.filter(name=core.name).exists()


async def test_without_a_database_the_settings_say_so(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clear line, no traceback."""
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(ConfigError, match="DATABASE_URL: is missing"):
        async with opened(config, "web"):
            pass


async def test_production_needs_its_own_secret_key(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key made up on the spot would be lost with the container."""
    monkeypatch.setenv("HUB_ENV", "production")
    monkeypatch.delenv("HUB_SECRET_KEY", raising=False)
    with pytest.raises(ConfigError, match="HUB_SECRET_KEY"):
        async with opened(config, "web"):
            pass

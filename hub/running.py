"""One process of the hub: opened, kept up to date with the settings, and closed in good order."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import structlog

from hub import __version__, telemetry
from hub.accounts import Accounts
from hub.bells import Bells
from hub.core import Core, now, process_name
from hub.errors import ConfigError
from hub.logs import configure
from hub.media import Media
from hub.model import Secret
from hub.seal import Sealer, secret_key
from hub.settings import Settings, load
from hub.store import AWAY, Database
from hub.store.breakers import ensure_destinations
from hub.store.inbox import ensure_partitions
from hub.store.running import beat, forget, note_config
from hub.supervise import keep_running, restarts
from hub.tokens import Tokens

__all__ = ["config_path", "opened", "until_stopped"]

T = TypeVar("T")

BEAT_S = 5.0
WATCH_S = 2.0
SETTLE_S = 0.5
"""A file that has changed is read when it has stood still for so long: half of one may be valid too."""
DATABASE_WAIT_S = 60.0

_log = structlog.get_logger("hub.running")


def config_path(given: str | None) -> Path | None:
    """The configuration file: *given*, else ``HUB_CONFIG``, else ``config/hub.toml`` if there is one."""
    if chosen := given or os.environ.get("HUB_CONFIG"):
        return Path(chosen)
    usual = Path("config/hub.toml")
    return usual if usual.exists() else None


@asynccontextmanager
async def opened(path: Path | None, kind: str) -> AsyncIterator[Core]:
    """What the services of a process share, until the block ends.

    Raises:
        ConfigError: the settings have mistakes.
        UnsafeDatabase: the database may lose confirmed writes.
    """
    seen = _stamp(path)
    settings = load(path)
    configure(settings.hub.log_level)
    for warning in settings.warnings:
        _log.warning("setting", detail=warning)
    if settings.hub.database_url is None:
        raise ConfigError(["environment: DATABASE_URL: is missing; wants a PostgreSQL URL"])
    sealer = Sealer(_secret_key(settings))
    name = process_name(kind)
    _start_telemetry(settings, name)
    url = settings.hub.database_url.reveal()
    db = await _patiently(lambda: Database.open(url))
    bells = Bells(settings.hub.redis_url.reveal() if settings.hub.redis_url else None)
    media = Media(
        db,
        Path(settings.hub.data_dir),
        settings.hub.max_attachment_bytes,
        settings=settings.attachments,
    )
    accounts = Accounts(db, bells, sealer, Tokens(db, sealer, name), media, now)
    core = Core(settings, db, bells, accounts, media, name)
    tasks: list[asyncio.Task[None]] = []
    try:
        await bells.start()
        await _patiently(lambda: _take_into_force(core, settings))
        tasks = [
            asyncio.create_task(keep_running("heartbeat", lambda: _beat_forever(core, kind))),
            asyncio.create_task(keep_running("settings", lambda: _watch(core, path, seen))),
        ]
        yield core
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(*AWAY):
            await forget(db, core.name)
        await core.accounts.close()
        await core.desks.close()
        await media.close()
        await bells.stop()
        await db.close()
        await telemetry.stop()


def _start_telemetry(settings: Settings, name: str) -> None:
    try:
        telemetry.start(settings.telemetry, name)
    except ModuleNotFoundError as error:
        what = f"telemetry.endpoint: {error.name} is not installed; wants the extra telemetry"
        raise ConfigError([what]) from error


def _secret_key(settings: Settings) -> Secret:
    """What seals tokens and signs links; made under the data folder unless this is production."""
    production = os.environ.get("HUB_ENV") == "production"
    return secret_key(settings.hub.secret_key, Path(settings.hub.data_dir), production=production)


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """The result of *work*; a database that is only starting, or restarting, gets a minute."""
    deadline = asyncio.get_running_loop().time() + DATABASE_WAIT_S
    while True:
        try:
            return await work()
        except AWAY as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            _log.info("waiting_for_database", error=str(error))
            await asyncio.sleep(0.5)


async def _take_into_force(core: Core, settings: Settings) -> None:
    core.settings = settings
    await core.accounts.apply(settings)
    await ensure_partitions(core.db, settings.accounts)
    await ensure_destinations(core.db, list(settings.destinations))
    await note_config(core.db, settings.sha256, [], core.clock())


async def _beat_forever(core: Core, kind: str) -> None:
    while True:
        facts: dict[str, object] = {"pid": os.getpid(), "restarts": dict(restarts)}
        await beat(core.db, core.name, kind, __version__, core.settings.sha256, facts)
        await asyncio.sleep(BEAT_S)


def _stamp(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size
    return None


async def _watch(core: Core, path: Path | None, seen: tuple[int, int] | None) -> None:
    """Take a changed file into force; one with mistakes leaves the old settings in force.

    *seen* is how the file looked when it was last read.
    """
    if path is None:
        await asyncio.Event().wait()
        return
    while True:
        await core.bells.wait("settings", WATCH_S)
        stamp = _stamp(path)
        if stamp == seen or stamp is None:
            continue
        await asyncio.sleep(SETTLE_S)
        if _stamp(path) != stamp:
            continue
        seen = stamp
        try:
            settings = load(path)
        except ConfigError as error:
            _log.error("settings_refused", mistakes=error.mistakes)
            await note_config(core.db, "", error.mistakes, now())
            continue
        await _take_into_force(core, settings)
        core.bells.ring("settings")
        _log.info("settings_in_force", sha256=settings.sha256[:12])


async def until_stopped(ready: Callable[[], None] | None = None) -> None:
    """Wait for SIGTERM or SIGINT; a second one ends the process at once."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopped.is_set():
            os._exit(130)
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if ready is not None:
        ready()
    await stopped.wait()

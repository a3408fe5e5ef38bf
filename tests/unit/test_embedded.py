"""Servers from wheels: they start anywhere, die with their owner, and keep what they confirmed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis

from hub import embedded
from hub.embedded import AlreadyRunning, Server, ServerError, _identity
from hub.embedded._places import digest_of
from hub.embedded._process import ProcessId, start_time, wait_until

ROOT = Path(__file__).parents[2]
Start = Callable[..., Server]

HOLD_SERVERS = """
import sys, time
from pathlib import Path
from hub import embedded
servers = embedded.start_servers(Path(sys.argv[1]), unsafe=True)
print(servers.postgres.pid, servers.redis.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def var() -> Iterator[Path]:
    """A short path with a space and a character of two bytes and more."""
    with tempfile.TemporaryDirectory(prefix="hub-") as path:
        place = Path(path) / "von 中"
        yield place
        # Where the sockets of a folder go that cannot have any.
        short = Path(tempfile.gettempdir(), f"hub-{os.geteuid()}-{digest_of(place)}")
        if short.exists():
            short.rmdir()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a server that is stopped after the test."""
    started = []

    def call(function: Start, *arguments: Any, **options: Any) -> Server:
        server = function(*arguments, **options)
        started.append(server)
        return server

    yield call
    for server in started:
        server.stop()


async def query(server: Server, statement: str) -> Any:
    connection = await asyncpg.connect(server.url.replace("asyncpg:", "postgresql:", 1))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def client(server: Server) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


# ----------------------------------------------------------------------------- starting


async def test_postgres_is_durable_unless_told_otherwise(var: Path, start: Start) -> None:
    """What it has confirmed survives the server's sudden death."""
    server = start(embedded.start_postgres, var)
    assert await query(server, "SELECT current_setting('fsync')") == "on"
    await query(server, "CREATE TABLE kept AS SELECT 1 AS number")
    server.kill()
    server.start()
    assert await query(server, "SELECT number FROM kept") == 1


async def test_postgres_orders_text_the_same_everywhere(var: Path, start: Start) -> None:
    """Whatever locales the machine has."""
    server = start(embedded.start_postgres, var, unsafe=True)
    facts = "SELECT pg_encoding_to_char(encoding) || ' ' || datlocale FROM pg_database WHERE datname = 'hub'"
    assert await query(server, facts) == "UTF8 C.UTF-8"
    assert await query(server, "SHOW timezone") == "UTC"


def test_redis_keeps_its_data_over_a_restart(var: Path, start: Start) -> None:
    """Its log is written every second, and when it stops."""
    server = start(embedded.start_redis, var)
    with client(server) as connection:
        connection.set("kept", "yes")
    server.restart()
    with client(server) as connection:
        assert connection.get("kept") == "yes"


def test_redis_starts_empty_when_its_data_cannot_be_read(var: Path, start: Start) -> None:
    """It holds doorbells only; the unreadable data are kept beside it."""
    start(embedded.start_redis, var).stop()
    for file in (var / "redis" / "appendonlydir").glob("*.manifest"):
        file.write_text("rubbish\n")
    server = start(embedded.start_redis, var)
    with client(server) as connection:
        assert connection.dbsize() == 0
    assert len(list(var.glob("redis.unreadable-*"))) == 1


def test_the_server_of_the_wheel_or_of_the_machine(tmp_path: Path, monkeypatch: Any) -> None:
    """A `redis-server` on PATH is taken when it is preferred, and else when there is no wheel."""
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho Redis server v=7.0.15 sha=0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert embedded.find_redis().version.startswith("Valkey ")
    assert embedded.find_redis(prefer_path=True).version == "Redis 7.0.15"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert embedded.find_redis().path == program


async def test_a_path_too_long_for_a_socket(var: Path, start: Start) -> None:
    """The sockets go where temporary files go; the data stay."""
    deep = var / ("x" * 60) / ("y" * 60)
    server = start(embedded.start_postgres, deep, unsafe=True)
    assert await query(server, "SELECT 1") == 1
    assert (deep / "postgres" / "PG_VERSION").exists()
    server.stop()
    short = Path(server.url.partition("host=")[2].partition("&")[0])
    assert not short.is_relative_to(var)
    short.rmdir()


def test_ctrl_c_is_for_the_hub(var: Path, start: Start) -> None:
    """Servers have a session of their own, so that the hub can drain before they stop."""
    server = start(embedded.start_redis, var, unsafe=True)
    assert os.getsid(server.pid) == server.pid


def test_what_went_wrong_is_told(var: Path, start: Start) -> None:
    """The message ends with what the server itself said."""
    start(embedded.start_postgres, var, unsafe=True).stop()
    (var / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(ServerError, match="no_such_setting"):
        embedded.start_postgres(var, unsafe=True)


def test_data_of_another_major_version(var: Path, start: Start) -> None:
    """They are not touched, and the message says what to do."""
    start(embedded.start_postgres, var, unsafe=True).stop()
    (var / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(ServerError, match=r"made by PostgreSQL 12.*pg_dumpall"):
        embedded.start_postgres(var, unsafe=True)


# ------------------------------------------------------------------- crashes and company


def hold(var: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Another process that has both servers running; and their process ids."""
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD_SERVERS, str(var)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    return owner, [int(word) for word in owner.stdout.readline().split()]


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)
async def test_servers_die_with_their_owner(var: Path, start: Start) -> None:
    """A hub killed with SIGKILL leaves no server behind, and the next one starts at once."""
    owner, pids = hold(var)
    owner.kill()
    owner.communicate()
    server = start(embedded.start_postgres, var, unsafe=True)
    assert await query(server, "SELECT 1") == 1
    assert wait_until(lambda: not any(start_time(pid) for pid in pids), 10)


def test_everything_killed_at_once(var: Path, start: Start) -> None:
    """Stale sockets, pid files and shared memory do not hinder the next start."""
    owner, pids = hold(var)
    for pid in (owner.pid, *pids):
        os.kill(pid, signal.SIGKILL)
    owner.communicate()
    start(embedded.start_postgres, var, unsafe=True)
    start(embedded.start_redis, var, unsafe=True)


def test_a_second_hub_with_the_same_folder(var: Path, start: Start) -> None:
    """It is told who has it, and the first goes on."""
    owner, pids = hold(var)
    urls = embedded.running_servers(var)
    assert urls is not None
    with pytest.raises(AlreadyRunning, match=f"process {owner.pid}: a hub is up"):
        embedded.start_servers(var, unsafe=True)
    assert all(start_time(pid) for pid in pids)
    with redis.Redis.from_url(urls[1]) as connection:
        assert connection.ping()
    owner.terminate()
    owner.communicate()
    assert wait_until(lambda: embedded.running_servers(var) is None, 10)


def test_what_a_dead_hub_left_running_is_stopped(var: Path, start: Start) -> None:
    """As happens where the system does not tell a child of its parent's death."""
    left = start(embedded.start_redis, var, unsafe=True)
    state = var / "run" / "redis.json"
    noted = json.loads(state.read_text())
    noted["owner"] = [2**22 - 1, "long ago"]
    state.write_text(json.dumps(noted))
    server = start(embedded.start_redis, var, unsafe=True)
    assert wait_until(lambda: not left.is_running, 10)
    assert server.is_running


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with the hub."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_stranger_with_the_number_of_a_server(
    var: Path, start: Start, stranger: subprocess.Popen[bytes]
) -> None:
    """After a reboot an old process id may be anybody's: it is left alone, and does not hinder."""
    start(embedded.start_postgres, var, unsafe=True).stop()
    pid_file = f"{stranger.pid}\n{var / 'postgres'}\n0\n5432\n\n\n\nready\n"
    (var / "postgres" / "postmaster.pid").write_text(pid_file)
    state = {
        "server": [stranger.pid, "long ago"],
        "owner": [1, "long ago"],
        "url": "",
        "version": "",
    }
    (var / "run" / "postgres.json").write_text(json.dumps(state))
    server = start(embedded.start_postgres, var, unsafe=True)
    assert server.is_running
    assert stranger.poll() is None


def test_an_interrupted_first_start(var: Path, start: Start) -> None:
    """Half a data folder is made anew, never used."""
    (var / "postgres.unfinished" / "base").mkdir(parents=True)
    (var / "postgres.unfinished" / "PG_VERSION").write_text("18\n")
    assert start(embedded.start_postgres, var, unsafe=True).is_running
    assert not (var / "postgres.unfinished").exists()


def test_stopping_twice(var: Path, start: Start) -> None:
    """The second time nothing happens."""
    server = start(embedded.start_redis, var, unsafe=True)
    server.stop()
    server.stop()
    with pytest.raises(ServerError, match="is not running"):
        _ = server.pid


# ------------------------------------------------------------------------------- as whom

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="this is about root")


@as_root
async def test_root_keeps_its_files(var: Path, start: Start) -> None:
    """Root runs PostgreSQL under another number, and no file changes hands."""
    if not _identity._works(_identity.enter_namespace):
        pytest.skip("user namespaces are refused here")
    start(embedded.start_postgres, var, unsafe=True)
    assert {path.stat().st_uid for path in var.rglob("*")} == {0}


@as_root
async def test_root_without_user_namespaces(var: Path, start: Start, monkeypatch: Any) -> None:
    """As in a container: PostgreSQL runs as nobody, and the data are found again afterwards."""

    def refuse() -> None:
        raise OSError("refused")

    start(embedded.start_postgres, var, unsafe=True).stop()
    var.parent.chmod(0o711)
    monkeypatch.setattr(_identity, "enter_namespace", refuse)
    server = start(embedded.start_postgres, var, unsafe=True)
    await query(server, "CREATE TABLE kept AS SELECT 1")
    assert Path(f"/proc/{server.pid}").stat().st_uid == _identity.NOBODY
    assert (var / "postgres").stat().st_uid == _identity.NOBODY
    server.stop()
    monkeypatch.undo()
    assert (
        await query(start(embedded.start_postgres, var, unsafe=True), "SELECT count(*) FROM kept")
        == 1
    )


@as_root
async def test_nobody_may_not_enter_the_folder(var: Path, start: Start, monkeypatch: Any) -> None:
    """The data then go where everybody may pass, and lie there at the next start too."""

    def refuse() -> None:
        raise OSError("refused")

    monkeypatch.setattr(_identity, "enter_namespace", refuse)
    server = start(embedded.start_postgres, var, unsafe=True)
    elsewhere = Path(await query(server, "SHOW data_directory"))
    await query(server, "CREATE TABLE kept AS SELECT 1")
    server.stop()
    try:
        assert not elsewhere.is_relative_to(var)
        monkeypatch.undo()
        again = start(embedded.start_postgres, var, unsafe=True)
        assert await query(again, "SELECT count(*) FROM kept") == 1
        again.stop()
    finally:
        shutil.rmtree(elsewhere.parent)


# ------------------------------------------------------------------------------ processes


def test_a_process_is_known_by_number_and_start() -> None:
    """A later process with the same number is another one."""
    me = ProcessId.of(os.getpid())
    assert me is not None
    assert me.is_alive
    assert not ProcessId(me.pid, "another time").is_alive


def test_a_zombie_is_dead() -> None:
    """It has ended, although nobody has asked how."""
    child = subprocess.Popen(["true"])
    assert wait_until(lambda: ProcessId.of(child.pid) is None, 10)
    child.wait()

"""One server process: started, found again, stopped, killed."""

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hub.embedded._identity import Identity, die_with

START_SECONDS = 60.0
"""Recovery after a crash may take a while on a slow disk."""
STOP_SECONDS = 15.0
POLL_SECONDS = 0.005


class ServerError(Exception):
    """An embedded server could not be started."""


class AlreadyRunning(ServerError):
    """Another hub runs with this folder."""


@dataclass(frozen=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has the number *pid* now; a zombie counts as none."""
        started = start_time(pid)
        return None if started is None else cls(pid, started)

    @property
    def is_alive(self) -> bool:
        return start_time(self.pid) == self.started


def start_time(pid: int) -> str | None:
    """When process *pid* started, in whatever form the system has, or None."""
    if not os.path.exists("/proc/self/stat"):
        return _start_time_by_ps(pid)
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets, which may hold anything.
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else fields[19]


def _start_time_by_ps(pid: int) -> str | None:
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def exists(pid: int) -> bool:
    """Whether *pid* is taken, be it by a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def command_of(pid: int) -> str:
    """The command line of *pid*, or nothing when it cannot be read."""
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        answer = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return answer.stdout


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end(process: ProcessId, *stop_signals: signal.Signals) -> None:
    """Stop *process*, gently first: each of *stop_signals* gets its time, then it is killed."""
    for number in (*stop_signals, signal.SIGKILL):
        try:
            if process.is_alive:
                os.kill(process.pid, number)
        except ProcessLookupError:
            return
        if wait_until(lambda: not process.is_alive, STOP_SECONDS):
            return


@dataclass(frozen=True)
class Recipe:
    """What it takes to run one kind of server."""

    name: str
    version: str
    url: str
    command: tuple[str, ...]
    state: Path
    """Where the process and its owner are noted; its lock stands beside it."""
    log: Path
    identity: Identity
    stop_signals: tuple[signal.Signals, ...]
    is_ready: Callable[[int], bool]
    """Told the process id; asked again and again."""
    before_start: Callable[[], None]
    """Clears what a crash left behind; no server of ours runs at that time."""
    is_passing: Callable[[str], bool]
    """Whether what the log says now will be otherwise in a moment."""


class Server:
    """A server that runs as a child of this process."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self._recipe.url

    @property
    def version(self) -> str:
        """Product and version, as in "PostgreSQL 18.6"."""
        return self._recipe.version

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            ServerError: it does not run.
        """
        if self._process is None:
            raise ServerError(f"{self.version} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start, and return when connections are accepted.

        Raises:
            AlreadyRunning: another living process has this server.
            ServerError: it does not start; the message ends with its log.
        """
        with self._only_one():
            self._stop_leftover()
            self._recipe.before_start()
            deadline = time.monotonic() + START_SECONDS
            while not self._try_start(deadline):
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop in an orderly way; the next start needs no recovery. Harmless when it has stopped."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (*self._recipe.stop_signals, signal.SIGKILL):
            process.send_signal(number)
            try:
                process.wait(STOP_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        self._recipe.state.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL); `start` brings it back."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        """Two processes that start at the same moment do so one after the other.

        The lock is held no longer than that: children of a dead hub may live on with its open files,
        and the next start must not wait for them.
        """
        with self._recipe.state.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _stop_leftover(self) -> None:
        noted = read_state(self._recipe.state)
        if noted is None or not noted.server.is_alive:
            return
        if noted.owner.is_alive:
            raise AlreadyRunning(
                f"{self.version} already runs for process {noted.owner.pid}: a hub is up with this folder"
                f" ({self._recipe.state.parent.parent}). Stop it first, or use another folder."
            )
        end(noted.server, *self._recipe.stop_signals)

    def _try_start(self, deadline: float) -> bool:
        """Start once. False: what hinders it will pass."""
        recipe = self._recipe
        with recipe.log.open("ab") as log:
            before = log.tell()
            process = subprocess.Popen(
                recipe.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=plain_environment(),
                cwd="/",
                # Ctrl-C is for the hub, which drains before it stops its servers.
                start_new_session=True,
                preexec_fn=die_with(os.getpid(), recipe.stop_signals[0], recipe.identity),
            )
        try:
            write_state(recipe, process.pid)
            while process.poll() is None and time.monotonic() < deadline:
                if recipe.is_ready(process.pid):
                    self._process = process
                    return True
                time.sleep(POLL_SECONDS)
        finally:
            if self._process is not process:
                process.kill()
                process.wait()
        said = recipe.log.read_bytes()[before:].decode(errors="replace")
        if recipe.is_passing(said) and time.monotonic() < deadline:
            return False
        raise ServerError(
            f"{recipe.version} did not start; its log ({recipe.log}) ends with:\n{said[-2000:]}"
        )


@dataclass(frozen=True)
class State:
    """What is noted about a running server."""

    server: ProcessId
    owner: ProcessId
    url: str
    version: str


def write_state(recipe: Recipe, pid: int) -> None:
    noted = {
        "server": _as_json(pid),
        "owner": _as_json(os.getpid()),
        "url": recipe.url,
        "version": recipe.version,
    }
    scratch = recipe.state.with_suffix(".new")
    scratch.write_text(json.dumps(noted))
    scratch.replace(recipe.state)


def _as_json(pid: int) -> list[Any]:
    return [pid, start_time(pid)]


def read_state(path: Path) -> State | None:
    """What `path` notes, or None when there is nothing or it is not readable."""
    try:
        noted = json.loads(path.read_text())
        return State(
            ProcessId(*noted["server"]), ProcessId(*noted["owner"]), noted["url"], noted["version"]
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def plain_environment() -> Mapping[str, str]:
    """No setting of the user's own servers (PGDATA, PGOPTIONS, a language) reaches ours."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

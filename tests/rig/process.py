"""One process that a trial starts, hurts and measures."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import aiohttp

PR_SET_PDEATHSIG = 1
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STOP_S = 20.0


class Handle(Protocol):
    """What is known of a started process."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    async def wait(self) -> int: ...


def die_with_parent() -> None:
    """In the child: a killed runner leaves nothing behind (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A Python module run as a program, with its standard error in a file."""

    def __init__(
        self,
        name: str,
        module: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        *,
        speaks: bool = False,
    ) -> None:
        """*module* is what follows ``python -m``; one that *speaks* answers over its pipes."""
        self.name = name
        self.module = list(module)
        self.env = dict(env)
        self.log = log
        self.speaks = speaks
        self._process: Handle | None = None

    async def start(self, **extra_env: str) -> None:
        """Start it; *extra_env* is for this life only."""
        self._process = await self._begin(self.env | extra_env)

    async def _begin(self, env: Mapping[str, str]) -> Handle:
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                *self.module,
                env=env,
                stdin=asyncio.subprocess.PIPE if self.speaks else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self.speaks else log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
                limit=1 << 26,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def status(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.returncode if self._process else None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.send(signal.SIGKILL)
        await self.wait(STOP_S)

    async def wait(self, seconds: float) -> int | None:
        """How it ended; None when it has not after *seconds*."""
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._process.wait()
        return None

    async def terminate(self) -> float:
        """End it in good order; how many seconds that took."""
        started = time.monotonic()
        self.send(signal.SIGTERM)
        if await self.wait(STOP_S) is None:
            await self.kill()
        return time.monotonic() - started

    # -- a program that is spoken to over its pipes ----------------------------------------------------

    async def ask(self, line: str, seconds: float = 120.0) -> str:
        """Send *line* and read one line back.

        Raises:
            RuntimeError: it ended instead.
        """
        await self.tell(line)
        return await self.hear(seconds)

    async def tell(self, line: str) -> None:
        """Send *line*."""
        assert isinstance(self._process, asyncio.subprocess.Process)
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def hear(self, seconds: float = 30.0) -> str:
        """The next line that it prints."""
        assert isinstance(self._process, asyncio.subprocess.Process)
        assert self._process.stdout is not None
        async with asyncio.timeout(seconds):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended:\n{tail(self.log)}")
        return line.decode().rstrip("\n")

    # -- what it takes ---------------------------------------------------------------------------------

    def cpu_s(self) -> float:
        """Processor time so far, its own and the system's for it."""
        return cpu_s(self.pid)

    def rss_mb(self) -> float:
        """Resident memory now, with that of its children."""
        return sum(map(_rss_mb, [self.pid, *children_of(self.pid)]))


def cpu_s(pid: int) -> float:
    """Processor time of *pid* so far, 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text[text.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def children_of(pid: int) -> list[int]:
    """The living children of *pid* and theirs."""
    found: list[int] = []
    for file in Path("/proc").glob(f"{pid}/task/*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, file.read_text().split()):
                found += [child, *children_of(child)]
    return found


def tree_cpu_s(pid: int) -> float:
    """Processor time of *pid* and its living children."""
    return sum(map(cpu_s, [pid, *children_of(pid)]))


def _rss_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6
    except OSError:
        return 0.0


def tail(log: Path, lines: int = 30) -> str:
    """The end of a log."""
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""


async def until_ready(port: int, process: Process, seconds: float = 30.0) -> None:
    """Wait until the hub at *port* says that it is ready.

    Raises:
        RuntimeError: it ended, or takes too long.
    """
    deadline = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline and process.runs:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                timeout = aiohttp.ClientTimeout(total=2)
                async with session.get(f"http://127.0.0.1:{port}/ready", timeout=timeout) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)
    raise RuntimeError(f"{process.name} does not get ready:\n{tail(process.log)}")

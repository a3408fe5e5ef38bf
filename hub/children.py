"""Parses hostile input in child processes that can be killed: limits on memory, CPU and time.

A child is this module run as a program. It gets one event at a time over a pipe and answers with what
the channel's normalizer makes of it. It holds no secret: those in settings arrive empty, and its
environment has none. A child that crashes or goes over a limit is replaced, and the job is refused.
"""

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, BinaryIO, NamedTuple

import msgspec
import structlog
from msgspec import Raw, Struct

from hub.channel import Account, Channel
from hub.errors import HubError
from hub.model import Ignored, InboundEvent, Message, Notice, Receipt, Result, Secret
from hub.registry import CHANNELS

__all__ = ["Limits", "ParserCrashed", "Parsers"]

_RESULTS: Mapping[str, type[Result]] = {
    one.__name__: one for one in (Message, Notice, Receipt, Ignored)
}
_LENGTH = struct.Struct(">I")
_OUT_OF_MEMORY = 71
_MAX_FRAME = 256 << 20
_PR_SET_PDEATHSIG = 1
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV")

_log = structlog.get_logger("hub.children")


class ParserCrashed(HubError):
    """The parser crashed, or took more memory or time than it may."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Limits(NamedTuple):
    """Of one job: *memory_bytes* on top of what an idle child has, CPU and wall time in seconds."""

    memory_bytes: int = 512 << 20
    cpu_s: float = 5.0
    wall_s: float = 10.0


class _Job(Struct):
    channel: str
    event: InboundEvent
    account: str
    settings: Raw


class _Outcome(Struct):
    results: list[tuple[str, Raw]] = []
    error: str | None = None


def _hide(value: Any) -> Any:
    if isinstance(value, Secret):
        return ""
    raise NotImplementedError(type(value))


def _show(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(value)
    raise NotImplementedError(kind)


# --- the parent -------------------------------------------------------------------------------------


class _Child:
    """A running child, and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.idle: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, channel_key: str, limits: Limits) -> "_Child":
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "hub.children",
            channel_key,
            str(limits.memory_bytes),
            str(limits.cpu_s),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
        )
        return cls(process)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ready(self) -> None:
        """Returns when it has its limits and waits for a job."""
        await self._read()

    async def ask(self, job: bytes) -> bytes:
        """The answer to *job*; raises when the child ends instead."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 (it was started with a pipe)
        stdin.write(_LENGTH.pack(len(job)) + job)
        await stdin.drain()
        return await self._read()

    async def _read(self) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 (it was started with a pipe)
        (length,) = _LENGTH.unpack(await stdout.readexactly(_LENGTH.size))
        if length > _MAX_FRAME:
            raise ParserCrashed(f"the parser answers with {length} bytes")
        return await stdout.readexactly(length)

    async def end(self) -> int:
        """Kill it, if it still runs; how it ended."""
        if self.idle is not None:
            self.idle.cancel()
        if self._process.stdin is not None:
            self._process.stdin.close()
        # One that is ending already may tell why; one that is not is killed.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                return await self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        return await self._process.wait()

    async def kill(self) -> None:
        """End it now, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.end()


def _reason(status: int, limits: Limits) -> str:
    if status == _OUT_OF_MEMORY:
        return f"the parser needs more than {limits.memory_bytes >> 20} MiB"
    if status == -signal.SIGPROF:
        return f"the parser needs more than {limits.cpu_s:g} s of CPU"
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"the parser was ended by {signal.Signals(-status).name}"
    return f"the parser ended with status {status}"


class Parsers:
    """The pool: *count* jobs at a time; children that are idle for *idle_s* seconds end."""

    def __init__(self, count: int = 2, limits: Limits | None = None, idle_s: float = 60.0) -> None:
        self._room = asyncio.Semaphore(count)
        self._limits = limits or Limits()
        self._idle_s = idle_s
        self._idle: list[_Child] = []
        self._ending: set[asyncio.Task[Any]] = set()

    async def normalize(
        self, channel_key: str, event: InboundEvent, account: Account[Any]
    ) -> list[Result]:
        """What the channel's normalizer says of *event*.

        Raises:
            ParserCrashed: it raised, crashed, or went over a limit.
        """
        settings = Raw(msgspec.msgpack.encode(account.settings, enc_hook=_hide))
        job = msgspec.msgpack.encode(_Job(channel_key, event, account.name, settings))
        async with self._room:
            answer = await self._run(channel_key, job)
        outcome = msgspec.msgpack.decode(answer, type=_Outcome)
        if outcome.error is not None:
            raise ParserCrashed(outcome.error)
        return [msgspec.msgpack.decode(raw, type=_RESULTS[name]) for name, raw in outcome.results]

    async def close(self) -> None:
        """End all children."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(child.kill() for child in idle), *self._ending)

    async def _run(self, channel_key: str, job: bytes) -> bytes:
        child = await self._child(channel_key)
        try:
            async with asyncio.timeout(self._limits.wall_s):
                answer = await child.ask(job)
        except TimeoutError as error:
            await child.kill()
            raise ParserCrashed(f"the parser needs more than {self._limits.wall_s:g} s") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            reason = _reason(await child.end(), self._limits)
            _log.warning("parser_crashed", reason=reason)
            raise ParserCrashed(reason) from error
        except BaseException:
            await child.kill()  # what it still says would be taken for the next job's answer
            raise
        self._rest(child)
        return answer

    async def _child(self, channel_key: str) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.idle is not None:
                child.idle.cancel()
            if child.alive:
                return child
        child = await _Child.start(channel_key, self._limits)
        try:
            async with asyncio.timeout(60):
                await child.ready()
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            await child.kill()
            raise ParserCrashed("no parser could be started") from error
        except BaseException:
            await child.kill()
            raise
        return child

    def _rest(self, child: _Child) -> None:
        child.idle = asyncio.get_running_loop().call_later(self._idle_s, self._dismiss, child)
        self._idle.append(child)

    def _dismiss(self, child: _Child) -> None:
        if child in self._idle:
            self._idle.remove(child)
            task = asyncio.ensure_future(child.end())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


# --- the child --------------------------------------------------------------------------------------


@cache
def _channel(key: str) -> Channel:
    for point in entry_points(group=CHANNELS, name=key):
        value = point.load()
        if isinstance(value, Channel):
            return value
    raise LookupError(f"no channel {key} is installed")


def _outcome(job: _Job) -> _Outcome:
    channel = _channel(job.channel)
    settings = msgspec.msgpack.decode(job.settings, type=channel.settings, dec_hook=_show)
    account: Account[Any] = Account(job.account, job.channel, settings)
    results = channel.normalize(job.event, account)
    return _Outcome([(type(one).__name__, Raw(msgspec.msgpack.encode(one))) for one in results])


def _answer(frame: bytes) -> bytes:
    try:
        outcome = _outcome(msgspec.msgpack.decode(frame, type=_Job))
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except Exception as error:  # the parent decides what becomes of the row
        outcome = _Outcome(error=f"{type(error).__name__}: {str(error)[:500]}")
    return msgspec.msgpack.encode(outcome)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_memory(more: int) -> None:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # not Linux
        used = 256 << 20
    resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent; whatever a library prints goes nowhere."""
    into, out = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return os.fdopen(into, "rb"), os.fdopen(out, "wb")


def _serve(channel_key: str, memory_bytes: int, cpu_s: float) -> None:
    into, out = _pipes()
    _die_with_parent()
    with contextlib.suppress(Exception):  # it fails again with the job, where it is told
        _channel(channel_key)  # loaded before the limits, so that only parsing counts
    _limit_memory(memory_bytes)
    answer = b""
    while True:
        out.write(_LENGTH.pack(len(answer)) + answer)
        out.flush()
        head = into.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return
        frame = into.read(_LENGTH.unpack(head)[0])
        signal.setitimer(
            signal.ITIMER_PROF, cpu_s
        )  # over it, SIGPROF ends the process, also inside C code
        answer = _answer(frame)
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))

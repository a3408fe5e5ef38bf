"""Processes of the hub that start in a moment: forked from one that has imported everything already.

Each is a process of its own as any other, with its own environment, log and session, and is killed as
such; only the second that Python takes to read the hub's modules is not spent again in every life.

    python -m rig.nursery            (started by Nursery; speaks lines of JSON over its pipes)
"""

import asyncio
import contextlib
import importlib
import json
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rig.process import Handle, Process, die_with_parent

__all__ = ["Nursery"]

BORN_S = 60.0
PRELOADED = ("hub.cli.serve", "chaos.launch")
POLL_S = 0.02


class _Child:
    """A forked process as its starter sees it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def end(self, status: int) -> None:
        if not self._ended.done():
            self._ended.set_result(status)


class Nursery:
    """The process that has imported everything, and those that it has forked."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        """*env* is its own environment; each child gets another."""
        self._mother = Process("nursery", ["rig.nursery"], env, log, speaks=True)
        self._children: dict[int, _Child] = {}
        self._births: asyncio.Queue[_Child] = asyncio.Queue()
        self._one_at_a_time = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._mother.start()
        await self._mother.hear(BORN_S)
        self._listener = asyncio.create_task(self._listen(), name="nursery")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._mother.kill()

    async def _listen(self) -> None:
        while True:
            told = json.loads(await self._mother.hear(sys.maxsize))
            if "status" in told:
                self._children.pop(told["pid"]).end(told["status"])
            else:
                self._children[told["pid"]] = child = _Child(told["pid"])
                self._births.put_nowait(child)

    async def bear(self, module: Sequence[str], env: Mapping[str, str], log: Path) -> Handle:
        """Run *module*, which must be one of the preloaded, with its arguments."""
        async with self._one_at_a_time:
            asked = {"module": list(module), "env": dict(env), "log": str(log)}
            await self._mother.tell(json.dumps(asked))
            async with asyncio.timeout(BORN_S):
                return await self._births.get()

    def process(
        self, name: str, module: Sequence[str], env: Mapping[str, str], log: Path
    ) -> Process:
        """A process that is forked whenever it is started."""
        return _Forked(self, name, module, env, log)


class _Forked(Process):
    def __init__(self, nursery: Nursery, *what: Any) -> None:
        super().__init__(*what)
        self._nursery = nursery

    async def _begin(self, env: Mapping[str, str]) -> Handle:
        return await self._nursery.bear(self.module, env, self.log)


# --- inside the process -----------------------------------------------------------------------------


def _preload() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    for group in ("hub.channels", "hub.destinations"):
        for entry in entry_points(group=group):
            entry.load()


def _tell(facts: Mapping[str, int]) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell({"pid": ended[0], "status": os.waitstatus_to_exitcode(ended[1])})


def _serve() -> dict[str, Any]:
    """Fork for each line that comes; returns in the child, with what it is to be."""
    waiting = b""
    while True:
        _reap()
        if not select.select([0], [], [], POLL_S)[0]:
            continue
        if not (piece := os.read(0, 1 << 16)):
            sys.exit()
        *lines, waiting = (waiting + piece).split(b"\n")
        for line in lines:
            if (pid := os.fork()) == 0:
                return dict(json.loads(line))
            _tell({"pid": pid})


def _become(asked: Mapping[str, Any]) -> None:
    die_with_parent()
    os.setsid()
    os.environ.clear()
    os.environ.update(asked["env"])
    with Path(os.devnull).open("rb") as nothing, Path(asked["log"]).open("ab") as log:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


if __name__ == "__main__":
    _preload()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("ready", flush=True)
    asked = _serve()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _become(asked)
    name, *arguments = asked["module"]
    sys.argv = [name, *arguments]
    sys.exit(importlib.import_module(name).run(arguments))

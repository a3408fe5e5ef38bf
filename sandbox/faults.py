"""Faults that a test can switch on: what really happens to calls between two machines."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from aiohttp import web

from sandbox.http import Act, cut
from sandbox.journal import Journal

FaultKind = Literal["drop_request", "drop_answer", "bad_gateway", "late", "slow", "errcode", "die"]
"""
``drop_request``: the connection is cut before the platform acts ·
``drop_answer``: it acts, then cuts the connection ·
``bad_gateway``: it acts, then a proxy answers 502 ·
``late``: it acts, and answers after *seconds* ·
``slow``: it waits *seconds*, then acts and answers ·
``errcode``: it does not act and answers *code*, or *error* where its codes are words ·
``die``: it acts, and the whole simulator is gone.
"""

KINDS: frozenset[str] = frozenset(get_args(FaultKind))
EVERY_CALL = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault for the next *count* calls whose path begins with *path*, after *skip* good ones."""

    kind: FaultKind
    count: int = 1
    path: str = EVERY_CALL
    code: int = -1
    seconds: float = 60.0
    skip: int = 0
    error: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; one of {', '.join(sorted(KINDS))}")


class FaultBox:
    """The faults still to happen, in the order they were switched on."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def take(self, path: str) -> Fault | None:
        """The fault for this call, counted down; None when the call goes well."""
        for index, fault in enumerate(self._faults):
            if not path.startswith(fault.path):
                continue
            if fault.skip > 0:
                self._faults[index] = replace(fault, skip=fault.skip - 1)
                continue
            self._count_down(index, fault)
            return fault
        return None

    def waiting(self) -> list[Fault]:
        """Those still to happen."""
        return list(self._faults)

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self._faults]

    def _count_down(self, index: int, fault: Fault) -> None:
        if fault.count <= 1:
            del self._faults[index]
        else:
            self._faults[index] = replace(fault, count=fault.count - 1)


async def answered(
    request: web.Request,
    act: Act,
    *,
    faults: FaultBox,
    journal: Journal,
    refuse: Callable[[Fault], web.Response],
    die: Callable[[], Awaitable[None]] | None = None,
) -> web.Response:
    """What *act* answers to a call, or what the fault that is switched on for it makes of that.

    *refuse* gives the platform's error for an ``errcode``; *die* ends the simulator, where it can.
    """
    fault = faults.take(request.path)
    if fault is None:
        return await act(request)
    code = (fault.error or fault.code) if fault.kind == "errcode" else None
    journal.write("fault", fault=fault.kind, path=request.path, code=code)
    if fault.kind == "drop_request":
        cut(request)
        return web.Response(status=500)
    if fault.kind == "errcode":
        return refuse(fault)
    if fault.kind == "slow":
        await asyncio.sleep(fault.seconds)
    return await _spoilt(request, fault, await act(request), die)


async def _spoilt(
    request: web.Request,
    fault: Fault,
    response: web.Response,
    die: Callable[[], Awaitable[None]] | None,
) -> web.Response:
    """What comes back of an answer after the platform has acted."""
    if fault.kind == "bad_gateway":
        text = "<html><h1>502 Bad Gateway</h1></html>"
        return web.Response(status=502, text=text, content_type="text/html")
    if fault.kind == "late":
        await asyncio.sleep(fault.seconds)
    if fault.kind in ("drop_answer", "die"):
        cut(request)
    if fault.kind == "die" and die is not None:
        await die()
    return response

"""The four measures of the hub; each returns its figures and the raw ones behind them."""

import asyncio
import socket
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from rig.ground import Ground
from rig.process import Process

from bench.field import Field, Load, Usage, check_order

PAIRS = 9
CONVERSATIONS = 2000
RATE = 500.0
RUNS = 3
CONNECTIONS = 5000
HELD_BYTES = 14_000
"""What each of the flood's connections has sent of its body."""

Figures = dict[str, Any]


# -- (a) ------------------------------------------------------------------------------------------------


async def intake_ratio(ground: Ground, seconds: float) -> Figures:
    """Webhook intake to the commit, against the same handler that stores nothing; in alternation."""
    async with Field(ground, "intake") as field:
        durable, durable_port = await field.web()
        null, null_port = await field.web("bench.variants", "null")
        usage = Usage(durable=durable.pid, null=null.pid, postgres=ground.postgres.pid)
        loads = [await field.load(durable_port), await field.load(null_port)]
        each = max(0.2, seconds / (2 * PAIRS))
        room = int(await _guess(loads[1]) * each * 1.5) + 500
        rates: list[list[float]] = [[], []]
        p99: list[float] = []
        for pair in range(PAIRS + 1):
            for which in (0, 1) if pair % 2 else (1, 0):
                await loads[which].prepare(room, CONVERSATIONS)
                run = await loads[which].closed(64, each)
                if pair:  # the first one warms up
                    rates[which].append(run["sent"] / run["seconds"])
                    p99 += [run["p99_ms"]] * (which == 0)
        ratios = [one / other for one, other in zip(*rates, strict=True)]
        return {
            "intake_ratio": round(statistics.median(ratios), 3),
            "intake_per_s": round(statistics.median(rates[0])),
            "intake_null_per_s": round(statistics.median(rates[1])),
            "intake_ratios": [round(one, 3) for one in ratios],
            "intake_p99_ms": round(statistics.median(p99), 1),
            "intake_cpu_s": usage.spent(),
        }


async def _guess(load: Load) -> float:
    """About how many pushes a second there will be at most."""
    await load.prepare(1000, CONVERSATIONS)
    run = await load.closed(64)
    return float(run["sent"] / run["seconds"])


# -- (b) ------------------------------------------------------------------------------------------------


async def latency(ground: Ground, seconds: float) -> Figures:
    """From a push that is due to the helpdesk that has it, at 500 a second whatever is answered."""
    async with Field(ground, "latency") as field:
        web, port = await field.web()
        worker = await field.worker()
        load = await field.load(port)
        await _warm_up(field, load)
        count = int(RATE * seconds)
        await load.prepare(count, CONVERSATIONS)
        usage = Usage(web=web.pid, worker=worker.pid, postgres=ground.postgres.pid)
        run = await load.open(RATE)
        received = await field.drained(count)
        check_order(received, count)
        sent = await load.sent()
        took = sorted(one.at - sent[one.number] for one in received)
        return {
            "e2e_p50_ms": _ms(took, 0.5),
            "e2e_p99_ms": _ms(took, 0.99),
            "e2e_max_ms": _ms(took, 1.0),
            "answer_p50_ms": round(run["p50_ms"], 1),
            "answer_p99_ms": round(run["p99_ms"], 1),
            "latency_rate_per_s": round(run["sent"] / run["seconds"]),
            "latency_cpu_s": usage.spent(),
        }


def _ms(ranked: Sequence[float], share: float) -> float:
    return round(1000 * ranked[min(len(ranked) - 1, int(len(ranked) * share))], 1)


async def _warm_up(field: Field, load: Load, count: int = CONVERSATIONS) -> None:
    """Make every conversation, and let the processes see their work once."""
    await load.prepare(count, CONVERSATIONS)
    await load.closed(64)
    await field.drained(count)


# -- (c) ------------------------------------------------------------------------------------------------


async def capacity(ground: Ground, seconds: float) -> Figures:
    """Sustained end to end over 2,000 conversations, against a relay that keeps all in memory.

    A run sends for its time and ends when the last message has arrived, so that a backlog counts.
    """
    each = max(0.5, seconds / (2 * RUNS))
    async with Field(ground, "capacity") as ours, Field(ground, "relay") as theirs:
        web, port = await ours.web()
        worker = await ours.worker()
        relay, relay_port = await theirs.web("bench.variants", "relay")
        sides = [(ours, await ours.load(port)), (theirs, await theirs.load(relay_port))]
        for field, load in sides:
            await _warm_up(field, load, 2 * CONVERSATIONS)
        usage = Usage(web=web.pid, worker=worker.pid, relay=relay.pid, postgres=ground.postgres.pid)
        rates: list[list[float]] = [[], []]
        messages = [0, 0]
        for run in range(RUNS):
            for which in (0, 1) if run % 2 else (1, 0):
                count, rate = await _sustained(*sides[which], each)
                messages[which] += count
                rates[which].append(rate)
        spent = usage.spent()
        theirs_s = spent.pop("relay")
        return {
            "e2e_ratio": round(statistics.median(rates[0]) / statistics.median(rates[1]), 3),
            "e2e_per_s": round(statistics.median(rates[0])),
            "relay_per_s": round(statistics.median(rates[1])),
            "e2e_rates": [round(one) for one in rates[0]],
            "relay_rates": [round(one) for one in rates[1]],
            "e2e_cpu_ms": {who: round(1000 * s / messages[0], 3) for who, s in spent.items()},
            "relay_cpu_ms": round(1000 * theirs_s / messages[1], 3),
        }


async def _sustained(field: Field, load: Load, seconds: float) -> tuple[int, float]:
    """How many messages, and how many a second from the first push to the last arrival."""
    await load.prepare(int(seconds * 4000), CONVERSATIONS)
    run = await load.closed(64, seconds)
    received = await field.drained(run["sent"])
    check_order(received, run["sent"])
    return run["sent"], run["sent"] / (max(one.at for one in received) - run["started"])


# -- (d) ------------------------------------------------------------------------------------------------


async def memory(ground: Ground, seconds: float) -> Figures:
    """Resident memory idle, and while 5,000 connections send bodies that never end."""
    async with Field(ground, "memory") as field:
        web, port = await field.web()
        worker = await field.worker()
        load = await field.load(port)
        await _warm_up(field, load, 500)
        await asyncio.sleep(min(3.0, seconds))
        idle = {"web": web.rss_mb(), "worker": worker.rss_mb()}
        peak, held = await _flooded(port, web, worker, seconds)
        return {
            "rss_idle_mb": round(sum(idle.values()), 1),
            "rss_flood_mb": round(peak, 1),
            "rss_idle_web_mb": round(idle["web"], 1),
            "rss_idle_worker_mb": round(idle["worker"], 1),
            "flood_connections": held,
        }


async def _flooded(port: int, web: Process, worker: Process, seconds: float) -> tuple[float, int]:
    """The most memory that web and worker had together, and how many connections stood at once."""
    head = (
        "POST /in/wechat/shop?signature=0&timestamp=1&nonce=1 HTTP/1.1\r\nHost: hub\r\n"
        f"Content-Type: text/xml\r\nContent-Length: {4 * HELD_BYTES}\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    peak = 0.0
    with ExitStack() as stack:
        flood = []
        for number in range(CONNECTIONS):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            await loop.sock_connect(one, ("127.0.0.1", port))
            await loop.sock_sendall(one, head)
            flood.append(one)
            if number % 250 == 0:
                peak = max(peak, web.rss_mb() + worker.rss_mb())
        deadline = loop.time() + min(8.0, max(3.0, seconds))
        pieces = HELD_BYTES // 2000
        for piece in range(pieces):
            for one in flood:
                _push(one, b"x" * 2000)
            peak = max(peak, web.rss_mb() + worker.rss_mb())
            left = max(0.0, deadline - loop.time())
            await asyncio.sleep(left / (pieces - piece + 1))
        held = sum(map(_stands, flood))
        peak = max(peak, web.rss_mb() + worker.rss_mb())
    if not web.runs or not worker.runs:
        raise RuntimeError("a process died in the flood")
    return peak, held


def _push(one: socket.socket, data: bytes) -> None:
    try:
        one.send(data)
    except (BlockingIOError, OSError):
        return


def _stands(one: socket.socket) -> bool:
    """Whether the hub has not hung up."""
    try:
        return one.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False

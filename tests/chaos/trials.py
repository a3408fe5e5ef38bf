"""What is done to the hub, trial by trial, while customers write and the helpdesk answers."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from rig.ground import ROOT

from chaos.world import Slot, World

Hurt = Callable[[World, float], Awaitable[None]]
"""Injects faults for about so many seconds."""

FLOWS_S = 30.0
LEFT_S = 15.0
"""A message that takes longer waited for a lease that nobody had any more."""
DESK_FLOWS_S = 50.0
MUCH = 1500
STARTS_S, DIES_S = 10.0, 12.0
"""How long a killed process may take to be there again, and then to reach the point where it dies."""
UNREACHED = frozenset({"reply.passive"})
"""Points on ways that the trials do not take: none of their accounts is in passive mode."""

WITH_TICKETS = ("agents.", "tickets.")
"""Points that only a helpdesk with tickets leads to."""
ERRING_SHARE = 0.15
"""Of the calls that write to that helpdesk."""


class Trial(NamedTuple):
    """*share* is its part of the time; a control names the build that must be caught, and by what."""

    hurt: Hurt
    share: float = 1.0
    bells: bool = True
    sabotage: str | None = None
    caught_by: tuple[str, ...] = ()
    time_scale: float = 0.3
    usual_leases: bool = False
    care: bool = False
    tickets: bool = False
    think_s: float = 0.03


def _deadline(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


async def quiet(world: World, seconds: float) -> None:
    """Nothing: each message exactly once."""
    await asyncio.sleep(seconds)


async def write_much(world: World, seconds: float) -> None:
    """Nothing either, but for so long that races show."""
    more = _deadline(max(seconds, 30.0))
    while more() and world.crowd.acked() < MUCH:
        await asyncio.sleep(0.2)


async def kill_webs(world: World, seconds: float) -> None:
    """SIGKILL web processes at random."""
    more = _deadline(seconds)
    while more():
        await asyncio.sleep(world.rng.uniform(0.2, 1.5))
        world.kill(world.rng.choice(world.webs))


async def kill_workers(world: World, seconds: float) -> None:
    """SIGKILL workers at random."""
    more = _deadline(seconds)
    while more():
        await asyncio.sleep(world.rng.uniform(0.2, 1.5))
        world.kill(world.rng.choice(world.workers))


def failpoints() -> list[str]:
    """Every named point of the hub's code."""
    found = {
        name
        for file in sorted((ROOT / "hub").rglob("*.py"))
        for name in re.findall(r'^\s+failpoint\("([a-z_.]+)"\)', file.read_text(), re.MULTILINE)
    }
    return sorted(found - UNREACHED)


async def kill_at_points(world: World, seconds: float) -> None:
    """Kill a process at each named point, early and late in its life; every point must be reached."""
    points = [name for name in failpoints() if not name.startswith(WITH_TICKETS)]
    world.rng.shuffle(points)
    intake = [name for name in points if name.startswith("intake.")]
    others = [name for name in points if not name.startswith("intake.")]
    plans = [(slot, intake[n :: len(world.webs)]) for n, slot in enumerate(world.webs)]
    plans += [(slot, others[n :: len(world.workers)]) for n, slot in enumerate(world.workers)]
    more = _deadline(seconds)
    await asyncio.gather(*(_through(world, slot, plan, more) for slot, plan in plans))
    reached = {name for slot in world.slots for name in slot.reached}
    world.notes["points reached"] = len(reached)
    for slot, plan in plans:
        for name in sorted(set(plan) - reached):
            world.wrong.append(f"failpoint {name} was not reached by {slot.process.name}")


async def kill_connectors(world: World, seconds: float) -> None:
    """Kill whoever puts messages into tickets or hears agents, at each point of that and at random, while
    the helpdesk's answers are errors now and then."""
    assert world.tickets is not None
    points = [name for name in failpoints() if name.startswith(WITH_TICKETS)]
    more = _deadline(seconds)
    world.fault("helpdesk errs")
    world.tickets.errs(ERRING_SHARE)
    hurting = asyncio.create_task(_kill_webs_at_times(world), name="kill-webs")
    try:
        await _die_at_each(world, points, more)
    finally:
        world.tickets.errs(0.0)
        hurting.cancel()
        await asyncio.gather(hurting, return_exceptions=True)
    reached = {name for slot in world.workers for name in slot.reached}
    world.notes["points reached"] = len(reached)
    world.wrong += [f"failpoint {one} was not reached" for one in sorted(set(points) - reached)]


async def _die_at_each(world: World, points: Sequence[str], more: Callable[[], bool]) -> None:
    """All workers are armed with one point after the other; whoever comes there first dies there."""
    rounds = 0
    while more() or rounds < 1:
        rounds += 1
        for point in points:
            while not all(slot.process.runs for slot in world.workers):
                await asyncio.sleep(0.02)
            before = _times_reached(world, point)
            for slot in world.workers:
                world.kill(slot, f"{point}:{world.rng.choice((1, 1, 2))}")
            soon = _deadline(4 * DIES_S)
            while _times_reached(world, point) == before and soon():
                await asyncio.sleep(0.05)


def _times_reached(world: World, point: str) -> int:
    return sum(slot.reached.count(point) for slot in world.workers)


async def _kill_webs_at_times(world: World) -> None:
    while True:
        await asyncio.sleep(world.rng.uniform(0.6, 1.2) * max(1.0, world.starts_s))
        world.kill(world.rng.choice(world.webs))


async def _through(
    world: World, slot: Slot, points: Sequence[str], more: Callable[[], bool]
) -> None:
    """Lead one process through its points; again and again while there is time."""
    once = False
    while points and (more() or not once):
        for name in points:
            await _strike(world, slot, f"{name}:{world.rng.choice((1, 1, 2, 3, 7))}", DIES_S)
            if name not in slot.reached:  # on a busy machine the seventh time may be long in coming
                await _strike(world, slot, f"{name}:1", 2 * DIES_S)
        once = True


async def _strike(world: World, slot: Slot, point: str, seconds: float) -> None:
    """Start *slot* anew so that it dies at *point*, which may take so long."""
    lives = slot.lives
    world.kill(slot, point)
    await _lived(slot, lives + 1, STARTS_S)
    await _lived(slot, lives + 2, seconds)


async def _lived(slot: Slot, lives: int, seconds: float) -> None:
    more = _deadline(seconds)
    while slot.lives < lives and more():
        await asyncio.sleep(0.02)


async def pause_worker(world: World, seconds: float) -> None:
    """SIGSTOP a worker for longer than its lease, with work in its hands; then let it go on."""
    more = _deadline(seconds)
    lease = world.options.lease_s or 30.0
    world.desk.delay_s = lease / 10
    while more() or len(world.pauses) < 2:
        slot = await _busy_worker(world)
        await world.pause(slot, lease + 1.5)
        await asyncio.sleep(4 * world.desk.delay_s + 1.0)
    world.desk.delay_s = 0.0


async def _busy_worker(world: World) -> Slot:
    """A worker that has many events of one lane still to deliver, as soon as there is one."""
    more = _deadline(20)
    while more():
        rows = await world.query(
            "SELECT holder FROM lanes WHERE kind = 'deliver' AND wanted >= handled + 8 "
            "AND lease_until > clock_timestamp()"
        )
        holders = {row["holder"].split(":")[1] for row in rows}
        for slot in world.workers:
            if str(slot.process.pid) in holders:
                return slot
        await asyncio.sleep(0.1)
    raise RuntimeError("no worker ever had several events of one lane")


async def hurt_redis(world: World, seconds: float) -> None:
    """Kill Redis, leave it away, bring it back, empty it; the database has the facts."""
    more, redis = _deadline(seconds), world.ground.redis
    while more():
        world.fault("redis killed")
        await world.ground.do(redis.kill)
        before = world.crowd.acked()
        await world.flows_again("without redis", FLOWS_S)
        await asyncio.sleep(2)
        if world.crowd.acked() == before:
            world.wrong.append("nothing was taken in while Redis was away")
        await world.ground.do(redis.start)
        await world.flows_again("redis back", FLOWS_S)
        world.fault("redis flushed")
        await world.ground.do(lambda: _flush(redis.url))
        await world.flows_again("redis flushed", FLOWS_S)
        world.fault("redis restarted")
        await world.ground.do(redis.restart)
        await world.flows_again("redis restarted", FLOWS_S)


def _flush(url: str) -> None:
    import redis

    with redis.Redis.from_url(url) as client:
        client.flushall()


async def hurt_postgres(world: World, seconds: float) -> None:
    """Kill PostgreSQL, bring it back, and restart it in good order."""
    more, postgres = _deadline(seconds), world.ground.postgres
    while more():
        world.fault("postgres killed")
        await world.ground.do(lambda: (postgres.kill(), postgres.start()))
        await world.flows_again("postgres killed", FLOWS_S)
        world.fault("postgres restarted")
        await world.ground.do(postgres.restart)
        await world.flows_again("postgres restarted", FLOWS_S)
        await asyncio.sleep(1)


async def hurt_desk(world: World, seconds: float) -> None:
    """The helpdesk is away, comes back, answers badly, and takes events without saying so."""
    more, desk = _deadline(seconds), world.desk
    while more():
        world.fault("helpdesk away")
        await desk.leave()
        await asyncio.sleep(world.rng.uniform(0.5, 2.5))
        await desk.start()
        await world.flows_again("helpdesk back", DESK_FLOWS_S)
        world.fault("helpdesk answers badly")
        desk.troubles += [world.rng.choice((0, 0, 500, 503)) for _ in range(12)]
        await world.flows_again("helpdesk well", DESK_FLOWS_S)
        desk.troubles += [0, 0, 0, 0]
        await asyncio.sleep(0.5)


async def hurt_platform(world: World, seconds: float) -> None:
    """The platform acts on a reply and its answer is lost, or it does not act at all."""
    more = _deadline(seconds)
    kinds = ("drop_answer", "bad_gateway", "drop_request", "drop_answer")
    while more():
        for shop in world.shops.values():
            world.fault("platform")
            shop.fail(world.rng.choice(kinds), path="/cgi-bin/message", count=1)
        await asyncio.sleep(world.rng.uniform(0.3, 1.0))


async def kill_all(world: World, seconds: float) -> None:
    """Web, workers, Redis and PostgreSQL at once, as in a power cut."""
    more, ground = _deadline(seconds), world.ground
    while more():
        await asyncio.sleep(world.rng.uniform(0.5, 2.0))
        for slot in world.slots:
            world.kill(slot)
        await ground.do(lambda: (ground.redis.kill(), ground.postgres.kill()))
        await ground.do(lambda: (ground.postgres.start(), ground.redis.start()))
        await world.flows_again("all killed", FLOWS_S + (world.options.lease_s or 30.0))


async def kill_some(world: World, seconds: float) -> None:
    """SIGKILL whoever, at random."""
    more = _deadline(seconds)
    while more():
        await asyncio.sleep(world.rng.uniform(0.5, 2.0))
        world.kill(world.rng.choice(world.slots))


async def stop_in_order(world: World, seconds: float) -> None:
    """SIGTERM: in good order, within 15 s, with nothing lost, repeated or refused."""
    more, since = _deadline(seconds), time.monotonic()
    longest = 0.0
    while more():
        for slot in (world.rng.choice(world.webs), world.rng.choice(world.workers)):
            await asyncio.sleep(world.rng.uniform(0.3, 1.0))
            longest = max(longest, await world.terminate(slot))
    world.notes["longest exit"] = round(longest, 1)
    await asyncio.sleep(2.0)
    world.notes["slowest"] = slowest = round(world.slowest(since), 1)
    if slowest > LEFT_S and not world.faults:
        world.wrong.append(f"a message waited {slowest} s: was its lease not given back?")


KEFU_KILLS = 50


async def kill_pulling(world: World, seconds: float) -> None:
    """SIGKILL workers while one of them pulls customer service, at least fifty times.

    After each the stored cursor and the stored items are compared.
    """
    assert world.care is not None
    more, kills = _deadline(seconds), 0
    while more() or kills < KEFU_KILLS:
        world.care.hurt_pulling()
        await asyncio.sleep(world.rng.uniform(0.1, 1.2))
        world.kill(await _puller(world) or world.rng.choice(world.workers))
        kills += 1
        await world.compare_cursor()
    world.notes["kills"] = kills


async def _puller(world: World) -> Slot | None:
    """The worker that holds the listener of customer service, if one does."""
    rows = await world.query(
        "SELECT holder FROM leases WHERE name = 'listener:care' AND lease_until > clock_timestamp()"
    )
    holders = {row["holder"].split(":")[1] for row in rows}
    return next((slot for slot in world.workers if str(slot.process.pid) in holders), None)


async def end_tokens(world: World, seconds: float) -> None:
    """Access tokens expire and are revoked under load, on every platform, and a worker dies now and then."""
    more = _deadline(seconds)
    while more():
        for shop in world.shops.values():
            world.fault("token")
            world.rng.choice((shop.tokens.expire_all, shop.tokens.revoke_all))()
        await asyncio.sleep(world.rng.uniform(0.05, 0.4))
        if world.rng.random() < 0.1:
            world.kill(world.rng.choice(world.workers))
            await world.compare_cursor()


MIXED = 9


async def hurt_all_ways(world: World, seconds: float) -> None:
    """One way after the other, in one world."""
    for hurt in (
        kill_webs,
        kill_workers,
        hurt_platform,
        hurt_redis,
        hurt_desk,
        stop_in_order,
        hurt_postgres,
        kill_all,
        pause_worker,
    ):
        await hurt(world, seconds / MIXED)


async def kill_before_commit(world: World, seconds: float) -> None:
    """Kill both web processes just before a commit, thrice."""
    for _ in range(3):
        lives = [slot.lives for slot in world.webs]
        for slot in world.webs:
            world.kill(slot, "intake.before_commit:3")
        for slot, before in zip(world.webs, lives, strict=True):
            await _lived(slot, before + 2, 10)


SHORT = ("mixed", "points", "bells-off")
"""What the short form does, besides the controls."""

TRIALS: Mapping[str, Trial] = {
    "mixed": Trial(hurt_all_ways, 4.0, time_scale=1.0),
    "quiet": Trial(quiet, 0.5),
    "web": Trial(kill_webs),
    "worker": Trial(kill_workers),
    "points": Trial(kill_at_points, 2.0),
    "pause": Trial(pause_worker),
    "redis": Trial(hurt_redis),
    "postgres": Trial(hurt_postgres, time_scale=1.0),
    "helpdesk": Trial(hurt_desk),
    "platform": Trial(hurt_platform),
    "together": Trial(kill_all, time_scale=1.0),
    "sigterm": Trial(stop_in_order, usual_leases=True),
    "bells-off": Trial(kill_some, bells=False),
    "kefu": Trial(kill_pulling, 2.0, care=True),
    "tickets": Trial(kill_connectors, 2.0, tickets=True, think_s=1.0),
    "tokens": Trial(end_tokens, care=True),
}
CONTROLS: Mapping[str, Trial] = {
    "control-ack": Trial(
        kill_before_commit, 0.5, sabotage="ack_before_commit", caught_by=("lost",)
    ),
    "control-holder": Trial(
        write_much, 0.5, sabotage="no_partition_holder", caught_by=("reordered",)
    ),
    "control-epochs": Trial(pause_worker, 0.5, sabotage="no_epochs", caught_by=("late holder",)),
    "control-resend": Trial(
        hurt_platform, 0.5, sabotage="resend_ambiguous", caught_by=("said twice",)
    ),
    "control-posts": Trial(
        kill_connectors,
        0.5,
        sabotage="forget_posts",
        caught_by=("ticket doubled",),
        tickets=True,
        think_s=1.0,
    ),
}
"""Builds that break the promise; each must be caught."""

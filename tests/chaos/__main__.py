"""``./hubctl chaos``: hurts a running hub in every way that is known, and proves that its promise holds.

Each trial has a world of its own: real processes on durable servers, simulated platforms that try again
as the real ones do, and a helpdesk that writes down what it gets. What is proven: docs/reference/proof.md.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # run by path, this folder would be first

from rig.ground import Ground, bare_environment
from rig.nursery import Nursery

from chaos.trials import CONTROLS, SHORT, TRIALS, Trial
from chaos.verdict import Verdict, judge
from chaos.world import Options, World

SHORT_MINUTES = 5.0
SHORT_LEASE_S = 3.0
DRAIN_S = 60.0
OVERHEAD_S = 7.0
"""What a trial takes besides its faults: a database, processes, the draining, the comparison."""


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="hubctl chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help=f"about how long in all (10); below {SHORT_MINUTES:g} the short form, "
        f"with leases of {SHORT_LEASE_S:g} s",
    )
    parser.add_argument("--seed", type=int, help="repeats the choices of a run (they are printed)")
    parser.add_argument("--bells", choices=["on", "off"], default="on", help="off: polling only")
    parser.add_argument(
        "--lease", type=float, help="seconds that leases last, instead of the hub's"
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help=f"one of {', '.join([*TRIALS, *CONTROLS])}; may be given several times",
    )
    parser.add_argument("--keep", type=Path, help="leave the processes' logs in this new folder")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    given = parser.parse_args()
    given.only = [name for word in given.only or () for name in word.split(",")]
    if unknown := set(given.only) - {*TRIALS, *CONTROLS}:
        parser.error(f"no such trial: {', '.join(sorted(unknown))}")
    if given.seed is None:
        given.seed = random.SystemRandom().randrange(10**6)
    if given.lease is None and given.minutes < SHORT_MINUTES:
        given.lease = SHORT_LEASE_S
    return given


def say(text: str) -> None:
    """Progress, for a person."""
    print(text, file=sys.stderr, flush=True)


async def run_trial(
    ground: Ground, nursery: Nursery, name: str, trial: Trial, given: Any, seconds: float
) -> Verdict:
    """Hurt one world for *seconds*, wait until it rests, and compare the logs."""
    lease_s = given.lease or (SHORT_LEASE_S if trial.sabotage else None)
    options = Options(
        lease_s=None if trial.usual_leases else lease_s,
        bells=trial.bells and given.bells == "on",
        sabotage=trial.sabotage,
        time_scale=trial.time_scale,
        care=trial.care,
        tickets=trial.tickets,
        think_s=trial.think_s,
    )
    started = time.monotonic()
    async with World(ground, nursery, name.replace("-", "_"), given.seed, options) as world:
        world.crowd.start()
        await asyncio.sleep(0.5)
        try:
            await trial.hurt(world, seconds)
        finally:
            await world.crowd.stop()
        patience = DRAIN_S + 2 * (options.lease_s or 30.0)
        left = await world.drained(15.0 if trial.sabotage else patience)
        if not left and await world.replay():
            left = await world.drained(patience)
        verdict = await judge(world, left)
    verdict.name = name
    verdict.seconds = round(time.monotonic() - started, 1)
    return verdict


def passed(trial: Trial, verdict: Verdict) -> bool:
    """A trial passes when no promise was broken, a control when its fault was seen."""
    kinds = verdict.kinds()
    if trial.caught_by:
        return any(kind in kinds for kind in trial.caught_by)
    return not kinds and verdict.acked > 0 and verdict.delivered >= verdict.acked


HEADER = (
    f"{'trial':16}{'pushed':>8}{'acked':>8}{'delivered':>11}{'repeats':>9}{'replies':>9}"
    f"{'unknown':>9}{'faults':>8}{'s':>7}  result"
)


def row(trial: Trial, verdict: Verdict) -> str:
    """One line of the table."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in verdict.kinds().items())
    notes = ", ".join(f"{name} {value:g}" for name, value in verdict.notes.items())
    good = passed(trial, verdict)
    result = ("caught: " if trial.caught_by and good else "") + (kinds or "ok")
    return (
        f"{verdict.name:16}{verdict.pushed:8}{verdict.acked:8}{verdict.delivered:11}"
        f"{verdict.repeats:9}{verdict.replies:9}{verdict.unknown:9}{verdict.faults:8}"
        f"{verdict.seconds:7.1f}  {'✓' if good else '✗'} {result}"
        + (f"  ({notes})" if notes else "")
    )


def usual(minutes: float) -> list[str]:
    """The trials of a run of that length, when none is named."""
    if minutes < SHORT_MINUTES:
        return [*SHORT, *(name for name in CONTROLS if name != "control-posts")]
    return [*(name for name in TRIALS if name != "mixed"), *CONTROLS]


async def run(given: argparse.Namespace) -> list[tuple[Trial, Verdict]]:
    """All trials, one after the other: they are sensitive to load."""
    everything = TRIALS | CONTROLS
    chosen = {name: everything[name] for name in given.only or usual(given.minutes)}
    shares = sum(trial.share for trial in chosen.values())
    free = max(given.minutes * 60 - OVERHEAD_S * len(chosen), 3.0 * shares)
    done: list[tuple[Trial, Verdict]] = []
    async with (
        Ground(given.keep) as ground,
        Nursery(bare_environment(), ground.path / "nursery.log") as nursery,
    ):
        say(f"{', '.join(ground.servers.versions.values())}; --seed {given.seed}")
        say(HEADER)
        for name, trial in chosen.items():
            seconds = free * trial.share / shares
            verdict = await run_trial(ground, nursery, name, trial, given, seconds)
            if trial.sabotage and not passed(
                trial, verdict
            ):  # a race may need a second chance to show
                say(row(trial, verdict))
                verdict = await run_trial(
                    ground, nursery, f"{name}-again", trial, given, 2 * seconds
                )
            done.append((trial, verdict))
            say(row(trial, verdict))
            if not passed(trial, verdict):
                for line in verdict.examples():
                    say(f"      {line}")
    return done


def main() -> int:
    """Run and tell; 0 when every promise held and every control was caught."""
    given = arguments()
    done = asyncio.run(run(given))
    failed = [verdict.name for trial, verdict in done if not passed(trial, verdict)]
    acked = sum(verdict.acked for trial, verdict in done if not trial.sabotage)
    say(
        f"{acked} messages answered 200; "
        + (f"failed: {', '.join(failed)}" if failed else "passed")
    )
    if given.json:
        trials = [
            asdict(verdict) | {"passed": passed(trial, verdict), "control": trial.sabotage}
            for trial, verdict in done
        ]
        print(json.dumps({"passed": not failed, "seed": given.seed, "trials": trials}), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

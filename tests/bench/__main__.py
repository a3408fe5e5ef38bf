"""``./hubctl bench``: ratios within one run, on this machine; how they are made: docs/reference/proof.md."""

import argparse
import asyncio
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # run by path, this folder would be first

from rig.ground import Ground

from bench.helpdesk import deliveries, replies
from bench.measures import Figures, capacity, intake_ratio, latency, memory
from bench.outage import outage

MEASURES = {
    "a": intake_ratio,
    "b": latency,
    "c": capacity,
    "d": memory,
    "e": deliveries,
    "f": replies,
    "g": outage,
}
USUAL = "a,b,c,d,e,f"
TARGETS = {
    "intake_ratio": (">=", 0.7),
    "e2e_p50_ms": ("<=", 30.0),
    "e2e_p99_ms": ("<=", 100.0),
    "answer_p99_ms": ("<=", 50.0),
    "e2e_ratio": (">=", 0.6),
    "rss_idle_mb": ("<=", 400.0),
    "rss_flood_mb": ("<=", 400.0),
    "deliveries_ratio": (">=", 0.6),
    "replies_ratio": (">=", 0.3),
    "outage_others_p99_ratio": ("<=", 1.1),
    "outage_first_s": ("<=", 50.0),
    "outage_10000_s": ("<=", 60.0),
}


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="hubctl bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="how long each measure lasts (20)"
    )
    parser.add_argument(
        "--only",
        default=USUAL,
        metavar="a,b,c,d,e,f,g",
        help="a intake, b latency, c capacity, d memory, e deliveries, f replies, g outage (not by default)",
    )
    given = parser.parse_args()
    given.only = given.only.split(",")
    if unknown := set(given.only) - MEASURES.keys():
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    return given


def say(text: str) -> None:
    """Progress, for a person; standard output is for the result."""
    print(text, file=sys.stderr, flush=True)


async def measure(given: argparse.Namespace) -> Figures:
    """All figures that were asked for."""
    figures: Figures = {}
    async with Ground() as ground:
        say(f"{machine()}; {', '.join(ground.servers.versions.values())}, every commit on disk")
        for name in given.only:
            say(f"({name}) {(MEASURES[name].__doc__ or '').splitlines()[0]}")
            found = await MEASURES[name](ground, given.seconds)
            figures |= found
            for key, value in found.items():
                say(f"    {key:22} {value}{verdict(key, value)}")
    return figures


def verdict(key: str, value: Any) -> str:
    """How *value* stands to its target, if it has one."""
    if key not in TARGETS:
        return ""
    sign, target = TARGETS[key]
    met = value >= target if sign == ">=" else value <= target
    return f"   {'✓' if met else '✗'} target {sign} {target:g}"


def machine() -> str:
    """What this ran on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def main() -> int:
    """Measure and print; misses of a target are shown, and do not fail the command."""
    given = arguments()
    figures = asyncio.run(measure(given))
    if given.json:
        print(json.dumps(figures | {"machine": machine()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

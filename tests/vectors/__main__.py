"""Prints how many vectors of each kind have their stated outcome.

    python -m tests.vectors [--folder vectors/wechat] [--all] [--json]

Ends with 1 when one has not.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from tests.vectors import calls, crypto, inbound, outbound
from tests.vectors.material import FOLDER, Vector, outcome, vectors

__all__ = ["calls", "crypto", "inbound", "main", "outbound"]


async def judged(vector: Vector) -> tuple[bool, str]:
    """Whether *vector* has its outcome, and what was checked or is wrong."""
    try:
        return True, await outcome(vector)
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"


async def run(folder: Path) -> dict[str, dict[str, object]]:
    """By kind: passed, total, what was checked how often, and what failed why."""
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    checked: defaultdict[str, Counter[str]] = defaultdict(Counter)
    failed: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for vector in vectors(folder):
        total[vector.kind] += 1
        good, told = await judged(vector)
        passed[vector.kind] += good
        if good:
            checked[vector.kind][told] += 1
        else:
            failed[vector.kind][vector.id] = told
    return {
        kind: {
            "passed": passed[kind],
            "total": total[kind],
            "checked": dict(checked[kind]),
            "failed": failed[kind],
        }
        for kind in sorted(total)
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"({FOLDER})")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    found = asyncio.run(run(asked.folder))
    if not found:
        print(f"no vectors in {asked.folder}", file=sys.stderr)
        return 2
    if asked.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        _print(found)
    return 0 if all(one["passed"] == one["total"] for one in found.values()) else 1


def _print(found: dict[str, dict[str, object]]) -> None:
    for kind, one in found.items():
        checked = one["checked"]
        assert isinstance(checked, dict)
        told = "; ".join(f"{count} {what}" for what, count in sorted(checked.items()))
        print(f"{kind:<24}{one['passed']:>4}/{one['total']:<5}{told}")
        failed = one["failed"]
        assert isinstance(failed, dict)
        for name, why in failed.items():
            print(f"    {name}: {why}")
    passed = sum(int(str(one["passed"])) for one in found.values())
    total = sum(int(str(one["total"])) for one in found.values())
    print(f"{'all':<24}{passed:>4}/{total}")


if __name__ == "__main__":
    sys.exit(main())

"""``./hubctl bench`` runs and tells all its figures; how good they are is no matter for a busy machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIGURES = {
    "intake_ratio",
    "e2e_ratio",
    "e2e_p50_ms",
    "e2e_p99_ms",
    "rss_idle_mb",
    "rss_flood_mb",
    "deliveries_ratio",
    "replies_ratio",
}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_bench_tells_all_its_figures() -> None:
    """The last line is one JSON object; what is told has arrived, once each and in order."""
    command = [sys.executable, "tests/bench/__main__.py", "--seconds", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=220)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])

    assert told.keys() >= FIGURES
    assert all(told[name] > 0 for name in FIGURES)

"""The short form of ``./hubctl chaos``: kills at random and at named points, and the negative controls."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINUTES = 1.0


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_killed_anywhere_nothing_is_lost_doubled_or_out_of_order() -> None:
    """Every trial holds the promise, and every build that breaks it is caught."""
    command = [sys.executable, "tests/chaos/__main__.py", "--minutes", str(MINUTES), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["passed"]
    controls = [trial for trial in told["trials"] if trial["control"]]
    assert len(controls) >= 3
    assert sum(trial["acked"] for trial in told["trials"]) > 100


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_killed_between_two_calls_to_a_helpdesk_nothing_is_lost_or_doubled() -> None:
    """Customers' messages, tickets and what customers hear agree, at every point of the connectors; the
    build that repeats posts is caught."""
    command = [sys.executable, "tests/chaos/__main__.py", "--minutes", "0.2", "--json"]
    command += ["--only", "tickets,control-posts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    trial, control = json.loads(done.stdout.splitlines()[-1])["trials"]
    assert control["control"]
    assert trial["notes"]["points reached"] == 3
    assert trial["notes"]["in tickets"] > 20
    assert trial["notes"]["answers there"] > 3

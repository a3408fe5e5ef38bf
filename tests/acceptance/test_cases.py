"""Every case folder of every channel: what came over the wire, and what it means."""

import json
import os
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub.channel import Account
from hub.offline import Run, offline_tools, try_case
from hub.registry import channels
from hub.settings import read_table

FIXTURES = Path(__file__).parent.parent / "fixtures"
CASES = sorted(path.parent for path in FIXTURES.glob("*/*/case.toml"))
INPUTS = ("request.http", "message.eml", "event.*")
SOURCES = {"documented", "captured", "constructed"}
NOW = "2026-01-02T03:04:05Z"


def facts_of(case: Path) -> dict[str, Any]:
    return tomllib.loads((case / "case.toml").read_text(encoding="utf-8"))


def input_of(case: Path) -> Path:
    found = [path for pattern in INPUTS for path in case.glob(pattern)]
    assert len(found) == 1, f"{case.name} has {len(found)} inputs"
    return found[0]


def run_of(case: Path, facts: dict[str, Any]) -> Run:
    channel = channels()[case.parent.name]
    shared = case.parent / "settings.toml"
    table = tomllib.loads(shared.read_text(encoding="utf-8")) if shared.exists() else {}
    table |= facts.get("settings", {})
    settings = read_table(channel.settings, table, source=str(case / "case.toml"))
    account = Account("shop", channel.key, settings)
    return Run(channel, account, datetime.fromisoformat(facts.get("now", NOW)))


async def shown(case: Path) -> dict[str, Any]:
    run, path = run_of(case, facts_of(case)), input_of(case)
    adapter = (
        run.channel.adapter(run.account, offline_tools(run.now)) if run.channel.adapter else None
    )
    line = await try_case(run, adapter, str(path), proven=path.name.startswith("event."))
    line.pop("case")
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(line))
    return plain


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.name}")
async def test_a_case_means_what_it_should(case: Path) -> None:
    """What is printed for the case is what its ``expected.json`` holds."""
    found, file = await shown(case), case / "expected.json"
    if os.environ.get("HUB_WRITE_EXPECTED"):
        file.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    assert json.loads(file.read_text(encoding="utf-8")) == found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_a_case_says_where_it_comes_from(case: Path) -> None:
    """A payload is documented, captured or constructed, and names its page unless it is made up."""
    facts = facts_of(case)
    assert facts["source"] in SOURCES
    assert (facts["fields"] == "made up") == (facts["source"] == "constructed")

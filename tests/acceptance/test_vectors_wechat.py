"""Published and constructed vectors of the WeChat family, where they are at hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.shared_material import ROOT
from tests.vectors import calls, crypto, inbound, outbound
from tests.vectors.material import CHECKS, FOLDER, Vector, outcome, vectors

MODULES = (calls, crypto, inbound, outbound)  # each registers its checks

needed = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no vectors/wechat: set HUB_SHARED to the folder that holds it"
)


@needed
@pytest.mark.parametrize("vector", list(vectors()), ids=lambda vector: vector.id)
async def test_outcome(vector: Vector) -> None:
    """Each has the outcome that it states."""
    assert await outcome(vector)


def test_a_vector_without_a_check_does_not_pass(tmp_path: Path) -> None:
    """And neither does one that says something else than is so: the script can fail."""
    wrong = {"parts": ["a", "b"], "expect": {"signature": "0" * 40}}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    entries = [
        {"id": kind, "kind": kind, "platform": "any", "file": "wrong.json"}
        for kind in ("crypto.signature", "nobody.knows")
    ]
    assert CHECKS.keys() & {"crypto.signature"}
    (tmp_path / "index.json").write_text(json.dumps({"entries": entries}))
    command = [sys.executable, "-m", "tests.vectors", "--json", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert {kind: (one["passed"], one["total"]) for kind, one in found.items()} == {
        "crypto.signature": (0, 1),
        "nobody.knows": (0, 1),
    }

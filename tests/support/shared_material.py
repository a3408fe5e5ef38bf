"""Where the vectors and corpora are that do not travel with the repository."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("HUB_SHARED") or ROOT.parent / "shared")


def needs(folder: str) -> pytest.MarkDecorator:
    """Skip, and say why, where *folder* of the shared material is not at hand."""
    return pytest.mark.skipif(
        not (SHARED / folder).is_dir(),
        reason=f"no {folder}: set HUB_SHARED to the folder that holds it",
    )


def read_json(path: str) -> Any:
    return json.loads((SHARED / path).read_text(encoding="utf-8-sig"))


def entries(index: str, *kinds: str) -> list[Any]:
    """What *index* lists of those kinds; nothing where the material is not at hand."""
    if not (SHARED / index).exists():
        return []
    return [
        pytest.param(one, id=one["id"])
        for one in read_json(index)["entries"]
        if one["kind"] in kinds
    ]

"""Where the vectors are, and what a check of one is."""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.shared_material import SHARED

FOLDER = SHARED / "vectors" / "wechat"

Check = Callable[["Vector"], Any]
"""Asserts that a vector has its outcome (it may be a coroutine function), and says what was checked."""

CHECKS: dict[str, Check] = {}


class Vector(NamedTuple):
    """One entry of the index, and where its file is."""

    entry: Mapping[str, Any]
    folder: Path

    @property
    def id(self) -> str:
        return str(self.entry["id"])

    @property
    def kind(self) -> str:
        return str(self.entry["kind"])

    @property
    def platform(self) -> str:
        return str(self.entry["platform"])

    @property
    def raw(self) -> bytes:
        return (self.folder / self.entry["file"]).read_bytes()

    @property
    def json(self) -> Any:
        return json.loads(self.raw.decode("utf-8-sig"))


def vectors(folder: Path = FOLDER) -> Iterator[Vector]:
    """All of the index; none where the material is not at hand."""
    index = folder / "index.json"
    if index.exists():
        for entry in json.loads(index.read_text(encoding="utf-8-sig"))["entries"]:
            yield Vector(entry, folder)


def checks(*kinds: str) -> Callable[[Check], Check]:
    """Registers a check for *kinds*."""

    def register(check: Check) -> Check:
        for kind in kinds:
            CHECKS[kind] = check
        return check

    return register


async def outcome(vector: Vector) -> str:
    """What was checked of *vector*.

    Raises:
        AssertionError: it has not its outcome, or there is no check for its kind.
    """
    check = CHECKS.get(vector.kind)
    assert check is not None, f"no check for {vector.kind}"
    checked = check(vector)
    return str(await checked if inspect.isawaitable(checked) else checked)

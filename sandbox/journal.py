"""The log that a simulator keeps about itself, and that fault tests believe."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

Clock = Callable[[], float]
"""Seconds since the epoch, UTC. Handed in, so that tests can turn it."""

KEPT_ENTRIES = 100_000


class Journal:
    """An append-only record of facts, each with a number and a time.

    Numbers start at 1 and never repeat, also across a restart with the same
    file. The newest entries stay in memory; the file, if any, keeps all.
    """

    def __init__(
        self, path: Path | None = None, *, clock: Clock = time.time, keep: int = KEPT_ENTRIES
    ) -> None:
        self._clock = clock
        self._entries: deque[dict[str, Any]] = deque(maxlen=keep)
        self._number = _last_number(path)
        self._file: TextIO | None = path.open("a", encoding="utf-8", buffering=1) if path else None

    def write(self, kind: str, **facts: Any) -> dict[str, Any]:
        """Record *facts* and return the entry: ``{"n", "at", "kind", **facts}``."""
        self._number += 1
        entry = {"n": self._number, "at": round(self._clock(), 6), "kind": kind, **facts}
        self._entries.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        return entry

    def entries(self, kind: str | None = None, *, after: int = 0) -> list[dict[str, Any]]:
        """Entries still in memory with a number above *after*, oldest first."""
        return [
            entry for entry in self._entries if entry["n"] > after and kind in (None, entry["kind"])
        ]

    def __len__(self) -> int:
        return self._number

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def read_journal(path: Path) -> Iterator[Mapping[str, Any]]:
    """The entries of a journal file. A last line cut off by a kill is left out."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def _last_number(path: Path | None) -> int:
    if path is None or not path.exists():
        return 0
    return max((int(entry["n"]) for entry in read_journal(path)), default=0)

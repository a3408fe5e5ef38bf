"""``python -m tests.corpus``: passed and total by source, and every miss with what was wanted."""

import argparse
import sys
import time
from collections import Counter
from typing import NamedTuple

import msgspec

from hub.model import Message
from tests.corpus.stated import Entry, Said, read, stated
from tests.support.shared_material import SHARED

CORPUS = SHARED / "corpora" / "email"
ROLES = ("mail", "mbox", "headers", "reply-text", "reply-html", "signature-text", "tnef")
SLOW_S = 2.0


class Miss(NamedTuple):
    """A statement of a source that we do not meet."""

    file: str
    said: Said


class Outcome(NamedTuple):
    """What came of a whole run."""

    met: Counter[str]
    total: Counter[str]
    misses: list[Miss]
    broken: list[str]
    mails: int
    seconds: float

    @property
    def share(self) -> float:
        """How much of what is stated is met."""
        return self.met.total() / max(1, self.total.total())


def entries(sources: list[str]) -> list[Entry]:
    """The corpus, or what of it comes from *sources*."""
    listed = msgspec.json.decode((CORPUS / "index.json").read_bytes())["files"]
    return [
        Entry(CORPUS, one["source"], one["file"], one["role"], one["expected"] or {})
        for one in listed
        if one["role"] in ROLES and (not sources or one["source"] in sources)
    ]


def run(sources: list[str]) -> Outcome:
    """Read every mail, and compare what is stated of it."""
    outcome = Outcome(Counter(), Counter(), [], [], 0, 0.0)
    spent, mails = 0.0, 0
    for entry in entries(sources):
        began, cpu = time.perf_counter(), time.process_time()
        found = read(entry)
        spent += time.process_time() - cpu
        mails += 1
        if time.perf_counter() - began > SLOW_S:
            outcome.broken.append(f"{entry.file}: slower than {SLOW_S:g} s")
        unread = [
            str(one.extra["reason"])
            for one in found
            if isinstance(one, Message) and "Error" in str(one.extra.get("reason", ""))
        ]
        outcome.broken.extend(f"{entry.file}: {reason}" for reason in unread)
        for said in stated(entry, found):
            outcome.total[entry.source] += 1
            outcome.met[entry.source] += said.is_met
            if not said.is_met:
                outcome.misses.append(Miss(entry.file, said))
    return outcome._replace(mails=mails, seconds=spent)


def main() -> int:
    """Print the outcome; 0 when at least 97 of 100 statements are met and nothing broke."""
    parser = argparse.ArgumentParser(prog="tests.corpus", description=__doc__)
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="only these sources")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="without the misses")
    given = parser.parse_args()
    if not CORPUS.is_dir():
        sys.exit(f"no corpus at {CORPUS}: set HUB_SHARED to the folder that holds corpora/email")
    outcome = run(given.sources)
    write = sys.stdout.write
    if given.json:
        write(as_json(outcome) + "\n")
        return _status(outcome)
    for source, total in sorted(outcome.total.items()):
        write(f"{source:28} {outcome.met[source]:5} / {total}\n")
    write(f"{'all':28} {outcome.met.total():5} / {outcome.total.total()} = {outcome.share:.1%}\n")
    write(f"{outcome.mails} mails, {outcome.mails / outcome.seconds:.0f} a second of one core\n")
    for line in outcome.broken:
        write(f"BROKEN {line}\n")
    for miss in () if given.quiet else outcome.misses:
        wanted, got = (str(one)[:160] for one in (miss.said.wanted, miss.said.got))
        write(f"miss {miss.file}: {miss.said.what}\n     wanted {wanted!r}\n     got    {got!r}\n")
    return _status(outcome)


def _status(outcome: Outcome) -> int:
    return 0 if outcome.share >= 0.97 and not outcome.broken else 1


def as_json(outcome: Outcome) -> str:
    """The outcome for a program."""
    found = {
        "sources": {name: [outcome.met[name], total] for name, total in outcome.total.items()},
        "share": round(outcome.share, 4),
        "mails": outcome.mails,
        "mails_a_second": round(outcome.mails / outcome.seconds),
        "broken": outcome.broken,
        "misses": [[one.file, *map(str, one.said)] for one in outcome.misses],
    }
    return msgspec.json.encode(found).decode()


if __name__ == "__main__":
    sys.exit(main())

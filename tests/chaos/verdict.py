"""Compares three logs: what the platform pushed and saw, what the database holds, what the helpdesk got."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from chaos.crowd import Push
from chaos.desk import SAID, Receipt
from chaos.world import World

SHOWN = 5
FINAL = frozenset({"sent", "delivered", "read", "unknown", "failed", "held"})


class Wrong(NamedTuple):
    """One broken promise: *kind* is what a control is caught by."""

    kind: str
    detail: str


@dataclass
class Verdict:
    """What a trial came to."""

    name: str
    pushed: int = 0
    acked: int = 0
    unanswered: int = 0
    delivered: int = 0
    repeats: int = 0
    replies: int = 0
    unknown: int = 0
    faults: int = 0
    seconds: float = 0.0
    wrong: list[Wrong] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def kinds(self) -> dict[str, int]:
        """How many promises of each kind were broken."""
        return dict(Counter(one.kind for one in self.wrong))

    def examples(self) -> list[str]:
        """A few of each kind."""
        by_kind: dict[str, list[str]] = defaultdict(list)
        for one in self.wrong:
            by_kind[one.kind].append(one.detail)
        return [
            f"{kind} ({len(found)}): {detail}"
            for kind, found in by_kind.items()
            for detail in found[:SHOWN]
        ]


async def judge(world: World, left: list[str]) -> Verdict:
    """Everything that can be said of a world in which nothing moves any more."""
    inbound = await world.query(
        "SELECT account, external_id, conversation_id::text AS conversation, seq, inbox_id "
        "FROM messages WHERE direction = 'inbound'"
    )
    outbound = await world.query(
        "SELECT account, conversation_id::text AS conversation, seq, status, body->>'id' AS id, "
        "body->>'text' AS text FROM messages WHERE direction = 'outbound' ORDER BY seq"
    )
    seqs = await world.query(
        "SELECT conversation_id, count(*) AS n, max(seq) AS last FROM messages GROUP BY 1"
    )
    dead = await world.query("SELECT id::text, error FROM deliveries WHERE state = 2")
    pushes, receipts = world.crowd.pushes, world.desk.receipts
    stored = Counter(row["external_id"] for row in inbound)
    verdict = Verdict(
        world.name,
        len(pushes),
        world.crowd.acked(),
        sum(push.outcome == "no_answer" for push in pushes),
        len({one.id for one in receipts if one.type == "message.received"}),
        len(receipts) - len({(one.desk, one.id) for one in receipts}),
        len(outbound),
        sum(row["status"] == "unknown" for row in outbound),
        len(world.faults),
        notes=dict(world.notes),
    )
    verdict.wrong += [Wrong("process", text) for text in world.wrong]
    verdict.wrong += [Wrong("stuck", text) for text in left]
    if world.replayed:  # so many kills may hit one row thrice; a person brings it back
        verdict.notes["set aside"] = world.replayed
    verdict.wrong += [Wrong("dead", f"{row['id']}: {row['error']}") for row in dead]
    verdict.wrong += _taken_in(pushes, stored)
    verdict.wrong += _numbered(seqs)
    verdict.wrong += _delivered(pushes, stored, receipts)
    verdict.wrong += _ordered(pushes, receipts, world.late)
    verdict.wrong += _lanes(world)
    verdict.wrong += _foreign(world)
    verdict.wrong += _late_holders(world)
    verdict.wrong += _replies(world, [dict(row) for row in outbound])
    if world.tickets is not None:
        said = Counter(text for _, text in _said(world))
        taken = Counter(row["text"] for row in outbound)
        found = world.tickets.wrong(pushes, stored, taken, said, world.late)
        verdict.wrong += [Wrong(*one) for one in found]
        verdict.notes["in tickets"] = len(world.tickets.put_in())
        verdict.notes["answers there"] = len(world.tickets.replies)
    return verdict


# -- towards the helpdesk ------------------------------------------------------------------------------


def _taken_in(pushes: Iterable[Push], stored: Counter[str]) -> Iterator[Wrong]:
    """I1, I5: what was answered 2xx is stored, once; no push got a final no."""
    for push in pushes:
        if push.acked and not stored[push.message_id]:
            yield Wrong("lost", f"{push.openid} #{push.k} was answered 200 and is not stored")
        if push.outcome == "refused":
            yield Wrong("refused", f"{push.openid} #{push.k} was answered {push.status}")
    for message_id, count in stored.items():
        if count > 1:
            yield Wrong("stored twice", f"{message_id} is {count} messages")


def _numbered(seqs: Iterable[Any]) -> Iterator[Wrong]:
    for row in seqs:
        if row["n"] != row["last"]:
            yield Wrong("numbers", f"{row['n']} messages are numbered up to {row['last']}")


def _external_id(receipt: Receipt) -> str | None:
    if receipt.type != "message.received":
        return None
    found: str | None = receipt.data["message"]["external_id"]
    return found


def _firsts(receipts: Iterable[Receipt]) -> list[Receipt]:
    """The first receipt of each event."""
    seen: dict[tuple[str, str], Receipt] = {}
    for one in receipts:
        seen.setdefault((one.desk, one.id), one)
    return list(seen.values())


def _delivered(
    pushes: Iterable[Push], stored: Counter[str], receipts: Iterable[Receipt]
) -> Iterator[Wrong]:
    """I2, I3: what is stored is delivered, as one event."""
    known = {push.message_id: push for push in pushes}
    taken: dict[str, set[str]] = defaultdict(set)
    for one in receipts:
        if one.taken and (external := _external_id(one)):
            taken[external].add(one.id)
    for external in stored:
        push = known.get(external)
        name = f"{push.openid} #{push.k}" if push else external
        if not taken[external]:
            yield Wrong("missing", f"{name} is stored and was never delivered")
        if len(taken[external]) > 1:
            yield Wrong("doubled", f"{name} came as {sorted(taken[external])}")


def _ordered(
    pushes: Iterable[Push], receipts: Iterable[Receipt], late: frozenset[str]
) -> Iterator[Wrong]:
    """I4 by the customers' own numbers. What was never answered, or was set aside and brought back,
    may have come at any time."""
    acked = {push.message_id: push for push in pushes if push.acked}
    acked = {key: push for key, push in acked.items() if key not in late}
    last: dict[str, tuple[int, int]] = {}
    for one in _firsts(receipts):
        push = acked.get(_external_id(one) or "")
        if push is None:
            continue
        seq = one.data["message"]["seq"]
        before = last.get(push.openid, (0, 0))
        if push.k < before[0] or seq < before[1]:
            yield Wrong("reordered", f"{push.openid} #{push.k} (seq {seq}) came after #{before[0]}")
        last[push.openid] = max(before, (push.k, seq))


def _lanes(world: World) -> Iterator[Wrong]:
    """I3, I4 by ``data.order``: contiguous, one id for each place, the same bytes at each try."""
    first_fault = min((at for at, _ in world.faults), default=float("inf"))
    taken: dict[tuple[str, str], int] = defaultdict(int)
    place: dict[tuple[str, str, int], Receipt] = {}
    for one in world.desk.receipts:
        lane, name = (one.desk, one.lane), f"{one.desk} {one.lane} n={one.n}"
        before = place.setdefault((*lane, one.n), one)
        if before.id != one.id or before.digest != one.digest:
            yield Wrong("changed", f"{name} was {before.id} and then {one.id}, or other bytes")
        if before is not one and before.taken and one.at < first_fault:
            yield Wrong("repeated", f"{name} came again without a fault before")
        if one.n > taken[lane] + 1:
            yield Wrong("reordered", f"{name} came when {taken[lane]} was the last one taken")
        if one.taken:
            taken[lane] = max(taken[lane], one.n)


def _foreign(world: World) -> Iterator[Wrong]:
    """I7: whose message it is, where it goes, and that the hub has signed it."""
    for text in world.desk.refused:
        yield Wrong("foreign", f"the helpdesk refused {text}")
    pushed = {push.message_id: push for push in world.crowd.pushes}
    homes: dict[str, str] = {}
    for one in world.desk.receipts:
        external = _external_id(one)
        if external is None:
            continue
        push, message = pushed.get(external), one.data["message"]
        sender, text = message["sender"]["address"]["value"], message["text"]
        home = homes.setdefault(message["conversation"]["id"], sender)
        facts = (message["account"], sender, text, one.desk, home)
        if push is None:
            if not _in_flight(text, sender):
                yield Wrong("foreign", f"{external} was never pushed")
        elif facts != (
            push.shop,
            push.openid,
            f"{push.openid} #{push.k}",
            push.shop,
            push.openid,
        ):
            yield Wrong("foreign", f"{push.openid} #{push.k} came as {facts}")


def _in_flight(text: str, sender: str) -> bool:
    said = SAID.fullmatch(text)
    return said is not None and said[1] == sender


def _late_holders(world: World) -> Iterator[Wrong]:
    """I3 under F6: a worker that was paused for longer than its lease repeats one event at most."""
    for pause in world.pauses:
        until = min((at for at, _ in world.faults if at > pause.resumed), default=float("inf"))
        taken: set[tuple[str, str]] = set()
        again: Counter[tuple[str, str]] = Counter()
        for one in world.desk.receipts:
            if pause.resumed <= one.at < until and (one.desk, one.id) in taken:
                again[one.desk, one.lane] += 1
            if one.taken:
                taken.add((one.desk, one.id))
        for (desk, lane), count in again.items():
            if count > 1:
                yield Wrong("late holder", f"{desk} {lane}: {count} repeats after its lease")


# -- towards the customers -----------------------------------------------------------------------------


def _said(world: World) -> list[tuple[str, str]]:
    """What customers heard: to whom, and the text."""
    return [
        (entry["openid"], entry["text"])
        for shop in world.shops.values()
        for entry in shop.log("send")
        if entry["errcode"] == 0
    ]


def _replies(world: World, outbound: list[dict[str, Any]]) -> Iterator[Wrong]:
    """I6: the platform's own log says how often something was said, and in which order."""
    said = _said(world)
    times = Counter(text for _, text in said)
    wanted = Counter(row["text"] for row in outbound)
    for answers in world.desk.answers.values():
        for answer in answers:
            if answer.message_id and not wanted[answer.text]:
                yield Wrong("reply lost", f"{answer.text!r} was taken and is not stored")
            if answer.message_id is None:
                yield Wrong("reply lost", f"{answer.text!r} was never taken")
    for text, count in wanted.items():
        if count > 1:
            yield Wrong("said twice", f"{text!r} is {count} replies, with one key")
    for row in outbound:
        yield from _reply(row, times[row["text"]])
        told = world.desk.statuses.get(row["id"], [])
        if row["status"] in FINAL and row["status"] not in told:
            yield Wrong("untold", f"{row['text']!r} is {row['status']}; told was {told}")
    yield from _in_turn(outbound, said)


def _reply(row: dict[str, Any], times: int) -> Iterator[Wrong]:
    text, status = row["text"], row["status"]
    if times > 1:
        yield Wrong("said twice", f"{text!r} was said {times} times")
    if status not in FINAL:
        yield Wrong("reply open", f"{text!r} is {status}")
    if status in ("sent", "delivered", "read") and not times:
        yield Wrong("reply lost", f"{text!r} is {status} and was never said")
    if status in ("failed", "held") and times:
        yield Wrong("reply wrong", f"{text!r} is {status} and was said")


def _in_turn(outbound: list[dict[str, Any]], said: list[tuple[str, str]]) -> Iterator[Wrong]:
    seq = {row["text"]: row["seq"] for row in outbound}
    last: dict[str, int] = defaultdict(int)
    for openid, text in said:
        if seq.get(text, 0) < last[openid]:
            yield Wrong(
                "reply order", f"{text!r} (seq {seq.get(text)}) was said after {last[openid]}"
            )
        last[openid] = max(last[openid], seq.get(text, 0))

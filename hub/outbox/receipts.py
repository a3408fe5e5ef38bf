"""What platforms report about the messages that we sent."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from hub.errors import RecipientGone, Rejected
from hub.ids import read_id
from hub.model import Receipt
from hub.outbox.encoding import to_json
from hub.outbox.states import CANCELLED, LEFT, after, worst
from hub.outbox.telling import Change, change_status, raise_replies
from hub.settings import Settings
from hub.store import Transaction
from hub.store import outbox as rows
from hub.store.inbox import short_key

__all__ = ["apply_early", "apply_receipts"]


class _Found(NamedTuple):
    """A stored receipt and the message that it is about."""

    account: str
    message_id: UUID
    receipt: Receipt
    row_id: int


async def apply_receipts(
    tx: Transaction, settings: Settings, receipts: Sequence[tuple[str, Receipt]], now: datetime
) -> frozenset[str]:
    """File reports, (account, receipt) each, and move what they are about forward.

    A report finds its message by our id or by the platform's; one that comes before the message is
    known waits in its row until the sender learns the id. A repeat changes nothing, and neither does
    one that is lower than what is known. Returns the destinations to ring after the commit.
    """
    if not receipts:
        return frozenset()
    own_ids = [(account, _id_of(one)) for account, one in receipts]
    await rows.lock_external_ids(tx, [(account, own) for account, own in own_ids if own])
    inserted = await rows.insert_receipts(tx, [_row(*one) for one in receipts], now)
    pairs = sorted({(account, own) for account, own in own_ids if own})
    known = await rows.outbound_of(tx, pairs)
    found = []
    for (account, receipt), row_id in zip(receipts, inserted, strict=True):
        message_id = _our_id(receipt) or known.get((account, _id_of(receipt) or ""))
        if row_id is not None and message_id is not None:
            found.append(_Found(account, message_id, receipt, row_id))
    return await _apply(tx, settings, found, now)


async def apply_early(
    tx: Transaction,
    settings: Settings,
    account: str,
    message_id: UUID,
    external_ids: Sequence[str],
    now: datetime,
) -> frozenset[str]:
    """Apply the reports that came before *message_id* was known by *external_ids*.

    The caller has locked the ids with :func:`hub.store.outbox.lock_external_ids` and written them.
    """
    early = await rows.early_receipts(tx, account, external_ids)
    found = [
        _Found(account, message_id, msgspec.json.decode(row["body"], type=Receipt), row["id"])
        for row in early
    ]
    return await _apply(tx, settings, found, now)


def _id_of(receipt: Receipt) -> str | None:
    return short_key(receipt.external_id) if receipt.external_id else None


def _our_id(receipt: Receipt) -> UUID | None:
    if not receipt.message_id:
        return None
    try:
        return read_id("msg", receipt.message_id) or UUID(receipt.message_id)
    except ValueError:
        return None


def _row(account: str, receipt: Receipt) -> tuple[str, str, str | None, str]:
    body = to_json(receipt)
    key = receipt.dedupe_key or f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"
    return account, short_key(key), _id_of(receipt), body


async def _apply(
    tx: Transaction, settings: Settings, found: Sequence[_Found], now: datetime
) -> frozenset[str]:
    if not found:
        return frozenset()
    messages = {
        row["id"]: row for row in await rows.lock_messages(tx, {f.message_id for f in found})
    }
    found = [
        one
        for one in found
        if one.message_id in messages and messages[one.message_id]["account"] == one.account
    ]
    drafts = await _drafts(tx, {one.message_id for one in found})
    reported = _Reported(drafts)
    for one in found:
        reported.add(one)
    await rows.change_drafts(tx, list(reported.changes.values()), now)
    await rows.settle_receipts(tx, [(one.row_id, one.message_id) for one in found])
    return await _change_messages(tx, settings, messages, reported, now)


async def _drafts(tx: Transaction, messages: set[UUID]) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = defaultdict(list)
    for row in await rows.drafts_of(tx, messages):
        if row["role"] == "say":
            found[row["message_id"]].append(row)
    return found


class _Reported:
    """The speaking drafts of some messages while reports are applied to them."""

    def __init__(self, drafts: Mapping[UUID, Sequence[Any]]) -> None:
        self._drafts = drafts
        self._states = {row["id"]: row["state"] for says in drafts.values() for row in says}
        self.changes: dict[UUID, rows.DraftChange] = {}
        self.errors: dict[UUID, Mapping[str, Any]] = {}

    def add(self, found: _Found) -> None:
        """Move the drafts that *found* is about."""
        receipt = found.receipt
        for row in self._about(found):
            state = after(self._states[row["id"]], receipt.status)
            if state == self._states[row["id"]]:
                continue
            self._states[row["id"]] = state
            error = _error(receipt) if state == "failed" else None
            if error:
                self.errors[found.message_id] = error
            self.changes[row["id"]] = rows.DraftChange(
                row["id"], state, _id_of(receipt), to_json(error) if error else None
            )
        if receipt.status == "failed" and found.message_id in self.errors:
            self._give_up(found.message_id)

    def _about(self, found: _Found) -> list[Any]:
        says = self._drafts.get(found.message_id, ())
        own = _id_of(found.receipt)
        exact = [row for row in says if own and row["external_id"] == own]
        out = [row for row in says if self._states[row["id"]] in LEFT | {"failed", CANCELLED}]
        return exact or [row for row in out if row["external_id"] is None] or out

    def _give_up(self, message_id: UUID) -> None:
        """What has not gone out yet of a message that failed stays here."""
        for row in self._drafts[message_id]:
            if self._states[row["id"]] == "queued":
                self._states[row["id"]] = CANCELLED
                self.changes[row["id"]] = rows.DraftChange(row["id"], CANCELLED, None, None)

    def states(self, message_id: UUID) -> list[str]:
        """The states of the message's speaking drafts now."""
        return [self._states[row["id"]] for row in self._drafts.get(message_id, ())]

    def was_held(self, message_id: UUID) -> bool:
        """Whether the platform, not we, held the message back."""
        return any(row["state"] == "held" for row in self._drafts.get(message_id, ()))


def _error(receipt: Receipt) -> Mapping[str, Any]:
    error = RecipientGone if receipt.is_recipient_gone else Rejected
    return error(receipt.detail or "", external_code=receipt.code).as_json()


async def _change_messages(
    tx: Transaction,
    settings: Settings,
    messages: Mapping[UUID, Any],
    reported: _Reported,
    now: datetime,
) -> frozenset[str]:
    changes, freed = [], []
    for message_id, row in messages.items():
        states = reported.states(message_id)
        waits_for_customer = row["status"] == "held" and not reported.was_held(message_id)
        status = worst(states)
        if not states or waits_for_customer or status == row["status"]:
            continue
        error = reported.errors.get(message_id) or _kept(row["error"])
        changes.append(
            Change(message_id, status, error if status in ("failed", "unknown") else None)
        )
        if status == "sending" and row["status"] == "unknown" and "queued" in states:
            freed.append((row["account"], row["conversation_id"]))
    rung = await change_status(tx, settings, changes, now)
    await raise_replies(tx, freed, wake=True)
    return rung


def _kept(error: str | None) -> Mapping[str, Any] | None:
    kept: Mapping[str, Any] | None = msgspec.json.decode(error) if error else None
    return kept

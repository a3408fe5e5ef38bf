"""The hot statements with a million finished rows behind them: by index, in milliseconds."""

from typing import Any

import msgspec
import pytest

from hub.store import Database
from hub.store.breakers import ensure_destinations
from hub.store.inbox import claim_partitions, ensure_partitions, read_claimed
from hub.store.lanes import CLAIM, claim_lanes

MILLION = 1_000_000
FILL = [
    "INSERT INTO inbox (account, channel, partition, order_key, dedupe_key, headers, body, proof, "
    "received_at, state, crashes) SELECT 'shop', 'test', n % 16, n::text, n::text, '{}', '', '', now(), "
    f"(n <= {MILLION})::int, 0 "
    f"FROM generate_series(1, {MILLION + 100}) n",
    "INSERT INTO lanes (kind, target, conversation_id, wanted, handled, epoch, lease_until, next_at) "
    "SELECT 'deliver', 'desk', gen_random_uuid(), 10 + (n <= 100)::int, 10, 0, '-infinity', '-infinity' "
    f"FROM generate_series(1, {MILLION // 40}) n",
    "INSERT INTO deliveries (id, lane_id, n, destination, event_id, state, tries, replayed, created_at) "
    "SELECT gen_random_uuid(), l.id, k, 'desk', gen_random_uuid(), (k <= 10)::int, 1, false, now() "
    "FROM lanes l CROSS JOIN generate_series(1, 11) k WHERE k <= l.wanted",
    "ANALYZE",
]


@pytest.mark.slow
async def test_claims_stay_quick_behind_a_million_rows(database_url: str) -> None:
    """Claiming and reading look at what waits, never at what is done."""
    db = await Database.open(database_url)
    try:
        await ensure_partitions(db, ["shop"])
        await ensure_destinations(db, ["desk"])
        for statement in FILL:
            await db.fetch(statement)
        waiting = await db.fetch("SELECT count(*) AS n FROM inbox WHERE state = 0")
        assert waiting[0]["n"] == 100
        plan, milliseconds = await explain(db, CLAIM, "test", ["desk"], [16], 20)
        assert scans(plan).isdisjoint({"inbox", "lanes", "deliveries"})
        assert milliseconds < 50
        claimed = await claim_partitions(db, "test", ["shop"], 64)
        assert len(claimed) == 16
        assert len(await read_claimed(db, claimed, 32)) == 100
        assert len(await claim_lanes(db, "test", {"desk": 16}, 20)) == 16
    finally:
        await db.close()


async def explain(db: Database, sql: str, *values: Any) -> tuple[dict[str, Any], float]:
    """The plan of a statement as it ran, rolled back, and its milliseconds."""

    class Undo(Exception):
        pass

    found: list[Any] = []

    async def work(tx: Any) -> None:
        rows = await tx.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *values)
        found.append(msgspec.json.decode(rows[0][0])[0])
        raise Undo

    with pytest.raises(Undo):
        await db.transaction(work)
    return found[0]["Plan"], found[0]["Execution Time"]


def scans(plan: dict[str, Any]) -> set[str]:
    """The tables that a plan reads from end to end."""
    own = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return own.union(*(scans(part) for part in plan.get("Plans", [])))

"""What is asked often stays cheap beside a mountain of finished rows."""

import json
from typing import Any

import pytest

from hub.core import Core
from hub.store import api as rows
from hub.store import status
from tests.apikit import api

FINISHED = 50_000


class Explainer:
    """Stands for the database: notes the plan of each statement instead of its rows."""

    def __init__(self, core: Core) -> None:
        self._db = core.db
        self.scanned: set[str] = set()

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        found = await self._db.fetch(f"EXPLAIN (FORMAT JSON) {sql}", *values)
        self._walk(json.loads(found[0][0])[0]["Plan"])
        return await self._db.fetch(sql, *values)

    def _walk(self, plan: dict[str, Any]) -> None:
        if plan["Node Type"] == "Seq Scan":
            self.scanned.add(plan["Relation Name"])
        for one in plan.get("Plans", ()):
            self._walk(one)


async def fill(core: Core) -> None:
    """Finished work of long ago."""
    for statement in (
        "INSERT INTO events (id, type, account, queue, body, created_at) "
        "SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'message.received', "
        "'shop', 'inbox', '{}', now() FROM generate_series(1, $1::int) i",
        "INSERT INTO deliveries (id, lane_id, n, destination, event_id, state, tries, replayed, created_at) "
        "SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, -i, 1, 'desk', "
        "('01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 1, 0, false, now() "
        "FROM generate_series(1, $1::int) i",
        "INSERT INTO inbox (account, channel, partition, order_key, dedupe_key, headers, proof, "
        "received_at, state, crashes) SELECT 'shop', 'test', 0, 'a', 'old' || i, '{}', 'none', now(), 1, 0 "
        "FROM generate_series(1, $1::int) i",
        "INSERT INTO messages (id, conversation_id, seq, account, channel, direction, kind, dedupe_key, "
        "body, reply_context, status, created_at) SELECT "
        "('01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, "
        "'01900000-0000-7000-8000-000000000000', i, 'shop', 'test', 'outbound', 'text', 'old' || i, '{}', "
        "'{}', 'sent', now() FROM generate_series(1, $1::int) i",
    ):
        await core.db.fetch(statement, FINISHED)
    for table in ("events", "deliveries", "inbox", "messages"):
        await core.db.fetch(f"ANALYZE {table}")


@pytest.mark.slow
async def test_no_large_table_is_read_through(database_url: str) -> None:
    """Status, metrics, dead letters and the feed look at what they need."""
    async with api(database_url) as made:
        await fill(made.core)
        await made.say({"id": "m1", "from": "ann", "text": "hello"})
        explainer = Explainer(made.core)
        db: Any = explainer
        found = await status.counts(db)
        assert found.deliveries["desk"].number == 2
        newest = (await made.core.db.fetch("SELECT id FROM messages ORDER BY id DESC LIMIT 1"))[0][
            "id"
        ]
        await status.failed_replies(db, newest)
        await rows.deliveries(db, None, rows.DeliveryFilter(state=2), 50)
        await rows.deliveries(db, ["inbox"], rows.DeliveryFilter(state=2, destination="desk"), 50)
        end = await rows.feed_head(db)
        await rows.feed_page(db, None, None, end, 100)
        await rows.feed_page(db, ["inbox"], ["message.received"], (end[0], 0), 100)
        assert not explainer.scanned & {"events", "deliveries", "inbox", "messages"}

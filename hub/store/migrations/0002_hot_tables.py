"""What Tortoise has no words for: partial indexes on waiting rows, the feed's order, vacuum settings."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops

UP = [
    # Only waiting rows are ever looked for; finished ones must not make that slower.
    "CREATE INDEX inbox_waiting ON inbox (account, partition, id) WHERE state = 0",
    "CREATE INDEX lanes_waiting ON lanes (kind, target, next_at) WHERE wanted > handled",
    "CREATE INDEX deliveries_unfinished ON deliveries (destination, state) WHERE state <> 1",
    "CREATE INDEX drafts_unfinished ON drafts (state, started_at) WHERE state IN ('queued', 'sending')",
    "CREATE INDEX attachments_waiting ON attachments (next_at) WHERE state = 'pending'",
    "CREATE INDEX receipts_early ON receipts (account, external_id) WHERE message_id IS NULL",
    "CREATE INDEX messages_outbound ON messages (account, external_id) WHERE direction = 'outbound'",
    "CREATE INDEX messages_unsettled ON messages (status) "
    "WHERE direction = 'outbound' AND status IN ('queued', 'sending', 'held', 'unknown')",
    "CREATE INDEX allowances_open ON allowances (conversation_id) WHERE NOT closed",
    # The feed: in the order of transactions, and only below the oldest that still runs.
    "ALTER TABLE events ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id()",
    "ALTER TABLE events ADD COLUMN position bigint GENERATED ALWAYS AS IDENTITY",
    "CREATE UNIQUE INDEX events_feed ON events (xid, position)",
    "CREATE INDEX events_conversation ON events (conversation_id)",
    "CREATE INDEX conversations_recent ON conversations (updated_at DESC, id)",
    # Rows that are updated in place leave room for it, and are vacuumed long before 20 % are dead.
    "ALTER TABLE inbox SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, "
    "autovacuum_vacuum_threshold = 2000)",
    "ALTER TABLE lanes SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, "
    "autovacuum_vacuum_threshold = 2000)",
    "ALTER TABLE deliveries SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, "
    "autovacuum_vacuum_threshold = 2000)",
    "ALTER TABLE conversations SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05)",
    "ALTER TABLE partitions SET (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, "
    "autovacuum_vacuum_threshold = 200)",
    "ALTER TABLE destinations SET (fillfactor = 50)",
]
DOWN = [
    "DROP INDEX inbox_waiting, lanes_waiting, deliveries_unfinished, drafts_unfinished, "
    "attachments_waiting, receipts_early, messages_outbound, messages_unsettled, allowances_open, "
    "events_feed, events_conversation, conversations_recent",
    "ALTER TABLE events DROP COLUMN xid, DROP COLUMN position",
]


class Migration(migrations.Migration):
    """Indexes, feed order and storage settings of the hot tables."""

    dependencies: ClassVar = [("hub", "0001_initial")]
    operations: ClassVar = [ops.RunSQL(UP, reverse_sql=DOWN)]

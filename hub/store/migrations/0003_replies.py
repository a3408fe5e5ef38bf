"""Indexes for the way of a reply: what waits in a lane, uploads to use again, whose event it was."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops

UP = [
    "CREATE INDEX messages_lane ON messages (conversation_id, seq) WHERE direction = 'outbound' "
    "AND status IN ('queued', 'sending', 'held', 'unknown')",
    "CREATE INDEX messages_inbox ON messages (inbox_id) WHERE inbox_id IS NOT NULL",
    "CREATE INDEX notices_inbox ON notices (inbox_id) WHERE inbox_id IS NOT NULL",
    "CREATE INDEX drafts_prepared ON drafts ((call->>'fingerprint'), finished_at) "
    "WHERE role = 'prepare' AND state = 'sent'",
    "ALTER TABLE drafts SET (fillfactor = 70)",
]
DOWN = ["DROP INDEX messages_lane, messages_inbox, notices_inbox, drafts_prepared"]


class Migration(migrations.Migration):
    """What the lanes of replies, their prepared files and passive answers look for."""

    dependencies: ClassVar = [("hub", "0002_hot_tables")]
    operations: ClassVar = [ops.RunSQL(UP, reverse_sql=DOWN)]

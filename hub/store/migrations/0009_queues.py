"""Queues that a person has paused, and an index for counting what is open in a queue."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops

UP = [
    "CREATE TABLE paused_queues (name varchar(64) PRIMARY KEY, at timestamptz NOT NULL)",
    "CREATE INDEX conversations_open ON conversations (queue) WHERE state = 'open'",
]
DOWN = ["DROP INDEX conversations_open", "DROP TABLE paused_queues"]


class Migration(migrations.Migration):
    """Pausing and counting."""

    dependencies: ClassVar = [("hub", "0008_desks")]
    operations: ClassVar = [ops.RunSQL(UP, reverse_sql=DOWN)]

"""What senders ask of the process that holds the connection of their account."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops

UP = [
    "CREATE TABLE relay_calls (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text NOT NULL, "
    "question text NOT NULL, asked_at timestamptz NOT NULL DEFAULT clock_timestamp(), "
    "expires_at timestamptz NOT NULL, taken_at timestamptz, answer text)",
    "CREATE INDEX relay_calls_waiting ON relay_calls (account, id) WHERE taken_at IS NULL",
    "ALTER TABLE relay_calls SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)",
]


class Migration(migrations.Migration):
    """The table of calls that wait for a connection; a row lives as long as its call."""

    dependencies: ClassVar = [("hub", "0004_reading")]
    operations: ClassVar = [ops.RunSQL(UP, reverse_sql=["DROP TABLE relay_calls"])]

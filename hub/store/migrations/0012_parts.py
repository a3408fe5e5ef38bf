"""Parts of long messages, until all are here."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops

UP = [
    "CREATE TABLE message_parts ("
    "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account varchar(64) NOT NULL, "
    "dedupe_key varchar(255) NOT NULL, key varchar(255) NOT NULL, number smallint NOT NULL, "
    "text text NOT NULL, inbox_id bigint NOT NULL, at timestamptz NOT NULL, "
    "filed boolean NOT NULL DEFAULT false, UNIQUE (account, dedupe_key)) WITH (fillfactor = 80)",
    "CREATE INDEX message_parts_waiting ON message_parts (account, key) WHERE NOT filed",
]
DOWN = ["DROP TABLE message_parts"]


class Migration(migrations.Migration):
    """A table for what waits, and an index of it."""

    dependencies: ClassVar = [("hub", "0011_unmerge")]
    operations: ClassVar = [ops.RunSQL(UP, reverse_sql=DOWN)]

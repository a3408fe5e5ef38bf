"""Who does not want to be written to, and what was said to whom within a quota."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops

UP = [
    "CREATE TABLE consents ("
    "account varchar(64) NOT NULL, scheme varchar(32) NOT NULL, scope varchar(128) NOT NULL, "
    "value varchar(512) NOT NULL, state varchar(16) NOT NULL, source varchar(64) NOT NULL, "
    "at timestamptz NOT NULL, PRIMARY KEY (account, scheme, scope, value))",
    "CREATE TABLE quota_uses ("
    "draft_id uuid NOT NULL, account varchar(64) NOT NULL, key varchar(255) NOT NULL, "
    "at timestamptz NOT NULL, PRIMARY KEY (draft_id, key))",
    "CREATE INDEX quota_uses_key ON quota_uses (account, key, at)",
]
DOWN = ["DROP TABLE consents, quota_uses"]


class Migration(migrations.Migration):
    """Two tables that the way of a reply looks into."""

    dependencies: ClassVar = [("hub", "0009_queues")]
    operations: ClassVar = [ops.RunSQL(UP, reverse_sql=DOWN)]

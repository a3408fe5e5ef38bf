"""Several addresses of one person: what platforms say, and what was brought together because of it."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops

UP = [
    "CREATE TABLE identity_claims (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
    "account text NOT NULL, scheme text NOT NULL, scope text NOT NULL, value text NOT NULL, "
    "same_scheme text NOT NULL, same_scope text NOT NULL, same_value text NOT NULL)",
    "CREATE TABLE contact_merges (id uuid PRIMARY KEY, kept_id uuid NOT NULL, gone_id uuid NOT NULL, "
    "account text NOT NULL, evidence text NOT NULL, addresses uuid[] NOT NULL, "
    "conversations uuid[] NOT NULL, at timestamptz NOT NULL)",
    "CREATE INDEX contact_merges_gone ON contact_merges (gone_id)",
    "CREATE INDEX contact_merges_at ON contact_merges (at)",
]


class Migration(migrations.Migration):
    """The claims that wait, each as long as it waits; and the merges, which stay."""

    dependencies: ClassVar = [("hub", "0006_turns")]
    operations: ClassVar = [
        ops.RunSQL(UP, reverse_sql=["DROP TABLE contact_merges", "DROP TABLE identity_claims"])
    ]

"""Merges of contacts that a person has undone."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """When a merge was undone."""

    # Beside 0011_said once; a database may have either of the two, and applies what it lacks.
    dependencies: ClassVar = [("hub", "0011_said")]
    operations: ClassVar = [
        ops.RunSQL(
            ["ALTER TABLE contact_merges ADD COLUMN undone_at timestamptz"],
            reverse_sql=["ALTER TABLE contact_merges DROP COLUMN undone_at"],
        )
    ]

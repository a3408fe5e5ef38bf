"""How often a token may call."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """A rate for each token; none: the hub's."""

    dependencies: ClassVar = [("hub", "0012_parts")]
    operations: ClassVar = [
        ops.RunSQL(
            ["ALTER TABLE api_tokens ADD COLUMN requests_per_s double precision"],
            reverse_sql=["ALTER TABLE api_tokens DROP COLUMN requests_per_s"],
        )
    ]

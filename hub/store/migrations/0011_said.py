"""What an account has said lately is counted before it says more."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """An index of what was said, by account and time."""

    dependencies: ClassVar = [("hub", "0010_consents")]
    operations: ClassVar = [
        ops.RunSQL(
            [
                "CREATE INDEX messages_said ON messages (account, created_at) "
                "WHERE direction = 'outbound'"
            ],
            reverse_sql=["DROP INDEX messages_said"],
        )
    ]

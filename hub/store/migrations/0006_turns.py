"""What is said under an allowance is numbered, and a draft keeps its number."""

from typing import ClassVar

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """A count on each allowance that only rises, and the turn of each draft that spoke under one."""

    dependencies: ClassVar = [("hub", "0005_relay")]
    operations: ClassVar = [
        ops.AddField("AllowanceRow", "used", fields.IntField(default=0, db_default=0)),
        ops.AddField("DraftRow", "turn", fields.IntField(null=True)),
    ]

"""Parked rows of the inbox are counted often and are few."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """An index of what is parked."""

    dependencies: ClassVar = [("hub", "0003_replies")]
    operations: ClassVar = [
        ops.RunSQL(
            ["CREATE INDEX inbox_parked ON inbox (account) WHERE state = 2"],
            reverse_sql=["DROP INDEX inbox_parked"],
        )
    ]

"""The schema's way from any state in which a database may be."""

import importlib
from pathlib import Path

import asyncpg
import pytest
from tortoise import Tortoise
from tortoise.migrations.api import migrate as run_migrations

from hub.store import database, migrate

FOLDER = Path(database.__file__).parent / "migrations"
NAMES = sorted(path.stem for path in FOLDER.glob("[0-9]*.py"))


async def columns_and_indexes(url: str) -> set[str]:
    """What the tables look like; not the record of how they came about."""
    connection = await asyncpg.connect(url.replace("asyncpg://", "postgresql://"))
    rows = await connection.fetch(
        "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable AS it "
        "FROM information_schema.columns WHERE table_schema = 'public' "
        "UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
    )
    await connection.close()
    return {row["it"] for row in rows}


async def applied(url: str) -> list[str]:
    connection = await asyncpg.connect(url.replace("asyncpg://", "postgresql://"))
    rows = await connection.fetch("SELECT name FROM tortoise_migrations WHERE app = 'hub'")
    await connection.close()
    return sorted(row["name"] for row in rows)


async def bring_to(url: str, target: str, *heads: str) -> None:
    """The schema of *target*, and then *heads* as when each of them stood on it."""
    await run_migrations(config=database._config(url, 2), target=f"hub.{target}")
    await Tortoise.close_connections()
    connection = await asyncpg.connect(url.replace("asyncpg://", "postgresql://"))
    for head in heads:
        (operation,) = importlib.import_module(f"hub.store.migrations.{head}").Migration.operations
        for statement in operation.sql:
            await connection.execute(statement)
        await connection.execute(
            "INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('hub', $1, now())",
            head,
        )
    await connection.close()


@pytest.mark.parametrize(
    "heads", [(), ("0011_said",), ("0011_unmerge",), ("0011_unmerge", "0011_said")]
)
async def test_whatever_was_applied_of_two_branches_the_rest_follows(
    heads: tuple[str, ...], empty_database_url: str, database_url: str
) -> None:
    """0011_said and 0011_unmerge stood side by side once."""
    await bring_to(empty_database_url, "0010_consents", *heads)
    assert await applied(empty_database_url) == sorted([*NAMES[:10], *heads])

    await migrate(empty_database_url)
    assert await applied(empty_database_url) == NAMES
    assert await columns_and_indexes(empty_database_url) == await columns_and_indexes(database_url)


def test_each_migration_stands_on_the_one_before_it() -> None:
    """Two that were written at one time are put in a row before they are released."""
    stands_on = {
        name: [
            before
            for _, before in importlib.import_module(
                f"hub.store.migrations.{name}"
            ).Migration.dependencies
        ]
        for name in NAMES
    }
    assert stands_on == {
        name: [before] if before else []
        for name, before in zip(NAMES, [None, *NAMES], strict=False)
    }

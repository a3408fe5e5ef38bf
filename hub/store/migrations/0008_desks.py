"""Tickets of connected helpdesks, what was put into them, and which agents' messages were seen."""

from typing import ClassVar

from tortoise import migrations
from tortoise.migrations import operations as ops

UP = [
    "ALTER TABLE conversations ADD COLUMN assignee text",
    "CREATE TABLE tickets ("
    "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, destination varchar(64) NOT NULL, "
    "conversation_id uuid NOT NULL, case_number int NOT NULL, ref varchar(255) NOT NULL, "
    "facts jsonb NOT NULL DEFAULT '{}', state varchar(16) NOT NULL DEFAULT 'open', assignee text, "
    "seen bigint, asked bigint NOT NULL DEFAULT 0, active_at timestamptz NOT NULL, "
    "look_at timestamptz NOT NULL, lease_until timestamptz NOT NULL DEFAULT '-infinity', "
    "epoch bigint NOT NULL DEFAULT 0, holder varchar(128), error text, created_at timestamptz NOT NULL, "
    "UNIQUE (destination, ref), UNIQUE (destination, conversation_id, case_number)) "
    "WITH (fillfactor = 70)",
    "CREATE INDEX tickets_due ON tickets (destination, look_at) WHERE look_at < 'infinity'",
    "CREATE TABLE desk_posts ("
    "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, destination varchar(64) NOT NULL, "
    "key varchar(255) NOT NULL, conversation_id uuid NOT NULL, ticket varchar(255), ref varchar(255), "
    "done boolean NOT NULL DEFAULT false, at timestamptz NOT NULL, UNIQUE (destination, key)) "
    "WITH (fillfactor = 80)",
    "CREATE INDEX desk_posts_ref ON desk_posts (destination, ref) WHERE ref IS NOT NULL",
    "CREATE INDEX desk_posts_conversation ON desk_posts (conversation_id)",
    "CREATE TABLE desk_messages ("
    "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, destination varchar(64) NOT NULL, "
    "ref varchar(255) NOT NULL, ticket varchar(255) NOT NULL, position bigint NOT NULL, "
    "body jsonb, state varchar(16) NOT NULL, reason text, message_id uuid, seen_at timestamptz NOT NULL, "
    "handled_at timestamptz, UNIQUE (destination, ref)) WITH (fillfactor = 80)",
    "CREATE INDEX desk_messages_waiting ON desk_messages (destination, ticket, position) "
    "WHERE state IN ('hint', 'waiting', 'refused')",
    "CREATE INDEX desk_messages_message ON desk_messages (message_id) WHERE message_id IS NOT NULL",
]
DOWN = ["DROP TABLE tickets, desk_posts, desk_messages", "ALTER TABLE conversations DROP COLUMN assignee"]


class Migration(migrations.Migration):
    """Three tables for connectors."""

    dependencies: ClassVar = [("hub", "0007_identity")]
    operations: ClassVar = [ops.RunSQL(UP, reverse_sql=DOWN)]

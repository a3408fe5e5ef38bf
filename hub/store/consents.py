"""Who does not want to be written to by an account."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from hub.model import Address
from hub.store.database import Transaction

__all__ = ["Consent", "keep_consents", "withdrawn_at"]


class Consent(NamedTuple):
    """What a person said about being written to, and how we know (*source*: a notice's kind, a code)."""

    account: str
    address: Address
    state: str
    source: str
    at: datetime


class Reader(Protocol):
    """A transaction, or the database itself."""

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """The rows of one statement."""
        ...


async def keep_consents(tx: Transaction, consents: Sequence[Consent]) -> None:
    """Keep the newest word of each person; what comes late changes nothing."""
    newest = {
        (one.account, *_key(one.address)): one for one in sorted(consents, key=lambda one: one.at)
    }
    if not newest:
        return
    rows = [(*key, one.state, one.source[:64], one.at) for key, one in sorted(newest.items())]
    await tx.fetch(
        "INSERT INTO consents (account, scheme, scope, value, state, source, at) "
        "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], "
        "$7::timestamptz[]) ON CONFLICT (account, scheme, scope, value) DO UPDATE "
        "SET state = excluded.state, source = excluded.source, at = excluded.at "
        "WHERE consents.at <= excluded.at",
        *[list(column) for column in zip(*rows, strict=True)],
    )


async def withdrawn_at(reader: Reader, account: str, address: Address) -> datetime | None:
    """Since when the person does not want to be written to; None: they have not said so."""
    rows = await reader.fetch(
        "SELECT at FROM consents WHERE account = $1 AND scheme = $2 AND scope = $3 AND value = $4 "
        "AND state = 'withdrawn'",
        account,
        *_key(address),
    )
    return rows[0]["at"] if rows else None


def _key(address: Address) -> tuple[str, str, str]:
    return address.scheme[:32], address.scope[:128], address.value[:512]

"""What every service of a running process shares."""

import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hub.bells import Bells
from hub.settings import Settings
from hub.store import Database

if TYPE_CHECKING:
    from hub.accounts import Accounts
    from hub.media import Media
    from hub.tickets import Desks

__all__ = ["Core", "now", "process_name"]


def now() -> datetime:
    """The time, aware, in UTC, to the millisecond."""
    here = datetime.now(UTC)
    return here.replace(microsecond=here.microsecond // 1000 * 1000)


def process_name(kind: str) -> str:
    """A name for this process that no other has, and that tells a person where it runs."""
    return f"{kind}@{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def _desks() -> "Desks":
    from hub.tickets import Desks

    return Desks()


@dataclass
class Core:
    """The settings in force, the database, the bells, the accounts' parts, the files and the connectors.

    *settings* is replaced as a whole on reload; read it anew for each piece of work.
    """

    settings: Settings
    db: Database
    bells: Bells
    accounts: "Accounts"
    media: "Media"
    name: str = field(default_factory=lambda: process_name("hub"))
    clock: Callable[[], datetime] = now
    desks: "Desks" = field(default_factory=_desks)

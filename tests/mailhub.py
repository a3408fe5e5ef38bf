"""A whole hub with a mailbox, for the tests of the email channel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hub import worker
from hub.core import Core
from hub.replies.accept import accept
from hub.replies.request import Author, ReplyRequest
from hub.running import opened
from hub.store.models import Conversation, MessageRow
from sandbox.mail import MailPair
from tests.corekit import eventually

PATIENCE_S = 40
ACCOUNT = """
[accounts.{name}]
channel = "email"
address = "{address}"
imap_host = "127.0.0.1"
imap_port = {imap_port}
imap_security = "none"
smtp_host = "127.0.0.1"
smtp_port = {smtp_port}
smtp_security = "none"
password = "{password}"
"""


def mail_account(mail: MailPair, name: str, address: str, password: str, more: str = "") -> str:
    """The lines of a configuration for one mailbox of *mail*; *more* are further settings."""
    text = ACCOUNT.format(
        name=name,
        address=address,
        password=password,
        imap_port=mail.imap_port,
        smtp_port=mail.smtp_port,
    )
    return text + more


@asynccontextmanager
async def mail_hub(folder: Path, accounts: str, waits_for: str) -> AsyncIterator[Core]:
    """A process that does everything, once the account *waits_for* reads its mailbox."""
    path = folder / "hub.toml"
    path.write_text(f'[hub]\ndata_dir = "{folder}"\n{accounts}')
    async with opened(path, "worker") as core, working(core):
        await eventually(lambda: _is_read(core, waits_for), timeout=PATIENCE_S)
        yield core


async def _is_read(core: Core, account: str) -> bool:
    rows = await core.db.fetch("SELECT 1 FROM checkpoints WHERE account = $1", account)
    return bool(rows)


@asynccontextmanager
async def working(core: Core) -> AsyncIterator[None]:
    """While the block runs, mail is read, filed and answered."""
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(core, ("ingest", "reply", "listen"), stop.wait()))
    try:
        yield
    finally:
        stop.set()
        await task


async def said(count: int, **facts: Any) -> list[MessageRow]:
    """The messages in the order of their numbers, once there are *count*."""
    await eventually(lambda: _count_is(count, facts), timeout=PATIENCE_S)
    return await MessageRow.filter(**facts).order_by("seq")


async def _count_is(count: int, facts: dict[str, Any]) -> bool:
    return await MessageRow.filter(**facts).count() >= count


async def answer(core: Core, conversation: Conversation, text: str, **more: Any) -> None:
    """Reply as a helpdesk does."""

    async def work(tx: Any) -> Any:
        request = ReplyRequest(text=text, **more)
        return await accept(core, tx, {"id": conversation.id}, request, author=Author("Li"))

    (await core.db.transaction(work)).ring(core)

"""The listener against Dovecot, where it is installed: a second opinion beside pymap's."""

import asyncio
import contextlib
import getpass
import imaplib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from adapters.email import EmailSettings
from hub.channel import Account
from hub.model import Secret
from sandbox.http import free_port
from tests.mailkit import SUPPORT, Memory, Running, account, results, simple_mail

T = TypeVar("T")

PASSWORD = "secret"  # without a blank, which its settings cannot hold

DOVECOT = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _version() -> str:
    if DOVECOT is None:
        return ""
    asked = subprocess.run([DOVECOT, "--version"], capture_output=True, text=True, check=False)
    return asked.stdout


pytestmark = pytest.mark.skipif(
    not _version().startswith("2.3."),
    reason="Dovecot 2.3, whose settings these are, is not installed",
)

CONFIGURATION = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 0
mail_location = maildir:{folder}/mail
mailbox_list_index = no
auth_mechanisms = plain login
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={mail_user} gid={mail_group} home={folder}/home
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""
AS_ONESELF = """
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


class Dovecot:
    """A server with one mailbox, and the commands of a client that delivers into it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

    def client(self) -> imaplib.IMAP4:
        client = imaplib.IMAP4("127.0.0.1", self.port, timeout=10)
        client.login(SUPPORT, PASSWORD)
        return client

    async def run(self, work: Callable[[imaplib.IMAP4], T]) -> T:
        def whole() -> T:
            with self.client() as client:
                return work(client)

        return await asyncio.to_thread(whole)

    async def deliver(self, raw: bytes) -> None:
        await self.run(lambda client: client.append("INBOX", "", "", raw))

    async def count(self, folder: str) -> int:
        def look(client: imaplib.IMAP4) -> int:
            status, found = client.select(folder, readonly=True)
            return int(found[0] or 0) if status == "OK" else 0

        return await self.run(look)


def configured(folder: Path, port: int) -> str:
    """As root the mails are an unprivileged user's; as anybody else everything is one's own."""
    is_root = os.geteuid() == 0
    mail_user, mail_group = ("mail", "mail") if is_root else (os.getuid(), os.getgid())
    text = CONFIGURATION.format(
        folder=folder, port=port, password=PASSWORD, mail_user=mail_user, mail_group=mail_group
    )
    if is_root:
        shutil.chown(folder, "mail", "mail")
        return text
    group = subprocess.run(["id", "-gn"], capture_output=True, text=True, check=True).stdout
    return text + AS_ONESELF.format(user=getpass.getuser(), group=group.strip())


def mailbox(dovecot: "Dovecot", **settings: Any) -> Account[EmailSettings]:
    return account(imap_port=dovecot.port, password=Secret(PASSWORD), **settings)


@pytest.fixture
async def dovecot() -> AsyncIterator[Dovecot]:
    folder = Path(tempfile.mkdtemp(prefix="hub-dovecot-"))  # its socket's path must be short
    folder.chmod(0o755)
    port = free_port()
    (folder / "dovecot.conf").write_text(configured(folder, port))
    server = subprocess.Popen([str(DOVECOT), "-F", "-c", str(folder / "dovecot.conf")])
    made = Dovecot(folder, port)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                made.client().logout()
                break
            await asyncio.sleep(0.1)
        yield made
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


async def test_mail_comes_in_byte_for_byte(dovecot: Dovecot) -> None:
    """Pushed while the folder is idle, one large and one with a literal's bytes of every kind."""
    mails = [simple_mail(1), simple_mail(2, body="0123456789abcdef" * 100_000)]
    mails.append(simple_mail(3) + "你好 \x00".encode("gb18030").replace(b"\0", b"\x80") + b"\r\n")
    memory = Memory()
    async with Running(mailbox(dovecot), memory) as running:
        await running.is_ready()
        for raw in mails:
            await dovecot.deliver(raw)
        events = await memory.wait_for(3, timeout=40)
    assert [event.body for event in events] == mails


async def test_nothing_is_lost_or_doubled_over_restarts(dovecot: Dovecot) -> None:
    """The listener ends and begins again while mails come in."""
    memory = Memory()
    async with Running(mailbox(dovecot), memory) as running:
        await running.is_ready()
    for number in range(1, 9):
        async with Running(mailbox(dovecot), memory):
            await dovecot.deliver(simple_mail(number))
            await asyncio.sleep(0.05 * (number % 3))
    async with Running(mailbox(dovecot), memory):
        await memory.wait_for(8, timeout=30)
    keys = [results(memory.events[key].body)[0].dedupe_key for key in memory.order]
    assert len(keys) == len(set(keys)) == 8


async def test_mails_move_after_they_are_stored(dovecot: Dovecot) -> None:
    """By MOVE, into a folder that the server makes first."""
    await dovecot.run(lambda client: client.create("Done"))
    settings = mailbox(dovecot, after_store="move", move_to="Done")
    memory = Memory()
    async with Running(settings, memory) as running:
        await running.is_ready()
        for number in range(3):
            await dovecot.deliver(simple_mail(number))
        await memory.wait_for(3, timeout=30)
        async with asyncio.timeout(20):
            while await dovecot.count("INBOX"):
                await asyncio.sleep(0.1)
        assert await dovecot.count("Done") == 3
    assert len(memory.order) == 3


async def test_a_renumbered_folder_is_read_again(dovecot: Dovecot) -> None:
    """Deleted and made anew it has another UIDVALIDITY; its messages keep their keys."""
    await dovecot.run(lambda client: client.create("Shop"))
    settings = mailbox(dovecot, folders=("Shop",))
    memory = Memory()

    def renumber(client: imaplib.IMAP4) -> None:
        client.delete("Shop")
        client.create("Shop")
        for number in (1, 2):
            client.append("Shop", "", "", simple_mail(number))

    async with Running(settings, memory) as running:
        await running.is_ready()
        await dovecot.run(lambda client: client.append("Shop", "", "", simple_mail(1)))
        await memory.wait_for(1, timeout=30)
    await asyncio.sleep(1.1)  # UIDVALIDITY is a time in seconds there
    await dovecot.run(renumber)
    async with Running(settings, memory):
        events = await memory.wait_for(3, timeout=30)
    keys = [results(one.body)[0].dedupe_key for one in events]
    assert keys[0] == keys[1] != keys[2]

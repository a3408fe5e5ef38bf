"""A real IMAP server, pymap, inside this process: IDLE, MOVE, UIDPLUS, any number of users."""

import asyncio
import os
from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from proxyprotocol.sock import SocketInfoLocal
from pymap.backend.dict import DictBackend, Identity
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage
from pymap.user import UserMetadata
from pysasl.hashing import Cleartext

_NO_ROLES: frozenset[str] = frozenset()


class ImapServer:
    """Mailboxes in memory behind IMAP. They outlive ``stop`` and ``start``."""

    def __init__(self) -> None:
        self.port = 0
        self._backend: Any = None
        self._config: Any = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self, host: str, port: int) -> None:
        await self._prepare()
        imap = IMAPServer(self._backend.login, self._config)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._connections.add(writer)
            try:
                await imap(reader, writer, SocketInfoLocal(writer.transport))
            except (ConnectionError, EOFError, asyncio.CancelledError):
                pass
            finally:
                self._connections.discard(writer)
                writer.close()

        self._server = await asyncio.start_server(connected, host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection; the mail stays."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self.drop_all()
            await server.wait_closed()

    def drop_all(self) -> None:
        """Cut every connection without a word."""
        for writer in list(self._connections):
            writer.transport.abort()

    async def set_user(self, name: str, password: str) -> None:
        """Let *name* log in; a user who is there already keeps the first password."""
        await self._prepare()
        if name in self._backend.login.users_dict:
            return
        user = UserMetadata(self._config, name, password=password)
        await self._identity(name).set(user)

    async def deliver(self, name: str, raw: bytes, *, folder: str = "INBOX") -> None:
        """Put a mail into a folder; clients in IDLE hear of it at once."""
        async with self._identity(name).new_session() as session:
            mailbox = await session.mailbox_set.get_mailbox(folder)
            await mailbox.append(AppendMessage(raw, datetime.now(UTC), frozenset()), recent=True)

    async def count(self, name: str, *, folder: str = "INBOX") -> int:
        """How many mails the folder holds."""
        async with self._identity(name).new_session() as session:
            mailbox = await session.mailbox_set.get_mailbox(folder)
            return int((await mailbox.snapshot()).exists)

    async def is_watched(self, name: str, *, folder: str = "INBOX") -> bool:
        """Whether some client has the folder selected."""
        async with self._identity(name).new_session() as session:
            mailbox = await session.mailbox_set.get_mailbox(folder)
            return mailbox.selected_set.any_selected is not None

    def wipe(self, name: str) -> None:
        """Begin the user's mailboxes anew: empty, with another UIDVALIDITY."""
        self._config.set_cache.pop(name, None)
        self.drop_all()

    def _identity(self, name: str) -> Any:
        return Identity(name, self._backend.login, None, _NO_ROLES)

    async def _prepare(self) -> None:
        if self._backend is not None:
            return
        # pymap asks the DNS for its own name unless it is told.
        os.environ.setdefault("FQDN", "localhost")
        arguments = Namespace(
            host="127.0.0.1",
            port=0,
            debug=False,
            cert=None,
            key=None,
            tls=False,
            demo_data=False,
            demo_user="",
            demo_password="",
            passlib_cfg=None,
            proxy_protocol=None,
            inherited_sockets=None,
        )
        # Passwords are made at start and die with the process: hashing them would only cost time.
        self._backend, self._config = await DictBackend.init(
            arguments, invalid_user_sleep=0.0, hash_context=Cleartext()
        )
        self._backend.login.users_dict.clear()
        self._config.apply_context()

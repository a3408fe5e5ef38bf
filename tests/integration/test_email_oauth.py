"""Login by token: refused ones are renewed, and no refusal hangs."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.email.mailbox import LoginRefused, Mailbox
from hub.channel import HttpAnswer
from hub.errors import BadCredentials, Unreachable
from hub.testing import Workbench
from outbound.email import MailTokens, SmtpPool
from sandbox.imap_fake import TAG, Command, FakeImapServer
from tests.mailkit import Memory, Running, account, eventually, simple_mail

OAUTH = {
    "oauth_client_id": "client",
    "oauth_client_secret": "hunter2",
    "oauth_refresh_token": "refresh",
    "oauth_provider": "google",
}


class TokenServer:
    """Hands out tokens "token-1", "token-2" …"""

    def __init__(self, answers: list[HttpAnswer] | None = None) -> None:
        self.forms: list[dict[str, Any]] = []
        self._answers = answers or []

    async def __call__(self, method: str, url: str, **call: Any) -> HttpAnswer:
        self.forms.append({"url": url, **call["form"]})
        if self._answers:
            return self._answers.pop(0)
        body = f'{{"access_token": "token-{len(self.forms)}", "expires_in": 3599}}'
        return HttpAnswer(200, {}, body.encode())


def bench(server: TokenServer) -> Workbench:
    made = Workbench()
    made.http = server  # type: ignore[assignment]
    return made


def accepting(good: bytes) -> Any:
    """AUTHENTICATE as servers do it: a bad token is explained, and then an empty line is awaited."""

    async def authenticate(command: Command) -> bytes:
        answer = b64decode(command.argument.partition(b" ")[2])
        if b"auth=Bearer " + good in answer:
            return TAG + b" OK welcome\r\n"
        await command.connection.write(b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n")
        assert await command.connection.reader.readline() == b"\r\n"
        return TAG + b" NO AUTHENTICATE failed\r\n"

    return authenticate


@pytest.fixture
async def imap() -> AsyncIterator[FakeImapServer]:
    fake = FakeImapServer(script={"AUTHENTICATE": accepting(b"token-2")}, mails=[simple_mail(1)])
    await fake.start()
    yield fake
    await fake.stop()


async def test_a_refused_token_is_refused_at_once(imap: FakeImapServer) -> None:
    """The library alone waits for an answer that the server waits for, too."""
    box = Mailbox("127.0.0.1", imap.port, None)
    with pytest.raises(LoginRefused):
        await asyncio.wait_for(box.open("user", token="token-1"), 5)
    await box.close()


async def test_a_token_that_ran_out_is_renewed(
    imap: FakeImapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mailbox is read with the second one."""
    monkeypatch.setattr("adapters.email.listener.FIRST_DELAY_S", 0.001)
    server, memory = TokenServer(), Memory()
    place = account(imap_port=imap.port, initial_lookback_days=1, **OAUTH)
    async with Running(place, memory, bench(server)):
        await memory.wait_for(1)
    assert [form["refresh_token"] for form in server.forms] == ["refresh", "refresh"]
    assert server.forms[0]["url"] == "https://oauth2.googleapis.com/token"


async def test_tokens_that_are_always_refused_stop_the_account(
    imap: FakeImapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one renewal: providers lock mailboxes."""
    monkeypatch.setattr("adapters.email.listener.FIRST_DELAY_S", 0.001)
    imap.script = {"AUTHENTICATE": accepting(b"another")}
    server = TokenServer()
    running = Running(account(imap_port=imap.port, **OAUTH), Memory(), bench(server))
    async with running:
        assert running.task is not None
        task = running.task
        await eventually(task.done)
        with pytest.raises(BadCredentials):
            await task
    assert len(server.forms) == 2


@pytest.mark.parametrize(
    "answer, error",
    [
        (HttpAnswer(400, {}, b'{"error": "invalid_grant"}'), BadCredentials),
        (HttpAnswer(401, {}, b"no"), BadCredentials),
        (HttpAnswer(503, {}, b""), Unreachable),
        (HttpAnswer(200, {}, b"<html>"), Unreachable),
    ],
)
async def test_what_a_token_server_says(answer: HttpAnswer, error: type[Exception]) -> None:
    """A grant that is over wants a person; a server that is away is asked again."""
    tools = bench(TokenServer([answer])).tools
    with pytest.raises(error):
        await MailTokens(account(**OAUTH).settings, tools).get()


async def test_an_application_may_read_without_a_person() -> None:
    """Client credentials at Microsoft, with the scope that they want."""
    server = TokenServer()
    settings = account(
        **OAUTH | {"oauth_refresh_token": "", "oauth_token_url": "https://login.example/t/token"}
    ).settings
    assert await MailTokens(settings, bench(server).tools).get() == "token-1"
    assert server.forms[0]["grant_type"] == "client_credentials"
    assert server.forms[0]["scope"] == "https://outlook.office365.com/.default"


async def test_smtp_takes_the_token_too() -> None:
    """Refused once, renewed, and in."""
    seen: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        while line := await reader.readline():
            if line.startswith(b"EHLO"):
                writer.write(b"250-hi\r\n250 AUTH XOAUTH2\r\n")
            elif line.startswith(b"AUTH"):
                seen.append(b64decode(line.split()[2]))
                good = b"Bearer token-2" in seen[-1]
                writer.write(b"235 ok\r\n" if good else b"334 eyJ9\r\n")
            else:
                writer.write(b"535 5.7.8 no\r\n" if line == b"\r\n" else b"221 bye\r\n")
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        settings = account(smtp_port=server.sockets[0].getsockname()[1], **OAUTH).settings
        tokens = MailTokens(settings, bench(TokenServer()).tools)
        client = await SmtpPool(settings, tokens).connect()
        client.close()
        await asyncio.wait_for(ended.wait(), 5)
    assert [b"token-1" in one for one in seen] == [True, False]

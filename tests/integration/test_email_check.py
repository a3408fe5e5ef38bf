"""What ``hub check`` makes of the sentences that providers answer with."""

import pytest

from adapters.email import EmailChecker
from hub.channel import Check, HttpAnswer
from hub.testing import ScriptedHttp, Workbench
from sandbox.imap_fake import TAG, FakeImapServer
from tests.mailkit import account

OAUTH = {"oauth_client_id": "id", "oauth_refresh_token": "r", "oauth_provider": "microsoft"}


async def found(url: str | None = None, **settings: object) -> list[Check]:
    bench = Workbench()
    bench.http = ScriptedHttp(lambda _: HttpAnswer(400, {}, b'{"error": "invalid_grant"}'))
    place = account(smtp_host="", **settings)
    return [one async for one in EmailChecker(place, bench.tools).check(url)]


@pytest.mark.parametrize(
    "command, answer, name, advice",
    [
        ("LOGIN", b"NO LOGIN Login error, please use authorization code", "IMAP login", "授权码"),
        (
            "LOGIN",
            b"NO [ALERT] Application-specific password required",
            "IMAP login",
            "app password",
        ),
        ("LOGIN", b"NO LOGIN failed: IMAP is disabled", "IMAP login", "Switch IMAP on"),
        ("LOGIN", b"NO [WEBALERT] Web login required", "IMAP login", "on the web"),
        ("SELECT", b"NO SELECT Unsafe Login. Please contact kefu@188.com", "folder INBOX", "163"),
        (
            "SELECT",
            b"BAD User is authenticated but not connected.",
            "folder INBOX",
            "Microsoft 365",
        ),
    ],
)
async def test_a_providers_sentence_is_explained(
    command: str, answer: bytes, name: str, advice: str
) -> None:
    """The words of 163, QQ, Gmail and Microsoft lead to what to do."""
    fake = FakeImapServer(script={command: TAG + b" " + answer + b"\r\n"})
    await fake.start()
    try:
        checks = await found(imap_port=fake.port)
    finally:
        await fake.stop()
    (bad,) = [one for one in checks if not one.ok]
    assert bad.name == name
    assert advice in (bad.advice or "")


async def test_a_refused_grant_is_told() -> None:
    """Before the mail server is bothered."""
    fake = FakeImapServer()
    await fake.start()
    try:
        (check,) = await found(imap_port=fake.port, **OAUTH)
    finally:
        await fake.stop()
    assert (check.name, check.ok) == ("OAuth token", False)
    assert "let the owner agree anew" in (check.advice or "")


@pytest.mark.parametrize(
    "intake, url",
    [
        ("mailgun", "https://hub.example/in/email/mail"),
        ("postmark", "https://USER:PASSWORD@hub.example/in/email/mail"),
    ],
)
async def test_where_mail_is_posted_is_told(intake: str, url: str) -> None:
    """To be pasted into the provider's console."""
    (check,) = await found("https://hub.example", intake=intake, imap_host="", webhook_secret="a:b")
    assert check.ok
    assert (check.advice or "").endswith(url)

"""The settings of a mailbox, and the channel's record."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.email import CHANNEL, EmailSettings
from hub.errors import ConfigError
from hub.settings import read_table
from outbound.email import is_loopback

ROOT = Path(__file__).resolve().parents[2]


def read(**table: Any) -> EmailSettings:
    return read_table(EmailSettings, table, source="hub.toml", key="accounts.mail")


def test_little_is_needed() -> None:
    """Address, hosts and password; the rest has sound values."""
    found = read(
        address="a@shop.example", imap_host="imap.shop.example", smtp_host="x", password="hunter2"
    )
    assert (found.imap_port, found.imap_security) == (993, "tls")
    assert (found.smtp_port, found.smtp_security) == (465, "tls")
    assert found.folders == ["INBOX"]
    assert found.login_name == "a@shop.example"
    assert found.smtp_login() == ("a@shop.example", "hunter2")
    assert "hunter2" not in repr(found)


def test_sending_may_need_another_login() -> None:
    """Names and passwords fall back one by one."""
    found = read(
        address="a@b.example",
        imap_host="x",
        username="reader",
        password="one",
        smtp_username="writer",
        smtp_password="two",
    )
    assert found.login_name == "reader"
    assert found.smtp_login() == ("writer", "two")


@pytest.mark.parametrize(
    "changes, key",
    [
        ({"address": "nobody"}, "address"),
        ({"address": "a b@c.example"}, "address"),
        ({"imap_host": ""}, "imap_host"),
        ({"imap_security": "none"}, "imap_security"),
        ({"imap_security": "starttls"}, "imap_security"),
        ({"smtp_host": "mx.example", "smtp_security": "none"}, "smtp_security"),
        ({"folders": []}, "folders"),
        ({"folders": ["INBOX", "INBOX"]}, "folders"),
        ({"imap_port": 0}, "imap_port"),
        ({"after_store": "delete"}, "after_store"),
        ({"max_size_bytes": 5}, "max_size_bytes"),
        ({"folder": "INBOX"}, "folder"),
        ({"after_store": "move"}, "move_to"),
        ({"after_store": "move", "move_to": "INBOX"}, "move_to"),
        ({"intake": "mailgun", "imap_host": ""}, "webhook_secret"),
        ({"intake": "mime", "imap_host": "", "webhook_secret": "short"}, "webhook_secret"),
        ({"intake": "sendgrid", "webhook_secret": "a:b"}, "imap_host"),
        ({"tags": ["address"], "tag_secret": "short"}, "tag_secret"),
        ({"tags": ["body"]}, "tags"),
        ({"dkim_selector": "s"}, "dkim_selector"),
        ({"dkim_selector": "s", "dkim_key": "no key"}, "dkim_key"),
        ({"oauth_client_id": "id"}, "oauth_provider"),
        ({"oauth_client_id": "id", "oauth_token_url": "http://t.example"}, "oauth_token_url"),
    ],
)
def test_a_mistake_names_its_setting(changes: dict[str, Any], key: str) -> None:
    """File, key, and what is allowed."""
    table = {"address": "a@shop.example", "imap_host": "imap.shop.example"} | changes
    with pytest.raises(ConfigError) as raised:
        read(**table)
    assert any(f"accounts.mail.{key}:" in line for line in raised.value.mistakes)


@pytest.mark.parametrize(
    "host, here",
    [("localhost", True), ("127.0.0.2", True), ("::1", True), ("mail.localhost", True),
     ("localhost.example", False), ("10.0.0.1", False), ("", False)],
)  # fmt: skip
def test_what_is_this_machine(host: str, here: bool) -> None:
    """Only there may a password go without TLS."""
    assert is_loopback(host) is here


def test_every_setting_is_documented() -> None:
    """In its type and on the channel's page."""
    page = (ROOT / "docs/channels/email.md").read_text(encoding="utf-8")
    for field in msgspec.structs.fields(EmailSettings):
        assert re.search(rf"`{field.name}`", page), field.name


def test_the_record_loads_without_the_imap_library() -> None:
    """It is an extra; a mailbox then says what to install."""
    program = """
import asyncio, sys
sys.modules["aioimaplib"] = None
from adapters.email import CHANNEL, EmailChecker
from tests.mailkit import account
from hub.testing import Workbench
async def main():
    return [c async for c in EmailChecker(account(smtp_host=""), Workbench().tools).check(None)]
(check,) = asyncio.run(main())
assert not check.ok and "messaging-hub[email]" in (check.advice or ""), check
assert "aioimaplib" not in [n for n, m in sys.modules.items() if m is not None]
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_channel_is_parsed_in_children() -> None:
    """Its input is hostile by nature."""
    assert CHANNEL.hostile
    assert CHANNEL.capabilities.proactive

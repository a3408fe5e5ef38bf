"""The command line: each typical mistake is one clear sentence, and no traceback."""

import asyncio
import json
import logging
import os
import socket
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from structlog import configure, get_config

from hub.cli import COMMANDS, main
from hub.cli.up import _YOURS, _kept, _Up
from hub.embedded import ServerError
from hub.running import opened
from hub.settings import load
from sandbox.demo import account_toml
from sandbox.wechat import WeChatSimulator

DESK = """
[destinations.desk]
url = "https://desk.example.com/hub"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""
SHOP = """
[accounts.shop]
channel = "wechat"
app_id = "wx0123456789abcdef"
token = "tokentoken"
aes_key = "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk"
"""
ROUTES = """
[queues.sales]
[[routes]]
channel = "wechat"
queue = "sales"
"""


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, and no server named; what a command sets for its process is taken back."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before, handlers, level, config = dict(os.environ), [*root.handlers], root.level, get_config()
    for name in ("DATABASE_URL", "REDIS_URL", "HUB_CONFIG", "HUB_PORT", "HUB_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HUB_DATA_DIR", str(tmp_path / "var"))
    yield
    os.environ.clear()
    os.environ.update(before)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    configure(**config)


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "hub.toml"
    path.write_text(SHOP + DESK + ROUTES)
    return str(path)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_page_of_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It names itself and says what it is for."""
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert said.startswith(f"usage: hub {name}")


def test_a_command_that_is_misspelt(capsys: pytest.CaptureFixture[str]) -> None:
    """The one that was meant is named."""
    assert main(["statsu"]) == 2
    assert capsys.readouterr().err == "hub: there is no command 'statsu'; did you mean status?\n"


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """All commands are listed."""
    assert main([]) == 2
    said = capsys.readouterr().err
    assert [name for name in COMMANDS if f"\n  {name} " not in said] == []


@pytest.mark.parametrize("words", [["status"], ["web"], ["migrate"], ["token", "create", "desk"]])
def test_nothing_runs_here(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The way out is named: start a hub, or name the database."""
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "start one with `hub up`" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", [["status"], ["up"], ["migrate"]])
def test_a_database_that_does_not_answer(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told at once, where it was looked for, without the password."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://hub:pssst@127.0.0.1:1/hub")
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "DATABASE_URL: PostgreSQL at 127.0.0.1:1: " in said
    assert said.count("\n") == 1
    assert "pssst" not in said


@pytest.mark.parametrize("words", [["status"], ["web"], ["up"]])
def test_a_database_of_another_kind(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it."""
    monkeypatch.setenv("DATABASE_URL", "mysql://127.0.0.1/hub")
    assert main(words) == 2
    wanted = "environment: hub.database_url: wants a URL that begins with postgresql://\n"
    assert capsys.readouterr().err == wanted


@pytest.mark.parametrize("port", ["abc", "99999"])
def test_a_port_that_is_none(
    port: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told before anything is started."""
    monkeypatch.setenv("HUB_PORT", port)
    assert main(["up"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("environment: hub.port: found ")
    assert said.out == ""


def test_broken_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the place in the file."""
    (tmp_path / "hub.toml").write_text("[accounts.shop\n")
    assert main(["up", "--config", "hub.toml"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("hub.toml: is not TOML: ")
    assert "line 1" in said


def test_a_missing_variable_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an empty value would lack besides is left out."""
    (tmp_path / "hub.toml").write_text(SHOP.replace("tokentoken", "${NO_SUCH_VARIABLE}"))
    assert main(["up", "--config", "hub.toml"]) == 2
    said = capsys.readouterr().err
    assert said == "hub.toml: accounts.shop.token: the environment has no NO_SUCH_VARIABLE\n"


def test_a_port_that_is_taken(config: str, database_url: str, monkeypatch, capsys) -> None:
    """Another program's answer must not look like the hub's."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("HUB_PORT", str(other.getsockname()[1]))
        assert main(["up", "--config", config, "--once"]) == 2
        assert "is taken by another program" in capsys.readouterr().err
        assert main(["web", "--config", config]) == 1
        assert "HUB_PORT chooses another port" in capsys.readouterr().err


def test_a_route_knows_the_channel_of_the_account(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--account shop` is enough for a rule about its channel."""
    assert main(["route", "--config", config, "--explain", "--account", "shop"]) == 0
    assert "→ rule 1   sales            takes it" in capsys.readouterr().out


def test_a_route_for_an_unknown_account(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not taken for one that no rule is about."""
    assert main(["route", "--config", config, "--account", "shpo"]) == 1
    assert capsys.readouterr().err == "there is no account shpo; there are shop\n"


def test_channels_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """A Chinese character takes two cells."""
    assert main(["channels"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    place = head.index("FROM")
    assert lines
    for line in lines:
        before = line[: line.index("messaging-hub")]
        assert len(before) + sum(ord(one) > 0x2E80 for one in before) == place


class TestDatabase:
    """Commands that need a database."""

    @pytest.fixture(autouse=True)
    def database(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", database_url)

    def test_a_hub_that_stands_still(self, config: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing is wrong with accounts and helpdesks, and yet nothing moves: that is said."""
        assert main(["status", "--config", config]) == 0
        said = capsys.readouterr().out
        assert "No web process runs" in said
        assert "No worker runs" in said
        assert said.endswith("running: no web, no worker\n")

    def test_made_listed_revoked(self, config: str, capsys: pytest.CaptureFixture[str]) -> None:
        """The token alone is on standard output, so that a script can keep it."""
        assert main(["token", "--config", config, "create", "desk", "--queue", "sales"]) == 0
        made = capsys.readouterr().out.strip()
        assert made.startswith("hub_live_")
        assert main(["token", "--config", config, "list"]) == 0
        head, line = capsys.readouterr().out.splitlines()
        assert head.split() == ["ID", "NAME", "SCOPES", "QUEUES", "USED"]
        own = line.split()[0]
        assert main(["token", "--config", config, "revoke", own]) == 0
        assert main(["token", "--config", config, "revoke", own]) == 1

    def test_for_a_queue_that_is_not_there(
        self, config: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A token that sees nothing would be found out much later."""
        assert main(["token", "--config", config, "create", "desk", "--queue", "salse"]) == 1
        assert "there is no queue salse; there are inbox, sales" in capsys.readouterr().err

    def test_for_no_time(self, config: str, capsys: pytest.CaptureFixture[str]) -> None:
        """0 days are not for ever."""
        with pytest.raises(SystemExit):
            main(["token", "--config", config, "create", "desk", "--days", "0"])
        assert "less than 1" in capsys.readouterr().err

    def test_replay_for_an_unknown_destination(
        self, config: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A misspelt name is not "nothing to do"."""
        assert main(["replay", "--config", config, "--dead", "dsek"]) == 1
        assert "there is no destination dsek; there are desk" in capsys.readouterr().err


async def _answer_405(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("is_there", [True, False])
async def test_check_tries_helpdesks_too(
    is_there: bool, tmp_path: Path, database_url: str, monkeypatch, capsys
) -> None:
    """Whether the URL answers at all; no event is sent."""
    desk = await asyncio.start_server(_answer_405, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{desk.sockets[0].getsockname()[1]}/hooks/hub"
    if not is_there:
        desk.close()
        await desk.wait_closed()
    path = tmp_path / "desk.toml"
    text = DESK.replace("https://desk.example.com/hub", url)
    path.write_text(f"{text}allow_private = true\n")
    monkeypatch.setenv("DATABASE_URL", database_url)
    status = await asyncio.to_thread(main, ["check", "--config", str(path), "desk"])
    said = capsys.readouterr().out
    assert status == (0 if is_there else 1)
    assert (f"✓ URL: {url} answers\n" in said) is is_there
    desk.close()


def test_check_knows_the_events(tmp_path: Path, monkeypatch, capsys) -> None:
    """A helpdesk that wants a misspelt event would wait for it for ever: nothing starts with it."""
    path = tmp_path / "desk.toml"
    path.write_text(f'{DESK}events = ["message.recieved", "message.status"]\n')
    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere/hub")
    assert main(["check", "--config", str(path), "desk"]) == 2
    said = capsys.readouterr().err
    assert "destinations.desk.events: found 'message.recieved', wants of ['account.state', " in said


def test_up_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence that names the place and a way out, and no traceback."""
    (tmp_path / "var").write_text("a file is no folder")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("HUB_DATA_DIR", str(tmp_path / "var"))
    assert main(["up", "--once"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"hub up: {tmp_path}/var: File exists; HUB_DATA_DIR=FOLDER names")


def test_the_demos_settings_are_readable() -> None:
    """By people too: Chinese stands as it is written, and whatever is in a text comes back."""
    text = '您好，"欢迎"\\\n\x7f'
    written = account_toml("shop", "wechat", welcome=text, lines=["一"], fast=True)
    assert "您好，" in written
    expected = {"channel": "wechat", "welcome": text, "lines": ["一"], "fast": True}
    assert tomllib.loads(written)["accounts"]["shop"] == expected


def test_the_demo_keeps_what_was_added(tmp_path: Path) -> None:
    """What stands below the line survives the next start."""
    path = tmp_path / "demo.toml"
    assert _kept(path) == ""
    path.write_text(f"[hub]\n{_YOURS}\n{DESK}")
    assert _kept(path) == DESK


async def test_check_lets_a_stopped_account_run_again(
    tmp_path: Path, database_url: str, monkeypatch, capsys
) -> None:
    """What was wrong may have been on the platform's side, so no setting has to change."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    wechat = WeChatSimulator(callback_url="http://127.0.0.1:1/")
    await wechat.start()
    facts = asdict(wechat.credentials) | {"api_base": wechat.api_base}
    lines = [f"{name} = {json.dumps(value)}" for name, value in facts.items()]
    path = tmp_path / "shop.toml"
    path.write_text(
        '[hub]\npublic_url = "https://hub.example.com"\n[accounts.shop]\nchannel = "wechat"\n'
        + "\n".join(lines)
    )
    async with opened(path, "web") as core:
        assert await core.accounts.stop_account("shop", "40164")
    for told in (True, False):
        assert await asyncio.to_thread(main, ["check", "--config", str(path)]) == 0
        assert ("✓ it was stopped; now it sends again" in capsys.readouterr().out) is told
    await wechat.stop()


async def test_a_demo_that_fails_says_so_in_one_sentence(tmp_path: Path) -> None:
    """With the end of the log, and without a traceback."""

    class Fails:
        async def join(self, token: str) -> None:
            raise TimeoutError("no answer")

    up = _Up(tmp_path, None, {}, 1, True)
    up.log.write_text("the last words\n")
    with pytest.raises(ServerError, match="did not come back") as told:
        await up._show_demo(Fails(), load(None, {}), "token")
    assert str(told.value).endswith("the last words")

"""The documentation is true: complete, without dead links, and its code runs."""

import ast
import importlib.util
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from hub import errors, model
from hub.channel import Channel
from hub.cli import COMMANDS
from hub.model import AttachmentState, MessageKind
from hub.registry import installed
from hub.replies import ReplyRequest
from hub.replies import errors as reply_errors
from hub.settings import load
from hub.signing import Signer
from hub.web.catalogue import EVENTS
from hub.web.endpoint import _BODY_PROBLEMS
from hub.web.shapes import Message

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FRONT = [
    ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md")
]
PAGES = [*FRONT, *sorted(DOCS.rglob("*.md"))]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
HUBCTL_COMMANDS = {"test", "lint", "chaos", "bench"}
NOT_FOR_USERS = {"HUB_FAILPOINT", "HUB_SHARED"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(*parts: str) -> str:
    return DOCS.joinpath(*parts).read_text(encoding="utf-8")


def block(text: str, mark: str) -> str:
    """The code block below the comment *mark*."""
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found, mark
    return found[1]


# --- complete ---------------------------------------------------------------------------------------


def test_generated_pages_are_fresh() -> None:
    """Settings, commands, channels and events stand there as the code tells them.

    To mend: .venv/bin/python docs/generate.py
    """
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    assert spec
    assert spec.loader
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.stale() == []


def test_every_environment_variable_is_documented() -> None:
    """Those that the code reads, and no other."""
    sources = [ROOT / "hubctl", *(ROOT / "hub").rglob("*.py")]
    read = set()
    for source in sources:
        read |= set(re.findall(r"\"(HUB_[A-Z_]+)\"", source.read_text(encoding="utf-8")))
    told = set(
        re.findall(r"^\| `(HUB_[A-Z_]+)`", text_of("reference", "settings.md"), re.MULTILINE)
    )
    assert sorted(read - told - NOT_FOR_USERS) == []
    assert sorted(told - read) == []


def built_in_channels() -> list[str]:
    return [
        one.key
        for one in installed()
        if one.package == "messaging-hub" and isinstance(one.value, Channel)
    ]


@pytest.mark.parametrize("key", built_in_channels())
def test_every_built_in_channel_has_a_page(key: str) -> None:
    """And both front pages lead to it."""
    assert (DOCS / "channels" / f"{key}.md").exists()
    for readme in FRONT[:2]:
        assert f"docs/channels/{key}.md" in readme.read_text(encoding="utf-8")


def test_every_event_type_is_documented() -> None:
    """With a heading of its own."""
    page = text_of("reference", "events.md")
    assert [one.name for one in EVENTS if f"\n## `{one.name}`\n" not in page] == []


def send_errors() -> list[type[errors.SendError]]:
    found = [*vars(errors).values(), *vars(reply_errors).values()]
    kinds = {one for one in found if isinstance(one, type) and issubclass(one, errors.SendError)}
    return sorted(kinds - {errors.SendError}, key=lambda one: one.code)


@pytest.mark.parametrize("kind", send_errors(), ids=lambda kind: kind.code)
def test_every_error_code_is_documented(kind: type[errors.SendError]) -> None:
    """With the sentence that people read."""
    assert f"| `{kind.code}` | {kind().sentence} |" in text_of("reference", "errors.md")


def problem_types() -> Iterator[str]:
    """The literal types of problems in the code of the API."""
    yield from _BODY_PROBLEMS.values()
    yield from (f"file-{state}" for state in get_args(AttachmentState)[2:])
    for source in (ROOT / "hub" / "web").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "Problem",
                "_refusing",
            ):
                kind = node.args[1] if len(node.args) > 1 else None
                if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
                    yield kind.value


@pytest.mark.parametrize("kind", sorted(set(problem_types())))
def test_every_problem_type_is_documented(kind: str) -> None:
    """In the table of the API's answers."""
    _, _, page = text_of("reference", "errors.md").partition("## Answers of the API")
    assert re.search(rf"^\|[^|]*`{kind}`", page, re.MULTILINE)


def test_the_words_of_the_model_are_in_the_glossary() -> None:
    """Each value that travels through the hub has its line."""
    page = text_of("reference", "glossary.md")
    for word in (
        *("Address", "Attachment", "InboundEvent", "Draft", "Message", "Notice", "Receipt"),
        *("Ignored", "Reply", "Allowance", "Checkpoint"),
    ):
        assert word in model.__all__
        assert f"| **{word}** |" in page


def test_every_page_is_on_the_map() -> None:
    """docs/README.md leads to all others."""
    overview = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    assert [page for page in pages if page != "README.md" and f"({page})" not in overview] == []


# --- true -------------------------------------------------------------------------------------------


def links(page: Path) -> list[str]:
    """Where *page* links to within the checkout."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [one for one in found if "://" not in one and not one.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """The anchors of *page*'s headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_link_is_dead(page: Path) -> None:
    """Each leads to a file of the checkout, and to a heading that is there."""
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_names_is_there(page: Path) -> None:
    """Nobody is sent to look for `hubctl restart`."""
    code = "\n".join(CODE.findall(page.read_text(encoding="utf-8")))
    named = set(re.findall(r"(?:\./hubctl|`hub) ([a-z]+)", code))
    assert sorted(named - set(COMMANDS) - HUBCTL_COMMANDS) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_knows_the_machine_it_was_written_on(page: Path) -> None:
    """No path of it."""
    assert not re.search(r"/(work|tmp|root)/", page.read_text(encoding="utf-8"))


def test_the_message_of_the_page_is_one() -> None:
    """It has all fields of a message, and no other."""
    found = re.search(r"```json\n(.*?)```", text_of("reference", "message.md"), re.DOTALL)
    assert found
    facts = json.loads(found[1])
    message = msgspec.convert(facts, Message)
    later = {"status", "status_at", "error"}
    assert set(facts) == set(Message.__struct_fields__) - later
    assert msgspec.to_builtins(message).keys() == facts.keys()


def test_the_reply_of_the_page_has_the_fields_of_a_reply() -> None:
    """Those that the API takes, and the kinds of message too."""
    page = text_of("reference", "message.md")
    table = page.partition("## A reply as JSON")[2]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(ReplyRequest.__struct_fields__)
    assert [kind for kind in get_args(MessageKind) if f"`{kind}`" not in page] == []


# --- the front page's code --------------------------------------------------------------------------


@pytest.fixture(params=FRONT[:2], ids=["english", "chinese"])
def readme(request: pytest.FixtureRequest) -> str:
    return Path(request.param).read_text(encoding="utf-8")


def test_the_settings_of_the_readme_load(
    readme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they stand there, with the variables that they name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk.secret").write_text(f"{SECRET}\n")
    (tmp_path / "hub.toml").write_text(block(readme, "file: hub.toml"), encoding="utf-8")
    settings = load(
        tmp_path / "hub.toml",
        {
            "WECHAT_APP_SECRET": "0123456789abcdef0123456789abcdef",
            "WECHAT_TOKEN": "tokentoken",
            "WECHAT_AES_KEY": "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk",
            "MAIL_PASSWORD": "password",
        },
    )
    assert set(settings.accounts) == {"shop", "support"}
    assert settings.destinations["desk"].allow_private
    assert settings.warnings == ()


class Desk:
    """A receiver of the documentation, running."""

    def __init__(self, code: str) -> None:
        self.names: dict[str, Any] = {"__name__": "receiver"}
        exec(compile(code, "receiver.py", "exec"), self.names)
        self.names["Desk"].log_message = lambda *_words: None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.names["Desk"])
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def post(self, body: bytes, event_id: str, *, secret: str = SECRET) -> int:
        at = int(time.time())
        headers = {
            "webhook-id": event_id,
            "webhook-timestamp": str(at),
            "webhook-signature": Signer([secret]).sign(event_id, at, body),
        }
        url = f"http://127.0.0.1:{self.server.server_port}/hub"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(params=[*FRONT[:2], DOCS / "tutorial" / "first-answer.md"], ids=name_of)
def desk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    """Each receiver of the documentation in turn."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DESK_WEBHOOK_SECRET", SECRET)
    monkeypatch.delenv("HUB_TOKEN", raising=False)
    (tmp_path / "desk.secret").write_text(f"{SECRET}\n")
    running = Desk(block(request.param.read_text(encoding="utf-8"), "file: receiver.py"))
    yield running
    running.close()


def test_the_receivers_take_what_the_hub_signs(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once each; what is signed by somebody else is refused; other types are taken too."""
    conversation = {"id": "cnv_1"}
    message = {"text": "您好", "channel": "wechat", "conversation": conversation}
    body = json.dumps({"type": "message.received", "data": {"message": message}}).encode()
    other = "whsec_" + "A" * 32
    assert [desk.post(body, "evt_1"), desk.post(body, "evt_1")] == [204, 204]
    assert desk.post(body, "evt_2", secret=other) == 401
    assert desk.post(b'{"type": "account.state", "data": {}}', "evt_3") == 204
    assert capsys.readouterr().out == "cnv_1 wechat 您好\n"


def test_both_front_pages_show_the_same_code() -> None:
    """Comments are in the reader's language, the code is one."""
    english, chinese = (page.read_text(encoding="utf-8") for page in FRONT[:2])
    for mark in ("file: hub.toml", "file: receiver.py"):
        bare = [re.sub(r" *# .*", "", block(text, mark)) for text in (english, chinese)]
        assert bare[0] == bare[1]

"""``hub try`` and ``hub compose``: their lines are a promise."""

import io
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct

import hub.offline
from hub.cases import read_request
from hub.channel import Account, Capabilities, Channel, Intake, IntakeRequest, Response, Tools
from hub.errors import NotAuthentic, NotRecognised, WindowClosed
from hub.model import (
    Address,
    Allowance,
    ConversationRef,
    Draft,
    Ignored,
    InboundEvent,
    Message,
    Participant,
    Receipt,
    Reply,
    Result,
    Secret,
)
from hub.offline import compose_command, try_command

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class ParrotSettings(Struct, frozen=True):
    name: Annotated[str, Meta(description="Who says it")]
    key: Annotated[Secret, Meta(description="What proves it")]


class ParrotAdapter:
    """Takes what carries the right key; odd bodies make it misbehave."""

    def __init__(self, account: Account[ParrotSettings], tools: Tools) -> None:
        self._key = account.settings.key.reveal()
        self._clock = tools.clock

    async def accept(self, request: IntakeRequest) -> Intake:
        if request.single("key") != self._key:
            raise NotAuthentic("the key is another one")
        if request.body == b"crash":
            raise RuntimeError("a bug")
        if request.method == "GET":
            return Intake(response=Response(200, b"\xff", {"x-a": "b"}))
        event = InboundEvent(
            dedupe_key="k1", order_key="", body=request.body, received_at=request.received_at
        )
        return Intake((event,), response=Response(204))


def parrot(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    print("a channel that prints")
    if event.body == b"quiet":
        return [Ignored("asked to be quiet")]
    if event.body == b"hostile":
        raise ValueError("a bug")
    extra = {"raw": event.body, "huge": 1 << 70, "odd": "\ud800"} if event.body == b"odd" else {}
    return [
        Message(
            channel="parrot",
            account=account.name,
            kind="text",
            text=event.body.decode("utf-8", "surrogateescape"),
            sender=Participant("contact", Address("parrot", "", account.settings.name)),
            conversation=ConversationRef(thread_key="t"),
            dedupe_key=event.dedupe_key,
            sent_at=event.received_at,
            extra=extra,
        )
    ]


class ParrotSender:
    def __init__(self, account: Account[ParrotSettings], tools: Tools) -> None:
        self._clock = tools.clock

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        if reply.last_inbound_at and reply.last_inbound_at < datetime(2020, 1, 1, tzinfo=UTC):
            raise WindowClosed("too long ago")
        files = {str(index): one.filename for index, one in enumerate(reply.attachments)}
        return [
            Draft(method="POST", url="https://p.example/say?token=***", json={"say": reply.text}),
            Draft(method="POST", url="https://p.example/files", form=files, note="unseen"),
            Draft(method="SMTP", url="smtp://p.example", body="Subject: hi"),
        ]

    async def send(self, draft: Draft, results: Any) -> Receipt:
        raise AssertionError("offline sends nothing")


PARROT = Channel(
    key="parrot",
    title="Parrot",
    settings=ParrotSettings,
    normalize=parrot,
    adapter=ParrotAdapter,
    sender=ParrotSender,
    capabilities=Capabilities(),
    docs_url="docs",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hub.offline, "channels", lambda: {"parrot": PARROT})
    (tmp_path / "parrot.toml").write_text('name = "Polly"\nkey = "cracker-1"\n')
    return tmp_path


def run(command: Any, folder: Path, *arguments: str, settings: str = "parrot.toml") -> Any:
    """(exit status, the lines as JSON)"""
    out = io.BytesIO()
    status = command(["parrot", "--settings", str(folder / settings), *arguments], out)
    return status, [json.loads(line) for line in out.getvalue().splitlines()]


def case(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def post(body: bytes, key: str = "cracker-1") -> bytes:
    return f"POST /in/parrot/p?key={key} HTTP/1.1\nHost: x\n\n".encode() + body


def test_an_accepted_case(folder: Path) -> None:
    """The whole line, field by field; what only the core knows is null."""
    path = case(folder, "a.http", post("你好".encode()))
    status, lines = run(try_command, folder, "--now", "2026-01-02T03:04:05Z", path)
    assert status == 0
    assert lines == [
        {
            "case": path,
            "accepted": True,
            "response": {"status": 204, "headers": {}, "body": ""},
            "events": [{"dedupe_key": "k1", "body": "你好"}],
            "results": [
                {
                    "type": "Message",
                    "id": None,
                    "channel": "parrot",
                    "account": "parrot",
                    "direction": "inbound",
                    "seq": None,
                    "kind": "text",
                    "text": "你好",
                    "html": None,
                    "subject": None,
                    "sender": {
                        "role": "contact",
                        "address": {"scheme": "parrot", "scope": "", "value": "Polly"},
                        "name": None,
                    },
                    "conversation": {
                        "id": None,
                        "thread_key": "t",
                        "is_group": False,
                        "queue": None,
                    },
                    "external_id": None,
                    "dedupe_key": "k1",
                    "in_reply_to": None,
                    "sent_at": "2026-01-02T03:04:05Z",
                    "received_at": None,
                    "attachments": [],
                    "location": None,
                    "choice": None,
                    "reply": None,
                    "extra": {},
                }
            ],
            "error": None,
        }
    ]


def test_refused_and_broken_cases_are_lines_like_any_other(folder: Path) -> None:
    """In the order given, each with what the platform would get; the command itself succeeds."""
    paths = [
        case(folder, "forged.http", post(b"x", key="wrong")),
        case(folder, "twice.http", b"POST /in/parrot/p?key=a&key=b HTTP/1.1\n\n"),
        case(folder, "noise.http", b"\x00\xff\n\n"),
        case(folder, "bug.http", post(b"crash")),
        case(folder, "hostile.http", post(b"hostile")),
        str(folder / "missing.http"),
        case(folder, "last.http", post(b"last")),
    ]
    status, lines = run(try_command, folder, *paths)
    assert status == 0
    assert [line["case"] for line in lines] == paths
    shown = [
        (one["accepted"], (one["response"] or {}).get("status"), (one["error"] or {}).get("class"))
        for one in lines
    ]
    assert shown == [
        (False, 403, "NotAuthentic"),
        (False, 403, "NotAuthentic"),
        (False, 400, "NotRecognised"),
        (False, 400, "RuntimeError"),
        (True, 204, "ValueError"),
        (False, None, "FileNotFoundError"),
        (True, 204, None),
    ]
    assert lines[0]["error"] == {"class": "NotAuthentic", "detail": "the key is another one"}
    assert lines[0]["response"]["body"] == "forbidden"


def test_what_is_not_utf8_is_base64(folder: Path) -> None:
    """In the response and in the event's body."""
    paths = [
        case(folder, "get.http", b"GET /in/parrot/p?key=cracker-1 HTTP/1.1\r\n\r\n"),
        case(folder, "post.http", post(b"\xff\x00")),
    ]
    _status, (get, sent) = run(try_command, folder, *paths)
    assert get["response"] == {"status": 200, "headers": {"x-a": "b"}, "body": {"base64": "/w=="}}
    assert get["events"] == []
    assert sent["events"][0]["body"] == {"base64": "/wA="}


def test_facts_that_json_cannot_hold(folder: Path) -> None:
    """Bytes, huge numbers and lone surrogates are shown as well as they can be."""
    _status, (line,) = run(try_command, folder, case(folder, "odd.http", post(b"odd")))
    assert line["results"][0]["extra"] == {
        "raw": "odd",
        "huge": "1180591620717411303424",
        "odd": "\ufffd",
    }
    assert line["results"][0]["sender"]["address"]["value"] == "Polly"


def test_mails_and_proven_bodies_skip_the_adapter(folder: Path) -> None:
    """The key is the sha256 of the bytes; there is no response, since nobody asked."""
    mail = case(folder, "a.eml", b"quiet")
    _status, (line,) = run(try_command, folder, mail)
    _status, (proven,) = run(try_command, folder, "--proven", case(folder, "a.json", b"quiet"))
    assert (line["accepted"], line["response"]) == (True, None)
    assert line["events"][0]["dedupe_key"].startswith("sha256:")
    assert line["results"] == [{"type": "Ignored", "reason": "asked to be quiet", "extra": {}}]
    assert {**proven, "case": mail} == line


def test_nothing_else_is_on_standard_output(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Not even what a channel prints."""
    path = case(folder, "a.http", post(b"x"))
    assert try_command(["parrot", "--settings", str(folder / "parrot.toml"), path]) == 0
    printed = capfdbinary.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert b"a channel that prints" in printed.err


def test_thousands_of_cases(folder: Path) -> None:
    """They are shown as they come, all of them."""
    path = case(folder, "a.http", post(b"x"))
    _status, lines = run(try_command, folder, *([path] * 3000))
    assert len(lines) == 3000


@pytest.mark.parametrize(
    "text,account",
    [
        ('name = "Polly"\nkey = "k"', "parrot"),
        ('[settings]\nname = "Polly"\nkey = "k"', "parrot"),
        ('[accounts.pet]\nchannel = "parrot"\nname = "Polly"\nkey = "k"', "pet"),
        (
            '[hub]\nport = 1\n[accounts.shop]\nchannel = "wechat"\n'
            '[accounts.pet]\nchannel = "parrot"\nwhen_closed = "fail"\nname = "P"\nkey = "k"',
            "pet",
        ),
    ],
)
def test_settings_flat_or_in_tables(folder: Path, text: str, account: str) -> None:
    """Flat, under [settings], or an account of a whole configuration."""
    (folder / "s.toml").write_text(text)
    path = case(folder, "a.json", b"x")
    status, (line,) = run(try_command, folder, "--proven", path, settings="s.toml")
    assert (status, line["results"][0]["account"]) == (0, account)


@pytest.mark.parametrize(
    "text,told",
    [
        ("name = ", "s.toml: "),
        ('name = "Polly"', "key: is missing"),
        ('name = 7\nkey = "k"\nwings = 2', "wings: unknown setting"),
        ('[accounts.a]\nname="a"\nkey="a"\n[accounts.b]\nname="b"\nkey="b"', "--account"),
        ('[accounts.a]\nchannel = "other"', "accounts of channel parrot: none"),
    ],
)
def test_a_command_that_cannot_run_says_why(
    folder: Path, text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, every mistake on standard error, nothing on standard output."""
    (folder / "s.toml").write_text(text)
    status, lines = run(try_command, folder, case(folder, "a.http", b""), settings="s.toml")
    assert (status, lines) == (2, [])
    assert told in capsys.readouterr().err


def test_an_unknown_channel(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ones that are installed are named."""
    assert try_command(["eagle", "--settings", "s.toml", "a.http"]) == 2
    assert "there are: parrot" in capsys.readouterr().err


# --- compose ----------------------------------------------------------------------------------------

TO = {"scheme": "parrot", "scope": "", "value": "Polly"}


def reply(folder: Path, name: str = "r.json", **content: Any) -> str:
    return case(folder, name, json.dumps({"to": TO, **content}).encode())


def test_compose_prints_the_calls(folder: Path) -> None:
    """Method, URL, headers and the one body that there is, nothing else."""
    path = reply(folder, text="hi", last_inbound_at="2026-01-01T00:00:00Z")
    status, lines = run(compose_command, folder, path)
    assert status == 0
    assert lines == [
        {
            "case": path,
            "drafts": [
                {
                    "method": "POST",
                    "url": "https://p.example/say?token=***",
                    "headers": {},
                    "json": {"say": "hi"},
                },
                {"method": "POST", "url": "https://p.example/files", "headers": {}, "form": {}},
                {
                    "method": "SMTP",
                    "url": "smtp://p.example",
                    "headers": {},
                    "body": "Subject: hi",
                },
            ],
            "error": None,
        }
    ]


def test_files_are_found_beside_the_reply(folder: Path) -> None:
    """A relative path counts from the reply's folder."""
    (folder / "a.png").write_bytes(b"PNG")
    _status, (line,) = run(
        compose_command, folder, reply(folder, attachments=[{"kind": "image", "path": "a.png"}])
    )
    assert line["drafts"][1]["form"] == {"0": "a.png"}


@pytest.mark.parametrize(
    "content,error",
    [
        ({"text": "x", "last_inbound_at": "2019-01-01T00:00:00Z"}, "WindowClosed"),
        ({"text": "x", "last_inbound_at": "2019-01-01T00:00:00"}, "WindowClosed"),
        ({"text": "x", "shout": True}, "NotRecognised"),
        ({"text": 7}, "ValidationError"),
        ({"attachments": [{"path": "missing.png"}]}, "FileNotFoundError"),
    ],
)
def test_a_reply_that_cannot_be_said(folder: Path, content: Any, error: str) -> None:
    """The error is a line, and the next reply is shown all the same."""
    paths = [reply(folder, **content), reply(folder, "next.json", text="hi")]
    status, lines = run(compose_command, folder, *paths)
    assert status == 0
    assert [(line["error"] or {}).get("class") for line in lines] == [error, None]
    assert lines[0]["drafts"] == []


# --- captured requests ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_head_may_end_its_lines_either_way(end: bytes) -> None:
    """The body is everything after the blank line, to the byte."""
    head = end.join([b"POST /a/b?x=1&y=%20 HTTP/1.1", b"Host: h", b"X-A: 1", b"x-a: 2", b"", b""])
    request = read_request(head + b"\r\n body\n", NOW)
    assert (request.method, request.path, request.query) == ("POST", "/a/b", "x=1&y=%20")
    assert request.headers == {"host": "h", "x-a": "1, 2"}
    assert request.body == b"\r\n body\n"


@pytest.mark.parametrize(
    "line,path,query",
    [
        (b"GET /", "/", ""),
        (b"GET https://hub.example/in/a?b=c HTTP/1.1", "/in/a", "b=c"),
        (b"GET /a?b=c#d HTTP/1.1", "/a", "b=c"),
        ("GET /a?b=é HTTP/1.1".encode(), "/a", "b=é"),
    ],
)
def test_targets(line: bytes, path: str, query: str) -> None:
    """Origin form, and the absolute form that proxies write."""
    request = read_request(line, NOW)
    assert (request.path, request.query, request.body) == (path, query, b"")


@pytest.mark.parametrize("data", [b"", b"\n\n", b"x", b"GET", b"GET \n\n", b"\xff\xfe /"])
def test_no_request_line(data: bytes) -> None:
    """A case that is no request is NotRecognised."""
    with pytest.raises(NotRecognised):
        read_request(data, NOW)

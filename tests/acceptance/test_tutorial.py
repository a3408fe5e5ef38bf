"""The tutorial works as it stands there: `hub up` in an empty folder, its receiver, its commands."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tutorial" / "first-answer.md").read_text(encoding="utf-8")
PYTHON = shlex.quote(sys.executable)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def block(mark: str) -> str:
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found, mark
    return found[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(look: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """What *look* finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"no {what} after {seconds:g} s")


def call(url: str, body: Any = None, **headers: str) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def _hears_ctrl_c() -> None:
    """What runs in the background of a shell ignores it, and would pass that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Reader:
    """Somebody who does what the page says, in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub_port, self.desk_port = free_port(), free_port()
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HUB_", "DATABASE_", "REDIS_"))
        } | {"HUB_PORT": str(self.hub_port), "PORT": str(self.desk_port)}
        self.running: list[subprocess.Popen[bytes]] = []

    @property
    def hub(self) -> str:
        return f"http://127.0.0.1:{self.hub_port}"

    def start(self, log: str, *command: str, **environment: str) -> Path:
        """Leave *command* running; what it says is in the file that is returned."""
        path = self.folder / log
        with path.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment | environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=_hears_ctrl_c,
            )
        self.running.append(process)
        return path

    def stop_last(self) -> None:
        """End what was started last."""
        process = self.running.pop()
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def run(self, script: str, **environment: str) -> str:
        """The output of the page's shell commands, with this test's ports in place of its own."""
        script = script.replace("./hubctl", f"{PYTHON} -P -m hub")
        script = script.replace("127.0.0.1:8080", f"127.0.0.1:{self.hub_port}")
        script = script.replace("127.0.0.1:9000", f"127.0.0.1:{self.desk_port}")
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    folder = tmp_path / "an empty folder"
    folder.mkdir()
    one = Reader(folder)
    yield one
    while one.running:
        one.stop_last()


def phone(reader: Reader) -> tuple[str, str]:
    """The simulated platform's address, and a customer of it."""
    facts = tomllib.loads((reader.folder / "var" / "demo.toml").read_text(encoding="utf-8"))
    platform = facts["accounts"]["shop"]["api_base"]
    (first, *_) = call(f"{platform}/_control/log?kind=push")["entries"]
    return platform, first["openid"]


def heard(platform: str, openid: str) -> list[str]:
    bubbles = call(f"{platform}/_control/customers/{openid}")["bubbles"]
    return [one["text"] for one in bubbles if one["author"] == "account"]


def settings_in_force(reader: Reader) -> bool:
    """Whether web and worker have seen the changed file."""
    report = json.loads(reader.run("./hubctl status --json"))
    alive = [one for one in report["processes"] if one["kind"] in ("web", "worker")]
    return len(alive) == 2 and all(one["settings_in_force"] for one in alive)


def test_the_tutorial(reader: Reader) -> None:
    """From nothing to an answer on the customer's phone; again is not twice; then by itself."""
    said = reader.start("up.log", sys.executable, "-P", "-m", "hub", "up")
    wait_for(lambda: "ctrl-C stops everything" in said.read_text(), "hub", 120)
    platform, customer = phone(reader)

    secret = re.search(r'^echo "whsec_.*$', PAGE, re.MULTILINE)
    assert secret
    reader.run(secret[0])
    (reader.folder / "receiver.py").write_text(block("file: receiver.py"), encoding="utf-8")
    key = (reader.folder / "desk.secret").read_text().strip()
    desk = reader.start("desk.log", sys.executable, "receiver.py", DESK_WEBHOOK_SECRET=key)
    reader.run(block("demo.toml"))
    assert "mine" in reader.run("./hubctl status")
    wait_for(lambda: settings_in_force(reader), "change of the settings")

    push = {"kind": "text", "openid": customer, "content": "这款灯还有货吗？"}
    assert call(f"{platform}/_control/push", push)["outcome"] == "acked"
    conversation, channel, text = wait_for(desk.read_text, "event").split()
    assert (channel, text) == ("wechat", "这款灯还有货吗？")

    before = len(heard(platform, customer))
    answer = re.sub(r"cnv_\w+", conversation, block("answer"))
    assert json.loads(reader.run(answer))["status"] == "queued"
    wait_for(lambda: len(heard(platform, customer)) > before, "answer")
    reader.run(answer)
    assert heard(platform, customer)[before:] == ["有的，今天就可以来取。"]

    reader.stop_last()
    token = reader.run('./hubctl token create "My helpdesk"').strip()
    facts = {"DESK_WEBHOOK_SECRET": key, "HUB_TOKEN": token, "HUB": reader.hub}
    reader.start("desk.log", sys.executable, "receiver.py", **facts)
    call(f"{platform}/_control/push", push | {"content": "hello"})
    wait_for(lambda: "You said: hello" in heard(platform, customer), "answer of its own")

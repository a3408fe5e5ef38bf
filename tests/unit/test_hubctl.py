"""The script that makes the environment: from nothing, again, interrupted, and two at once.

Each test has a checkout of its own: this hubctl, and a project as small as one can be. The first test
uses pip itself; the others a quick one that only notes where the project is, since pip takes seconds.
"""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "small"
version = "1"
"""

BACKEND = """
import os, zipfile
from pathlib import Path

INFO = "small-1.dist-info"

def build_editable(folder, *ignored):
    with zipfile.ZipFile(Path(folder, "small-1-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("small.pth", os.getcwd())
        wheel.writestr(f"{INFO}/METADATA", "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\n")
        wheel.writestr(f"{INFO}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{INFO}/RECORD", "")
    return "small-1-py3-none-any.whl"
"""

QUICK_PIP = """
import sys, time
from pathlib import Path

arguments = sys.argv[1:]
if arguments == ["--version"]:
    sys.exit(print("pip 99.0 from nowhere"))
assert arguments[0] == "--python"
if "-r" in arguments:
    lock = Path(arguments[arguments.index("-r") + 1])
    print("Collecting everything")
    while (lock.parent.parent / "wait").exists():
        time.sleep(0.01)
    if lock.read_text().strip():
        sys.exit("cannot be had: " + lock.read_text())
else:
    venv = Path(arguments[1]).parent.parent
    site_packages = next(venv.glob("lib/python*/site-packages"))
    (site_packages / "small.pth").write_text(arguments[arguments.index("-e") + 1])
"""

HUB = "import os, sys; print(sys.argv[1:], os.getcwd()); sys.exit(int(os.environ.get('EXIT', 0)))"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "a check out"
    (root / "hub").mkdir(parents=True)
    (root / "requirements").mkdir()
    shutil.copy(ROOT / "hubctl", root)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "backend.py").write_text(BACKEND)
    (root / "hub" / "__init__.py").touch()
    (root / "hub" / "__main__.py").write_text(HUB)
    for name in ("run", "dev"):
        (root / "requirements" / f"{name}.txt").write_text("")
    return root


@pytest.fixture(scope="module")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the quick pip."""
    return bare_python(tmp_path_factory.mktemp("quick"), pip=QUICK_PIP)


def bare_python(folder: Path, pip: str | None = None) -> Path:
    """A Python without pip, or with the given text for one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    if pip is not None:
        package = next(folder.glob("lib/python*/site-packages")) / "pip"
        package.mkdir()
        (package / "__main__.py").write_text(pip)
    return folder / "bin" / "python"


@pytest.fixture
def run(checkout: Path, quick_python: Path) -> Run:
    """Runs the checkout's hubctl, from another folder."""

    def call(
        *arguments: str, python: Path | str = quick_python, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, checkout / "hubctl", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=checkout.parent,
            env=clean_environment() | environment,
        )

    return call


def clean_environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("HUB_", "PYTHON"))
    }


def site_packages(checkout: Path) -> Path:
    return next(checkout.glob(".venv/lib/python*/site-packages"))


def test_the_first_run_makes_the_environment(checkout: Path, run: Run) -> None:
    """Standard output holds what the command says and nothing else; progress goes to standard error."""
    outcome = run("try", "a b", "--json", python=sys.executable)
    assert outcome.stdout == f"['try', 'a b', '--json'] {checkout.parent}\n"
    assert "environment ready" in outcome.stderr
    assert outcome.returncode == 0


def test_the_second_run_does_nothing(run: Run) -> None:
    """In well under a second the command runs."""
    run()
    took = []
    for _ in range(3):  # a busy machine may stand still once
        started = time.monotonic()
        assert run().stderr == ""
        took.append(time.monotonic() - started)
    assert min(took) < 1


def test_the_exit_status_is_the_commands(run: Run) -> None:
    """hubctl is replaced by the command, and leaves nothing around it."""
    assert run(EXIT="7").returncode == 7


def test_the_folder_of_the_user_is_not_the_program(checkout: Path, run: Run) -> None:
    """A folder `hub` where the user stands is not what runs."""
    (checkout.parent / "hub").mkdir()
    (checkout.parent / "hub" / "__main__.py").write_text("print('the wrong one')")
    assert run("up").stdout.startswith("['up']")


def test_an_interrupted_installation_is_made_anew(checkout: Path, run: Run) -> None:
    """Without the stamp, which is written last, nothing in the environment is trusted."""
    run()
    (checkout / ".venv" / "hubctl.json").unlink()
    half = site_packages(checkout) / "half.py"
    half.write_text("only half of i")
    outcome = run("up")
    assert outcome.stdout.startswith("['up']")
    assert "incomplete" in outcome.stderr
    assert not half.exists()


def test_killed_while_it_installs(checkout: Path, run: Run, quick_python: Path) -> None:
    """The next run waits for the pip that goes on, and then does its own work."""
    (checkout / "wait").touch()
    first = subprocess.Popen(
        [quick_python, checkout / "hubctl"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    wait_for(lambda: list(checkout.glob(".venv/lib/python*/site-packages")))
    first.send_signal(signal.SIGKILL)
    first.wait()
    (checkout / "wait").unlink()
    assert run("up").stdout.startswith("['up']")
    assert first.stderr is not None
    first.stderr.close()


def test_two_at_once(checkout: Path, quick_python: Path) -> None:
    """One installs, the other waits for it and finds everything done."""
    (checkout / "wait").touch()
    both = [
        subprocess.Popen(
            [quick_python, checkout / "hubctl", "up"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )
        for _ in range(2)
    ]
    time.sleep(0.5)
    (checkout / "wait").unlink()
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all(out.startswith("['up']") for out, _ in said)
    assert sum("environment ready" in progress for _, progress in said) == 1


def test_a_change_of_the_project_is_noticed(checkout: Path, run: Run) -> None:
    """New entry points are registered without installing the packages again."""
    run()
    (checkout / "pyproject.toml").write_text(PYPROJECT.replace("[project]", "# changed\n[project]"))
    progress = run().stderr
    assert "environment ready" in progress
    assert "installing" not in progress


def test_a_change_of_the_lock_is_noticed(checkout: Path, run: Run) -> None:
    """What the lock names is installed, and what was added by hand stays."""
    run()
    (site_packages(checkout) / "by_hand.py").touch()
    (checkout / "requirements" / "run.txt").write_text("\n")
    assert "installing" in run().stderr
    assert (site_packages(checkout) / "by_hand.py").exists()


def test_a_moved_checkout(checkout: Path, run: Run, quick_python: Path) -> None:
    """The environment holds its old path, so it is made anew."""
    run()
    moved = checkout.rename(checkout.with_name("elsewhere"))
    outcome = subprocess.run(
        [moved / "hubctl", "up"],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    assert outcome.stdout.startswith("['up']")


def test_tests_add_to_the_environment(checkout: Path, run: Run) -> None:
    """What tests need is installed once; the environment then serves every command."""
    run()
    outcome = run("test")
    assert "No module named pytest" in outcome.stderr
    assert run().stderr == ""
    stamp = json.loads((checkout / ".venv" / "hubctl.json").read_text())
    assert {"run", "dev"} <= stamp.keys()


def test_an_environment_elsewhere(checkout: Path, run: Run) -> None:
    """HUB_VENV names it."""
    assert run("up", HUB_VENV=str(checkout.parent / "other")).stdout.startswith("['up']")
    assert not (checkout / ".venv").exists()


def test_somebody_elses_folder(checkout: Path, run: Run) -> None:
    """What hubctl has not made it never removes."""
    theirs = checkout.parent / "theirs"
    theirs.mkdir()
    (theirs / "novel.txt").touch()
    outcome = run(HUB_VENV=str(theirs))
    assert outcome.returncode == 1
    assert "was not made by hubctl" in outcome.stderr
    assert [path.name for path in theirs.iterdir()] == ["novel.txt"]


def test_a_package_that_cannot_be_had(checkout: Path, run: Run) -> None:
    """All that pip said is shown, and the next run tries again."""
    lock = checkout / "requirements" / "run.txt"
    lock.write_text("nowhere.whl")
    outcome = run()
    assert outcome.returncode == 1
    assert "nowhere.whl" in outcome.stderr
    assert outcome.stdout == ""
    lock.write_text("")
    assert run("up").stdout.startswith("['up']")


def test_settings_of_pip_that_mislead(checkout: Path, run: Run) -> None:
    """A user's habit of installing elsewhere does not lead the packages astray."""
    misleading = {
        "PIP_USER": "1",
        "PIP_REQUIRE_HASHES": "1",
        "PIP_TARGET": str(checkout.parent / "target"),
        "PYTHONPATH": "/nowhere",
    }
    outcome = run("up", python=sys.executable, **misleading)
    assert outcome.stdout.startswith("['up']")
    assert not (checkout.parent / "target").exists()


def test_a_python_without_pip(checkout: Path, run: Run) -> None:
    """Python's own copy is used where there is one; else the message says what to install."""
    outcome = run("up", python=bare_python(checkout.parent / "bare"), PATH="/nowhere")
    if (Path(os.__file__).parent / "ensurepip").exists():
        assert outcome.stdout.startswith("['up']"), outcome.stderr
    else:
        assert "apt-get install python3-pip" in outcome.stderr


def test_nothing_to_install_from(checkout: Path, run: Run) -> None:
    """Neither pip nor ensurepip: one line says what is missing and how to get it."""
    python = bare_python(checkout.parent / "bare", pip="print('pip 22.2 from a time before')")
    hidden = python.parent.parent / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys; sys.modules['ensurepip'] = None")
    outcome = run(python=python, PATH="/nowhere", PYTHONPATH=str(hidden))
    assert outcome.returncode == 1
    assert outcome.stderr.splitlines()[-1].startswith("hubctl: pip 22.3 or later is needed")


def test_a_python_too_old(checkout: Path) -> None:
    """It can still read the file, and says which one is needed."""
    ast.parse((ROOT / "hubctl").read_text(), feature_version=(3, 6))
    pretend = "import sys, runpy; sys.version_info = (3, 10, 14); runpy.run_path(sys.argv[1])"
    outcome = subprocess.run(
        [sys.executable, "-c", pretend, checkout / "hubctl"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.stderr.startswith("hubctl: Python 3.11 or later is needed")
    assert outcome.returncode == 1


@pytest.mark.parametrize("name", ["chaos", "bench"])
def test_tools_of_the_tests(checkout: Path, run: Run, name: str) -> None:
    """They run where the user stands, and import their own modules by either name."""
    folder = checkout / "tests" / name
    folder.mkdir(parents=True)
    (folder / "words.py").write_text("import sys; said = sys.argv[1:]")
    (folder / "__main__.py").write_text(
        f"import words\nfrom {name} import words\nprint(words.said)"
    )
    assert run(name, "--json").stdout == "['--json']\n"


def test_lint_knows_its_checks(run: Run) -> None:
    """A misspelt one is an error, not a check that passes."""
    outcome = run("lint", "mypi")
    assert outcome.returncode == 1
    assert "there are ruff, format, mypy, imports" in outcome.stderr


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)

"""Who may import whom, beyond what the import contracts can say."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("hub", "adapters", "normalizers", "outbound", "sandbox")

ONLY_HERE = {
    "aiohttp.web": ("hub/web/", "hub/testing/", "sandbox/"),
    "arq": ("hub/jobs", "hub/worker"),
    "asyncpg": ("hub/store/",),
    "tortoise": ("hub/store/",),
}
"""Which library is known in which places only."""


def modules() -> list[str]:
    return [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in ROOT.glob(f"{package}/**/*.py")
    ]


def imported_by(path: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def on_floors() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    floors = next(
        each for each in settings["tool"]["importlinter"]["contracts"] if each["id"] == "floors"
    )
    return {
        name.strip("() \n")
        for floor in floors["layers"]
        for name in floor.replace("|", ":").split(":")
    }


def test_every_module_of_the_hub_stands_on_a_floor() -> None:
    """A new module is put on a floor in pyproject.toml, or the contracts would not see it."""
    found = {f"hub.{path.stem}" for path in (ROOT / "hub").iterdir() if is_module(path)}
    assert sorted(found - on_floors()) == []


def is_module(path: Path) -> bool:
    return (path.is_dir() and any(path.glob("*.py"))) or (
        path.suffix == ".py" and not path.stem.startswith("_")
    )


@pytest.mark.parametrize("library", ONLY_HERE)
def test_a_library_is_known_in_its_place_only(library: str) -> None:
    """What the web server, the queue and the database are, only one part each knows."""
    elsewhere = [
        path
        for path in modules()
        if not path.startswith(ONLY_HERE[library])
        and any(f"{name}.".startswith(f"{library}.") for name in imported_by(path))
    ]
    assert elsewhere == []


def test_the_blocking_wechat_client_is_not_used() -> None:
    """wechatpy describes calls; what would send them blocks the event loop."""
    assert [path for path in modules() if "requests" in set(imported_by(path))] == []

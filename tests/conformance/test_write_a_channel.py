"""The code of docs/how-to/write-a-channel.md runs as it stands there."""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from hub.testing import checks

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-channel.md"
BLOCK = re.compile(r"<!-- file: (\w+)\.py -->\n```python\n(.*?)```", re.DOTALL)
BLOCKS = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
PUBLIC = {"hub.channel", "hub.model", "hub.errors", "hub.text", "hub.testing"}


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    folder = tmp_path_factory.mktemp("chirp")
    for name, code in BLOCKS.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield {name: importlib.import_module(name) for name in BLOCKS}
    sys.path.remove(str(folder))
    for name in BLOCKS:
        del sys.modules[name]


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.__name__)
async def test_the_channel_of_the_page_conforms(check, modules: dict[str, ModuleType]) -> None:
    """The page's own channel passes with the page's own kit."""
    await check(modules["test_chirp"].KIT)


async def test_the_tests_of_the_page_pass(modules: dict[str, ModuleType]) -> None:
    """So does the test that shows the workbench."""
    found = [
        one for name, one in vars(modules["test_chirp_answers"]).items() if name.startswith("test_")
    ]
    coroutines = [one for one in found if inspect.iscoroutinefunction(one)]
    assert coroutines
    for test in coroutines:
        await test()


def test_the_page_imports_only_what_is_public() -> None:
    """A channel needs nothing of the hub's inside."""
    for code in BLOCKS.values():
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hub"):
                assert node.module in PUBLIC

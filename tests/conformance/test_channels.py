"""Every installed channel passes the conformance kit."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from hub.registry import channels
from hub.testing import ChannelKit, checks

FOLDER = Path(__file__).parent


def _module(key: str) -> ModuleType | None:
    path = FOLDER / f"kit_{key}.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location(f"conformance_kit_{key}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=sorted(channels()))
def kit(request: pytest.FixtureRequest) -> ChannelKit:
    module = _module(request.param)
    if module is None:
        pytest.fail(f"channel {request.param} has no tests/conformance/kit_{request.param}.py")
    found: ChannelKit = module.KIT
    return found


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.__name__)
async def test_conformance(check, kit: ChannelKit) -> None:
    await check(kit)

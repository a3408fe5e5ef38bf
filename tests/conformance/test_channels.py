"""Every installed channel passes the conformance kit."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from hub.registry import channels
from hub.testing import ChannelKit, checks

FOLDER = Path(__file__).parent


def _module(key: str) -> ModuleType | None:
    if not (FOLDER / f"kit_{key}.py").exists():
        return None
    return import_module(f"tests.conformance.kit_{key}")


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

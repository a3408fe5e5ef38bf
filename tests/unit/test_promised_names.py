"""Authors of channels import from hub.channel and hub.model, however these are arranged inside."""

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import hub.channel
import hub.model


@pytest.mark.parametrize("package", [hub.channel, hub.model], ids=lambda one: one.__name__)
def test_whatever_a_room_defines_is_had_from_the_package(package: ModuleType) -> None:
    """A class or function of a room inside that the package does not give away is found here."""
    rooms = [
        importlib.import_module(f"{package.__name__}.{room.name}")
        for room in pkgutil.iter_modules(package.__path__)
    ]
    defined = {
        name
        for room in rooms
        for name, value in vars(room).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == room.__name__
    }
    assert defined  # the rooms were found
    assert sorted(defined - set(package.__all__)) == []
    assert [name for name in package.__all__ if not hasattr(package, name)] == []

"""The phones of the demo: what a simulated platform says about itself, so that the page can show it."""

from sandbox.phones import fields, samples
from sandbox.phones.app import App
from sandbox.phones.bubbles import Bubble, Screens
from sandbox.phones.spec import (
    AppSpec,
    Chat,
    Field,
    Given,
    NotPossible,
    Person,
    Tool,
    Words,
    choosing,
    writing,
)
from sandbox.phones.switches import Switch, SwitchBoard, switch_routes

__all__ = [
    "App",
    "AppSpec",
    "Bubble",
    "Chat",
    "Field",
    "Given",
    "NotPossible",
    "Person",
    "Screens",
    "Switch",
    "SwitchBoard",
    "Tool",
    "Words",
    "choosing",
    "fields",
    "samples",
    "switch_routes",
    "writing",
]

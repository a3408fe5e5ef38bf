"""Switches: what a test or a person can make a simulated platform do wrong, all in the same way."""

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.phones.spec import Field, Json, NotPossible, Words, read_fields

Act = Callable[[Mapping[str, str]], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Switch:
    """One fault. *act* is called with what was filled in, and with ``customer``: the id that the
    platform gives the person whose phone is in hand, or an empty text for everybody."""

    key: str
    label: Words
    help: Words
    act: Act
    fields: tuple[Field, ...] = ()

    def as_json(self) -> Json:
        return {
            "key": self.key,
            "label": self.label.as_json(),
            "help": self.help.as_json(),
            "fields": [field.as_json() for field in self.fields],
        }


class SwitchBoard:
    """The switches of one simulator; *pending* tells what is still to happen, for people."""

    def __init__(self, switches: tuple[Switch, ...], pending: Callable[[], list[str]]) -> None:
        self._switches = {switch.key: switch for switch in switches}
        self.pending = pending

    def as_json(self) -> Json:
        switches = [switch.as_json() for switch in self._switches.values()]
        return {"switches": switches, "pending": self.pending()}

    async def throw(self, key: str, asked: Mapping[str, Any]) -> None:
        """
        Raises:
            NotPossible: no such switch, or a field is wrong.
        """
        switch = self._switches.get(key)
        if switch is None:
            raise NotPossible("no such switch")
        done = switch.act(
            read_fields(switch.fields, asked) | {"customer": str(asked.get("customer") or "")}
        )
        if inspect.isawaitable(done):
            await done


def switch_routes(board: SwitchBoard) -> list[web.RouteDef]:
    """``GET /_control/switches`` lists them; ``POST /_control/switches/{key}`` throws one."""

    async def listed(request: web.Request) -> web.Response:
        return web.json_response(board.as_json())

    async def thrown(request: web.Request) -> web.Response:
        """A JSON content type is what a stranger's page cannot send unasked."""
        if request.content_type != "application/json":
            return web.json_response({"error": "send application/json"}, status=415)
        try:
            asked = json.loads(await request.read() or b"{}")
            if not isinstance(asked, dict):
                raise NotPossible("send a JSON object")
            await board.throw(request.match_info["key"], asked)
        except (NotPossible, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(board.as_json())

    return [
        web.get("/_control/switches", listed),
        web.post("/_control/switches/{key}", thrown),
    ]

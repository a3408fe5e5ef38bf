"""Who may come in at the doors of OneBot: an empty secret is none."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from adapters.onebot import OneBotAdapter, OneBotSettings, OneBotSocket
from hub.channel import Account
from hub.errors import NotAuthentic
from hub.model import Checkpoint, InboundEvent, Secret
from hub.testing import Workbench, post

BODY = b'{"self_id":10001000,"post_type":"message","message_type":"private","user_id":1}'


class Knock:
    """A connection that has only headers."""

    def __init__(self, **headers: str) -> None:
        self.headers: Mapping[str, str] = {k.replace("_", "-"): v for k, v in headers.items()}

    async def receive(self) -> str | bytes:
        raise ConnectionError("let in")

    async def send(self, frame: str | bytes) -> None: ...

    async def close(self, code: int = 1000) -> None: ...


class Store:
    """Takes everything."""

    async def __call__(
        self, events: Sequence[InboundEvent], checkpoint: Checkpoint | None = None
    ) -> None: ...

    async def checkpoint(self, key: str) -> Mapping[str, Any] | None:
        return None


def account(**settings: Any) -> Account[Any]:
    return Account("shop", "onebot", OneBotSettings(self_id=10001000, **settings))


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Bearer x", "Basic t", "Bearer t x"])
@pytest.mark.parametrize("settings", [{"access_token": "t"}, {"access_token": ""}, {}])
async def test_no_socket_without_its_token(settings: Mapping[str, str], given: str) -> None:
    """Also where an environment variable was empty."""
    made = {name: Secret(value) for name, value in settings.items()}
    socket = OneBotSocket(account(**made), Workbench().tools)
    with pytest.raises(NotAuthentic):
        await socket.serve(Knock(authorization=given), Store())


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token"])
async def test_the_token_opens(scheme: str) -> None:
    """As the standard writes it, and as some implementations do."""
    socket = OneBotSocket(account(access_token=Secret("t")), Workbench().tools)
    with pytest.raises(ConnectionError, match="let in"):
        await socket.serve(Knock(authorization=f"{scheme} t", x_self_id="10001000"), Store())


async def test_a_secret_path_opens_without_a_token() -> None:
    """The web server has compared it by then."""
    socket = OneBotSocket(account(intake_secret=Secret("s")), Workbench().tools)
    with pytest.raises(ConnectionError, match="let in"):
        await socket.serve(Knock(authorization="Bearer "), Store())


@pytest.mark.parametrize("settings", [{"secret": Secret("")}, {}])
async def test_no_event_without_a_secret(settings: Mapping[str, Secret]) -> None:
    """A signature made with an empty key proves nothing."""
    signature = "sha1=" + hmac.new(b"", BODY, hashlib.sha1).hexdigest()
    adapter = OneBotAdapter(account(**settings), Workbench().tools)
    with pytest.raises(NotAuthentic):
        await adapter.accept(post("/in/onebot/shop", "", BODY, x_signature=signature))


@pytest.mark.parametrize(
    "settings, name",
    [
        ({"self_id": "abc", "access_token": Secret("t")}, "self_id"),
        ({"self_id": 10001000}, "access_token"),
        ({"self_id": 10001000, "access_token": Secret("")}, "access_token"),
        ({"self_id": 10001000, "websocket_url": "http://x"}, "websocket_url"),
        ({"self_id": 10001000, "secret": Secret("s"), "api_base": "x"}, "api_base"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: Mapping[str, Any], name: str) -> None:
    """Each with what is wrong."""
    assert [one for one, _ in OneBotSettings(**settings).mistakes()] == [name]

"""Who new customers of an official account are: asked for together, told once, never in the way."""

import asyncio
import json
from typing import Any

import pytest

from adapters import _wechat_people
from adapters._wechat_people import Doorman, PeopleListener
from adapters.wechat import CHANNEL, WeChatSettings
from hub.channel import Account, Bell, HttpAnswer
from hub.model import Address, Ignored, InboundEvent, Notice, Secret
from hub.testing import HttpCall, Workbench, json_answer
from hub.testing.kit import NOW
from normalizers._wechat_profile import PROOF

SETTINGS = WeChatSettings(
    app_id="wx0123456789abcdef",
    app_secret=Secret("s"),
    token=Secret("token"),
    aes_key=Secret("a" * 43),
)
ACCOUNT = Account("shop", "wechat", SETTINGS)


class Rung:
    """Bells that have rung, a pause where one is empty; then silence until the test ends."""

    def __init__(self, *keys: str) -> None:
        self._bells = [Bell(key) if key else None for key in keys]

    async def wait(self, timeout: float) -> Bell | None:
        if self._bells:
            return self._bells.pop(0)
        if timeout:
            raise asyncio.CancelledError
        return None


async def told(answer: Any, *keys: str) -> tuple[list[InboundEvent], list[HttpCall]]:
    """What the listener emits for bells of *keys*, and what it asked."""
    emitted: list[InboundEvent] = []

    def platform(call: HttpCall) -> HttpAnswer:
        if call.url.endswith("/stable_token"):
            return json_answer({"access_token": "T", "expires_in": 7200})
        return json_answer(answer)

    class Emit:
        async def __call__(self, events: Any, checkpoint: Any = None) -> None:
            emitted.extend(events)

        async def checkpoint(self, key: str) -> None:
            return None

    bench = Workbench(platform)
    with pytest.raises(asyncio.CancelledError):
        await PeopleListener(ACCOUNT, bench.tools).listen(Emit(), Rung(*keys))
    return emitted, [one for one in bench.http.calls if "batchget" in one.url]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wechat_people, "GATHER_S", 0.0)


def event(body: bytes, proof: str) -> InboundEvent:
    return InboundEvent(dedupe_key="k", order_key="o1", body=body, received_at=NOW, proof=proof)


def people(*openids: str, **more: Any) -> dict[str, Any]:
    return {"user_info_list": [{"subscribe": 1, "openid": one, **more} for one in openids]}


async def test_many_are_asked_for_together_and_once() -> None:
    """A hundred at a time; whoever rings again is known."""
    openids = [f"o{number}" for number in range(150)]
    _, asked = await told(people(), *openids, "o0", "o1")
    counts = [len(json.loads(json.dumps(one.json))["user_list"]) for one in asked]
    assert counts == [100, 50]


async def test_a_unionid_is_told_and_its_lack_is_not() -> None:
    """One event for one person, the same however often they are met."""
    (first,), _ = await told(people("o1", unionid="u1"), "o1")
    (again,), _ = await told(people("o1", unionid="u1", remark="x"), "o1")
    nobody, _ = await told(people("o2"), "o2")
    (notice,) = CHANNEL.normalize(first, ACCOUNT)
    assert isinstance(notice, Notice)
    assert notice.same_as == (Address("wechat_union", "", "u1"),)
    assert notice.sender
    assert notice.sender.address == Address("wechat", SETTINGS.app_id, "o1")
    assert (first.dedupe_key, first.order_key) == (again.dedupe_key, "o1")
    assert nobody == []


@pytest.mark.parametrize("answer", [{"errcode": 48001}, {"errcode": 40003}, {"odd": 1}, []])
async def test_a_refusal_is_in_nobodys_way(answer: Any) -> None:
    """An account without the right to it: nothing is emitted, and the listener goes on."""
    assert (await told(answer, "o1", "o2"))[0] == []


@pytest.mark.parametrize("code, times", [(-1, 2), (48001, 1)])
async def test_who_could_not_be_asked_about_is_asked_about_again(code: int, times: int) -> None:
    """At the next bell; not where the account has no right to it."""
    _, asked = await told({"errcode": code}, "o1", "", "o1")
    assert len(asked) == times


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"openid": "o1"}', b'{"unionid": "u"}', b"\xff"]
)
def test_a_profile_that_says_nothing_is_left(body: bytes) -> None:
    """It makes no conversation."""
    (result,) = CHANNEL.normalize(event(body, PROOF), ACCOUNT)
    assert isinstance(result, Ignored)


def test_a_push_cannot_pass_for_a_profile() -> None:
    """Only what the hub has asked for names other addresses."""
    body = json.dumps({"openid": "o1", "unionid": "u1", "MsgType": "text", "FromUserName": "o1"})
    (result,) = CHANNEL.normalize(event(body.encode(), "msg_signature"), ACCOUNT)
    assert not isinstance(result, Notice)


def test_the_bell_rings_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each customer."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    doorman = Doorman()
    first = [len(doorman.bells(one)) for one in ("o1", "o2", "o1", "")]
    now = 3601.0
    assert first == [1, 1, 0, 0]
    assert doorman.bells("o1") == (Bell("o1"),)


def test_who_is_not_to_ask_does_not_listen() -> None:
    """Without an app secret, or when the owner does not want it."""
    from msgspec.structs import replace

    tools = Workbench().tools
    assert CHANNEL.listener
    for settings in (replace(SETTINGS, app_secret=None), replace(SETTINGS, profiles=False)):
        assert CHANNEL.listener(Account("shop", "wechat", settings), tools) is None

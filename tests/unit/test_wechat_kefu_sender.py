"""Calls of customer service: sessions, repeats, errors with a sentence, checks."""

from typing import Any

import pytest

from adapters.wechat_kefu import KefuSettings
from hub.channel import Account, HttpAnswer
from hub.errors import Ambiguous, Rejected, SendError, Unreachable, WindowClosed
from hub.model import Address, Draft, Receipt, Reply, Secret
from hub.testing import HttpCall, Workbench, json_answer
from outbound.wechat_kefu import KefuChecker, KefuSender
from outbound.wechat_kefu.errors import ERRORS, EXPLAINED

TO = Address("wechat_kefu", "ww0123456789abcdef", "wm1")
WORDS = "no, hint: [1626766012_1_abc], from ip: 203.0.113.9, more info at https://open.work"


def account(*desks: str) -> Account[Any]:
    settings = KefuSettings(
        corp_id="ww0123456789abcdef",
        secret=Secret("app-secret"),
        token=Secret("t"),
        aes_key=Secret("a" * 43),
        open_kfids=desks,
    )
    return Account("shop", "wechat_kefu", settings)


def platform(*answers: HttpAnswer | Exception) -> Workbench:
    left = list(answers)

    def script(call: HttpCall) -> HttpAnswer | Exception:
        if call.url.endswith("/gettoken"):
            return json_answer({"errcode": 0, "access_token": "TOKEN", "expires_in": 7200})
        return left.pop(0) if len(left) > 1 else left[0]

    return Workbench(script)


def ok(**facts: Any) -> HttpAnswer:
    return json_answer({"errcode": 0, "errmsg": "ok", **facts})


def refusal(code: int) -> HttpAnswer:
    return json_answer({"errcode": code, "errmsg": WORDS})


def drafts(sender: KefuSender) -> list[Draft]:
    reply = Reply(to=TO, thread_key="wk1:wm1", message_id="msg_1", text="你好")
    return list(sender.compose(reply, ()))


async def made(number: int, bench: Workbench, **results: Any) -> Receipt:
    """The *number*-th call of a reply: 0 reads the session, 1 takes it over, 2 says the text."""
    sender = KefuSender(account(), bench.tools)
    return await sender.send(drafts(sender)[number], results)


async def test_what_is_said_has_our_id() -> None:
    """The id by which a report of failure names it."""
    bench = platform(ok(msgid="whatever"))
    receipt = await made(2, bench)
    assert receipt.external_id == "whatever"
    bench = platform(ok())
    receipt = await made(2, bench)
    assert receipt.external_id == bench.http.calls[-1].json["msgid"]


async def test_a_repeat_has_arrived_before() -> None:
    """ "Repeated msgid" is what a call that nobody answered comes to when it is made again."""
    bench = platform(refusal(95033))
    receipt = await made(2, bench)
    assert receipt.status == "sent"
    assert receipt.external_id == bench.http.calls[-1].json["msgid"]


@pytest.mark.parametrize("state", [0, 1])
async def test_a_session_that_the_hub_may_speak_in(state: int) -> None:
    """Nobody's, or the hub's already."""
    receipt = await made(0, platform(ok(service_state=state, servicer_userid="")))
    assert receipt.results == {"service_state": state}


@pytest.mark.parametrize(
    "state,kind,words",
    [(2, Rejected, "queue"), (3, Rejected, "lisi serves"), (4, WindowClosed, "has ended")],
)
async def test_a_session_that_is_not_the_hubs(
    state: int, kind: type[SendError], words: str
) -> None:
    """Nothing is said, and the agent is told who has it."""
    with pytest.raises(kind, match=words):
        await made(0, platform(ok(service_state=state, servicer_userid="lisi")))


@pytest.mark.parametrize("facts", [{}, {"service_state": 9}, {"service_state": "0"}])
async def test_a_state_that_cannot_be_read(facts: dict[str, Any]) -> None:
    """Nothing was said; it is asked again."""
    with pytest.raises(Unreachable):
        await made(0, platform(ok(**facts)))


async def test_nobodys_session_is_taken_over() -> None:
    """So that it is not given to a person meanwhile; the hub's own needs no call."""
    bench = platform(ok())
    receipt = await made(1, bench, service_state=0)
    assert receipt.results == {"service_state": 1}
    assert bench.http.calls[-1].json["service_state"] == 1
    bench = platform(ok())
    await made(1, bench, service_state=1)
    assert bench.http.calls == []


@pytest.mark.parametrize("code,kind", [one for one in ERRORS.items() if one[0] != 95033])
async def test_each_code_has_its_class(code: int, kind: type[SendError]) -> None:
    """The table is what is raised, with the platform's own code, words and hint."""
    with pytest.raises(SendError) as caught:
        await made(2, platform(refusal(code)))
    assert type(caught.value) is kind
    assert caught.value.external_code == str(code)
    assert caught.value.trace_id == "1626766012_1_abc"


@pytest.mark.parametrize("code", EXPLAINED)
async def test_a_sentence_tells_what_to_do(code: str) -> None:
    """Before the platform's own words."""
    if code == "95033":
        return
    with pytest.raises(SendError) as caught:
        await made(2, platform(refusal(int(code))))
    assert caught.value.detail.startswith(EXPLAINED[code])
    assert "hint: [1626766012_1_abc]" in caught.value.detail


async def test_an_unreadable_answer() -> None:
    """To a message it is in doubt; to what prepares it, nothing was said."""
    with pytest.raises(Ambiguous):
        await made(2, platform(HttpAnswer(200, {}, b"<html>")))
    with pytest.raises(Unreachable):
        await made(0, platform(HttpAnswer(200, {}, b"<html>")))


async def findings(bench: Workbench, *desks: str) -> dict[str, Any]:
    checker = KefuChecker(account(*desks), bench.tools)
    return {one.name: one async for one in checker.check("https://hub.example.com")}


async def test_the_check_lists_the_desks() -> None:
    """By name; and says where the callback goes."""
    bench = platform(ok(account_list=[{"open_kfid": "wk1", "name": "售前"}]))
    found = await findings(bench)
    assert all(one.ok for one in found.values())
    assert found["callback URL"].detail == "https://hub.example.com/in/wechat_kefu/shop"
    assert found["customer-service accounts"].detail == "wk1 (售前)"


async def test_a_desk_that_the_app_may_not_manage() -> None:
    """It is named, with the place in the console where the app is chosen."""
    bench = platform(ok(account_list=[{"open_kfid": "wk1", "name": "售前"}]))
    finding = (await findings(bench, "wk1", "wk2"))["customer-service accounts"]
    assert not finding.ok
    assert "wk2" in finding.detail
    assert "可调用接口的应用" in finding.advice


async def test_the_check_names_the_address_to_trust() -> None:
    """60020 carries our address."""
    finding = (await findings(platform(refusal(60020))))["customer-service accounts"]
    assert "203.0.113.9" in finding.advice

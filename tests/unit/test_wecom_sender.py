"""Calls to enterprise WeChat: tokens, errors, partial failures, files, checks."""

from typing import Any

import pytest

from adapters.wecom import WeComSettings
from hub.channel import Account, HttpAnswer
from hub.errors import Ambiguous, BadCredentials, RecipientGone, Rejected, SendError, Unreachable
from hub.model import Address, Attachment, Reply, ReplyAttachment, Secret
from hub.testing import HttpCall, Workbench, json_answer
from outbound.wecom import WeComChecker, WeComMedia, WeComSender
from outbound.wecom.errors import ERRORS

TO = Address("wecom", "ww0123456789abcdef", "ZhangSan")
OK = json_answer({"errcode": 0, "errmsg": "ok", "invaliduser": "", "msgid": "MSG-1"})
WORDS = "no, hint: [1626766012_1_abc], from ip: 203.0.113.9, more info at https://open.work"


def account(**changes: Any) -> Account[Any]:
    known: dict[str, Any] = {
        "corp_id": "ww0123456789abcdef",
        "agent_id": 1000002,
        "secret": Secret("app-secret"),
        "token": Secret("unused"),
        "aes_key": Secret("a" * 43),
    }
    return Account("shop", "wecom", WeComSettings(**{**known, **changes}))


def platform(*answers: HttpAnswer | Exception) -> Workbench:
    """A platform that numbers its tokens and gives *answers* to the other calls, the last for ever."""
    left = list(answers)
    made: list[int] = []

    def script(call: HttpCall) -> HttpAnswer | Exception:
        if call.url.endswith("/gettoken"):
            made.append(1)
            token = {"access_token": f"TOKEN-{len(made)}", "expires_in": 7200}
            return json_answer({"errcode": 0, "errmsg": "ok", **token})
        return left.pop(0) if len(left) > 1 else left[0]

    return Workbench(script)


async def said(bench: Workbench, **changes: Any) -> Any:
    sender = WeComSender(account(**changes), bench.tools)
    return await sender.send(sender.compose(Reply(to=TO, text="你好"), ())[0], {})


def refusal(code: int) -> HttpAnswer:
    return json_answer({"errcode": code, "errmsg": WORDS})


async def test_a_message_is_sent_with_a_token() -> None:
    """The token comes from gettoken and goes into the query; the platform's id is kept."""
    bench = platform(OK)
    receipt = await said(bench)
    token, send = bench.http.calls
    assert (receipt.status, receipt.external_id) == ("sent", "MSG-1")
    assert token.method == "GET"
    assert token.params == {"corpid": "ww0123456789abcdef", "corpsecret": "app-secret"}
    assert send.params == {"access_token": "TOKEN-1"}


@pytest.mark.parametrize("code", [40001, 40014, 42001])
async def test_an_expired_token_is_changed_once(code: int) -> None:
    """The one that failed is not used again, and the message goes out."""
    bench = platform(refusal(code), OK)
    assert (await said(bench)).status == "sent"
    used = [call.params.get("access_token") for call in bench.http.calls]
    assert used == [None, "TOKEN-1", None, "TOKEN-2"]


async def test_a_token_that_is_always_refused_ends() -> None:
    """Two calls, then the account's credentials are at fault."""
    bench = platform(refusal(40014))
    with pytest.raises(BadCredentials):
        await said(bench)
    assert len(bench.http.calls) == 4


@pytest.mark.parametrize("code,kind", ERRORS.items())
async def test_each_code_has_its_class(code: int, kind: type[SendError]) -> None:
    """The table is what is raised, with the platform's own code, words and hint."""
    with pytest.raises(SendError) as caught:
        await said(platform(refusal(code)))
    assert type(caught.value) is kind
    assert caught.value.external_code == str(code)
    assert caught.value.trace_id == "1626766012_1_abc"


async def test_zero_with_an_invalid_user_is_no_success() -> None:
    """The platform says ok and names the member who gets nothing, in lower case."""
    answer = json_answer({"errcode": 0, "errmsg": "ok", "invaliduser": "lisi|zhangsan"})
    with pytest.raises(RecipientGone) as caught:
        await said(platform(answer))
    assert caught.value.external_code == "invaliduser"


async def test_a_member_without_licence() -> None:
    """Refused for this member, and told."""
    with pytest.raises(Rejected, match="licence"):
        await said(platform(json_answer({"errcode": 0, "unlicenseduser": "zhangsan"})))


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"errcode":"x"}', b"\xff", b"[" * 9999])
async def test_an_unreadable_success_is_in_doubt(body: bytes) -> None:
    """HTTP 200 proves nothing: the message may have gone out."""
    with pytest.raises(Ambiguous):
        await said(platform(HttpAnswer(200, {}, body)))


async def test_trouble_with_the_token_sends_nothing() -> None:
    """Whatever happens before the message, it has not gone out."""
    for trouble in (Ambiguous("timeout"), HttpAnswer(502, {}, b""), json_answer({"x": 1})):
        bench = Workbench(lambda _call, trouble=trouble: trouble)
        with pytest.raises(Unreachable):
            await said(bench)


async def test_an_account_without_secret_only_receives() -> None:
    """It says so, and calls nobody."""
    bench = platform(OK)
    with pytest.raises(BadCredentials, match="secret is not set"):
        await said(bench, secret=None, agent_id=None)
    assert bench.http.calls == []


async def test_an_upload_gives_the_media_id_to_the_next() -> None:
    """The file goes up under its own name; its id goes into the message."""
    bench = platform(json_answer({"errcode": 0, "media_id": "M-1", "created_at": "1"}), OK)
    sender = WeComSender(account(), bench.tools)
    bench.media.files["att_1"] = b"123456"
    file = ReplyAttachment(kind="file", filename="报价.pdf", id="att_1")
    upload, say = sender.compose(Reply(to=TO, attachments=(file,)), ())
    receipt = await sender.send(upload, {})
    await sender.send(say, receipt.results)
    assert bench.http.calls[1].files == {"media": ("报价.pdf", b"123456", "application/pdf")}
    assert bench.http.calls[2].json["file"] == {"media_id": "M-1"}


# --- downloads --------------------------------------------------------------------------------------


async def fetched(bench: Workbench, **source: str) -> bytes:
    media = WeComMedia(account(), bench.tools)
    attachment = Attachment(kind="image", source=source)
    return b"".join([piece async for piece in media.open(attachment)])


async def test_a_file_is_fetched_by_its_id() -> None:
    """The bytes are the answer; a file that is JSON is a file all the same."""
    named = {"content-disposition": 'attachment; filename="a.json"'}
    bench = platform(HttpAnswer(200, named, b'{"errcode":40007}'))
    assert await fetched(bench, media_id="M1") == b'{"errcode":40007}'
    assert bench.http.calls[-1].params == {"access_token": "TOKEN-1", "media_id": "M1"}


async def test_an_error_inside_200_is_no_file() -> None:
    """Without a file name, JSON is an error."""
    with pytest.raises(Rejected) as caught:
        await fetched(platform(refusal(40007)), media_id="M1")
    assert caught.value.external_code == "40007"


async def test_a_picture_has_a_public_address_too() -> None:
    """An app without the right to the interface still gets pictures."""
    bench = platform(refusal(48002), HttpAnswer(200, {}, b"JPEG"))
    assert await fetched(bench, media_id="M1", pic_url="http://pic.example/1") == b"JPEG"


# --- hub check --------------------------------------------------------------------------------------


async def findings(bench: Workbench, url: str | None) -> dict[str, Any]:
    return {one.name: one async for one in WeComChecker(account(), bench.tools).check(url)}


async def test_the_check_tells_what_to_paste() -> None:
    """The callback URL as the console wants it, and the app by its name."""
    bench = platform(json_answer({"errcode": 0, "name": "客服助手"}))
    found = await findings(bench, "https://hub.example.com/")
    assert found["callback URL"].detail == "https://hub.example.com/in/wecom/shop"
    token, key = account().settings.token.reveal(), account().settings.aes_key.reveal()
    told = f"Token of {len(token)} characters, EncodingAESKey of {len(key)}"
    assert found["token and key"].detail == told
    assert all(one.ok for one in found.values())
    assert found["agent id and trusted address"].detail == "the app is 客服助手"


async def test_the_check_names_the_address_to_trust() -> None:
    """60020 carries our address; the advice says where it goes."""
    finding = (await findings(platform(refusal(60020)), None))["agent id and trusted address"]
    assert not finding.ok
    assert (finding.advice or "").startswith("add 203.0.113.9 under 应用管理")


async def test_a_wrong_secret_is_told() -> None:
    """No token, and what to copy again."""
    found = await findings(Workbench(lambda _call: refusal(40001)), "https://hub.example.com")
    assert not found["corp id and secret"].ok
    assert "secret" in found["corp id and secret"].advice


@pytest.mark.parametrize(
    "code, told", [(60020, "add 203.0.113.9 under"), (40001, "secret is not"), (40013, "corp_id")]
)
async def test_a_refusal_of_the_account_tells_the_fix(code: int, told: str) -> None:
    """The platform's own text, and what to do: that is what the owner of a stopped account reads."""
    with pytest.raises(BadCredentials) as caught:
        await said(platform(refusal(code)))
    assert caught.value.detail in caught.value.reason
    assert told in caught.value.reason

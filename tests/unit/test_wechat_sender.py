"""Calls to the platform: tokens, errors, uploads, downloads, checks."""

from typing import Any

import pytest

from adapters.wechat import WeChatSettings
from hub.channel import Account, HttpAnswer
from hub.errors import (
    Ambiguous,
    BadCredentials,
    RateLimited,
    Rejected,
    SendError,
    Unreachable,
)
from hub.model import Address, Attachment, Draft, Reply, ReplyAttachment, Secret
from hub.testing import HttpCall, Workbench, json_answer
from outbound.wechat import WeChatChecker, WeChatMedia, WeChatSender
from outbound.wechat.errors import ERRORS

TO = Address("wechat", "wx0123456789abcdef", "oABC")
OK = json_answer({"errcode": 0, "errmsg": "ok"})
PICTURE = ReplyAttachment(kind="image", filename="a.png", mime_type="image/png", content=b"PNG")


def account(**changes: Any) -> Account[Any]:
    settings = WeChatSettings(
        app_id="wx0123456789abcdef",
        app_secret=Secret("app-secret"),
        token=Secret("unused"),
        mode="plain",
        **changes,
    )
    return Account("shop", "wechat", settings)


def platform(*answers: HttpAnswer | Exception) -> Workbench:
    """A platform that numbers its tokens and gives *answers* to the other calls, the last for ever."""
    left = list(answers)
    made: list[int] = []

    def script(call: HttpCall) -> HttpAnswer | Exception:
        if call.url.endswith("/stable_token"):
            made.append(1)
            return json_answer({"access_token": f"TOKEN-{len(made)}", "expires_in": 7200})
        return left.pop(0) if len(left) > 1 else left[0]

    return Workbench(script)


def hello(sender: WeChatSender) -> Draft:
    return sender.compose(Reply(to=TO, text="你好 <b>"), ())[0]


async def said(bench: Workbench) -> Any:
    sender = WeChatSender(account(), bench.tools)
    return await sender.send(hello(sender), {})


async def test_a_message_is_sent_with_a_token() -> None:
    """The token comes from stable_token and goes into the query; the body is as composed."""
    bench = platform(OK)
    receipt = await said(bench)
    token, send = bench.http.calls
    assert receipt.status == "sent"
    assert token.json == {
        "grant_type": "client_credential",
        "appid": "wx0123456789abcdef",
        "secret": "app-secret",
        "force_refresh": False,
    }
    assert send.url == "https://api.weixin.qq.com/cgi-bin/message/custom/send"
    assert send.params == {"access_token": "TOKEN-1"}
    assert send.json == {"touser": "oABC", "msgtype": "text", "text": {"content": "你好 <b>"}}


@pytest.mark.parametrize("code", [40001, 40014, 41001, 42001])
async def test_an_expired_token_is_changed_once(code: int) -> None:
    """The one that failed is not used again, and the message goes out."""
    bench = platform(json_answer({"errcode": code, "errmsg": "expired"}), OK)
    assert (await said(bench)).status == "sent"
    used = [call.params.get("access_token") for call in bench.http.calls]
    assert used == [None, "TOKEN-1", None, "TOKEN-2"]


async def test_another_process_has_changed_the_token() -> None:
    """When the stored token is already another one, nothing is fetched again."""
    bench = platform(json_answer({"errcode": 42001, "errmsg": "expired"}), OK)
    sender = WeChatSender(account(), bench.tools)
    original = bench.http.script

    def script(call: HttpCall) -> HttpAnswer | Exception:
        if call.params.get("access_token") == "TOKEN-1":
            bench.tokens.stored["access_token"] = "TOKEN-OF-ANOTHER"
        return original(call)

    bench.http.script = script
    await sender.send(hello(sender), {})
    assert bench.tokens.fetches == 1
    assert bench.http.calls[-1].params["access_token"] == "TOKEN-OF-ANOTHER"


async def test_a_token_that_is_always_refused_ends() -> None:
    """Two calls, then the account's credentials are at fault."""
    bench = platform(json_answer({"errcode": 40001, "errmsg": "invalid credential rid: 1-2-3"}))
    with pytest.raises(BadCredentials) as caught:
        await said(bench)
    assert (caught.value.external_code, caught.value.trace_id) == ("40001", "1-2-3")
    assert len(bench.http.calls) == 4


@pytest.mark.parametrize("code,kind", ERRORS.items())
async def test_each_code_has_its_class(code: int, kind: type[SendError]) -> None:
    """The table is what is raised, with the platform's own code and words."""
    bench = platform(json_answer({"errcode": code, "errmsg": "words rid: 65-ab-cd"}))
    with pytest.raises(SendError) as caught:
        await said(bench)
    assert type(caught.value) is kind
    assert caught.value.external_code == str(code)
    assert caught.value.trace_id == "65-ab-cd"


async def test_the_daily_quota_is_parked_until_midnight_in_china() -> None:
    """03:04:05 UTC is 11:04:05 there."""
    bench = platform(json_answer({"errcode": 45009, "errmsg": "quota"}))
    with pytest.raises(RateLimited) as caught:
        await said(bench)
    wait = caught.value.retry_after or 0
    assert 12 * 3600 + 55 * 60 < wait < 12 * 3600 + 56 * 60


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b'{"errcode":"x"}', b'{"errcode":null}', b"\xff", b"[" * 9999]
)
async def test_an_unreadable_success_is_in_doubt(body: bytes) -> None:
    """HTTP 200 proves nothing: the message may have gone out."""
    with pytest.raises(Ambiguous):
        await said(platform(HttpAnswer(200, {}, body)))


async def test_success_may_lack_an_errcode() -> None:
    """A template's answer carries the id of the message, which its report will name."""
    receipt = await said(platform(json_answer({"msgid": 200228332})))
    assert (receipt.status, receipt.external_id) == ("sent", "200228332")


async def test_trouble_with_the_token_sends_nothing() -> None:
    """Whatever happens before the message, it has not gone out."""
    for trouble in (Ambiguous("timeout"), HttpAnswer(502, {}, b""), json_answer({"x": 1})):
        bench = Workbench(lambda _call, trouble=trouble: trouble)
        with pytest.raises(Unreachable):
            await said(bench)


async def test_an_account_without_secret_only_receives() -> None:
    """It says so, and calls nobody."""
    bench = platform(OK)
    settings = WeChatSettings(app_id="wx0123456789abcdef", token=Secret("unused"), mode="plain")
    sender = WeChatSender(Account("shop", "wechat", settings), bench.tools)
    with pytest.raises(BadCredentials, match="app_secret is not set"):
        await sender.send(hello(sender), {})
    assert bench.http.calls == []


# --- uploads ----------------------------------------------------------------------------------------


async def test_an_upload_gives_the_media_id_to_the_next() -> None:
    """The file goes as the field "media"; its id replaces the placeholder, and only there."""
    bench = platform(json_answer({"type": "image", "media_id": "M1", "created_at": 1}), OK)
    sender = WeChatSender(account(), bench.tools)
    bench.media.files["att_1"] = b"PNG"
    file = ReplyAttachment(kind="image", filename="a.png", mime_type="image/png", id="att_1")
    text, upload, say = sender.compose(Reply(to=TO, text="{{media_id}}", attachments=(file,)), ())
    results = (await sender.send(upload, {})).results
    assert results == {"media_id": "M1"}
    assert bench.http.calls[-1].files == {"media": ("a.png", b"PNG", "image/png")}
    await sender.send(say, results)
    assert bench.http.calls[-1].json["image"] == {"media_id": "M1"}
    await sender.send(text, results)
    assert bench.http.calls[-1].json["text"] == {"content": "{{media_id}}"}


@pytest.mark.parametrize(
    "trouble", [Ambiguous("timeout"), HttpAnswer(500, {}, b""), HttpAnswer(200, {}, b"<"), OK]
)
async def test_a_doubtful_upload_may_be_repeated(trouble: Any) -> None:
    """Nothing was said yet, so it is Unreachable, never "may have gone out"."""
    bench = platform(trouble)
    sender = WeChatSender(account(), bench.tools)
    bench.media.files["att_1"] = b"PNG"
    file = ReplyAttachment(kind="image", mime_type="image/png", id="att_1")
    upload = sender.compose(Reply(to=TO, attachments=(file,)), ())[0]
    with pytest.raises(Unreachable):
        await sender.send(upload, {})


async def test_a_placeholder_without_result_is_never_sent() -> None:
    """Rather than "{{media_id}}" the platform gets nothing."""
    sender = WeChatSender(account(), platform(OK).tools)
    say = sender.compose(Reply(to=TO, attachments=(PICTURE,)), ())[1]
    with pytest.raises(Rejected):
        await sender.send(say, {})


# --- downloads --------------------------------------------------------------------------------------


async def fetched(bench: Workbench, **source: str) -> bytes:
    media = WeChatMedia(account(), bench.tools)
    attachment = Attachment(kind="image", source=source)
    return b"".join([piece async for piece in media.open(attachment)])


async def test_a_file_is_fetched_by_its_id() -> None:
    """The bytes are the answer, whatever its Content-Type."""
    bench = platform(HttpAnswer(200, {"content-type": "image/jpeg"}, b"\xff\xd8JPEG"))
    assert await fetched(bench, media_id="M1") == b"\xff\xd8JPEG"
    assert bench.http.calls[-1].url.endswith("/cgi-bin/media/get")
    assert bench.http.calls[-1].params == {"access_token": "TOKEN-1", "media_id": "M1"}


async def test_a_video_is_at_another_address() -> None:
    """The answer is JSON that names it."""
    bench = platform(
        json_answer({"video_url": "http://video.example/v"}), HttpAnswer(200, {}, b"MP4")
    )
    assert await fetched(bench, media_id="M1") == b"MP4"
    assert bench.http.calls[-1].url == "http://video.example/v"
    assert bench.http.calls[-1].params == {}


async def test_an_error_inside_200_is_no_file() -> None:
    """Content-Type is text/plain, the status 200, and it is an error all the same."""
    body = b'{"errcode":40007,"errmsg":"invalid media_id"}'
    with pytest.raises(Rejected) as caught:
        await fetched(
            platform(HttpAnswer(200, {"content-type": "text/plain"}, body)), media_id="M1"
        )
    assert caught.value.external_code == "40007"


async def test_an_expired_token_does_not_lose_a_file() -> None:
    """One more token, one more try."""
    expired = json_answer({"errcode": 42001, "errmsg": "expired"})
    bench = platform(expired, HttpAnswer(200, {"content-type": "image/png"}, b"{PNG"))
    assert await fetched(bench, media_id="M1") == b"{PNG"


async def test_a_picture_has_a_public_address_too() -> None:
    """An account without the right to the interface still gets pictures."""
    bench = platform(json_answer({"errcode": 48001, "errmsg": "no"}), HttpAnswer(200, {}, b"JPEG"))
    assert await fetched(bench, media_id="M1", pic_url="http://pic.example/1") == b"JPEG"


# --- hub check --------------------------------------------------------------------------------------


async def findings(bench: Workbench, url: str | None, **changes: Any) -> dict[str, Any]:
    checker = WeChatChecker(account(**changes), bench.tools)
    return {one.name: one async for one in checker.check(url)}


async def test_the_check_tells_what_to_paste() -> None:
    """The callback URL as the console wants it."""
    found = await findings(platform(OK), "https://hub.example.com/")
    assert found["callback URL"].ok
    assert found["callback URL"].detail == "https://hub.example.com/in/wechat/shop"
    assert found["app id and secret"].ok
    assert not found["encryption"].ok


@pytest.mark.parametrize(
    "url", [None, "https://hub.example.com:8443", "http://hub.example.com:8080"]
)
async def test_the_check_knows_the_platforms_ports(url: str | None) -> None:
    """The platform calls ports 80 and 443 only."""
    found = (await findings(platform(OK), url))["callback URL"]
    assert not found.ok
    assert "port 80 or 443 only" in (found.advice or "") or url is None


async def test_the_secret_path_segment_is_not_shown() -> None:
    """It is named, not told."""
    found = await findings(
        platform(OK), "https://hub.example.com", intake_secret=Secret("s3cr3t-x")
    )
    assert found["callback URL"].detail.endswith("/in/wechat/shop/<intake_secret>")


async def test_the_check_names_the_address_to_allow() -> None:
    """40164 carries our address; the advice says where it goes."""
    words = "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist rid: 1-2"
    bench = Workbench(lambda _call: json_answer({"errcode": 40164, "errmsg": words}))
    finding = (await findings(bench, "https://hub.example.com"))["app id and secret"]
    assert not finding.ok
    assert finding.advice is not None
    assert finding.advice.startswith("add 203.0.113.9 under 基本配置 → IP白名单 (it takes minutes)")


@pytest.mark.parametrize("passive, ok", [(False, False), (True, True)])
async def test_the_check_knows_who_may_not_send(passive: bool, ok: bool) -> None:
    """48001 on a call that only reads: the account needs passive mode, or has it."""

    refused = json_answer({"errcode": 48001, "errmsg": "api unauthorized"})
    found = (await findings(platform(refused), None, passive=passive))["customer-service messages"]
    assert found.ok == ok
    assert "passive = true" in (found.advice or found.detail)


async def test_the_check_tells_the_way_back() -> None:
    """What the platform itself finds on its way to the callback."""
    lost = {"errcode": 0, "dns": [], "ping": [{"ip": "203.0.113.1", "package_loss": "100%"}]}
    bench = platform(json_answer(lost))
    found = (await findings(bench, "https://hub.example.com"))["from the platform to the callback"]
    assert not found.ok
    assert "203.0.113.1" in found.detail


# --- typing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code, shown", [(0, True), (45080, False), (45081, False)])
async def test_typing_is_a_courtesy(code: int, shown: bool) -> None:
    """Shown where the platform allows it; its three refusals are no errors."""
    bench = platform(json_answer({"errcode": code, "errmsg": "x"}))
    sender = WeChatSender(account(), bench.tools)
    assert await sender.typing(TO, on=True) is shown
    assert bench.http.calls[-1].json == {"touser": "oABC", "command": "Typing"}


async def test_an_account_without_the_right_does_not_type() -> None:
    """It is not even asked for."""
    bench = platform(OK)
    assert not await WeChatSender(account(passive=True), bench.tools).typing(TO, on=True)
    assert bench.http.calls == []

"""What the sender of a QQ bot makes of the platform's answers; its token, its checks."""

from typing import Any

import msgspec
import pytest

from adapters.qq import QqSettings
from hub.channel import Account, HttpAnswer
from hub.errors import Ambiguous, BadCredentials, RateLimited, Unreachable, WindowClosed
from hub.model import Address, Attachment, Draft, Receipt, Reply, ReplyAttachment, Secret, Spoken
from hub.testing import HttpCall, Workbench, json_answer
from outbound.qq import QqApi, QqChecker, QqMedia, QqSender

OPENID = "E4F4AEA33253A2797FB897C50B81D7ED"
TOKEN = {"access_token": "TOKEN", "expires_in": "7200"}
SAID = {"id": "ROBOT1.0_x", "timestamp": "2026-01-02T11:04:05+08:00"}


def account(**changed: Any) -> Account[Any]:
    made = {"app_id": "102", "secret": Secret("conformanceSecret")} | changed
    return Account("bot", "qq", QqSettings(**made))


def bench(*answers: HttpAnswer | Exception, token: Any = TOKEN) -> Workbench:
    """A platform that gives *answers* in turn, the last one for ever."""
    waiting = list(answers)

    def script(call: HttpCall) -> HttpAnswer | Exception:
        if call.url.endswith("/app/getAppAccessToken"):
            return json_answer(token)
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return Workbench(script)


def draft(spoken: Spoken | None = None, text: str = "hi") -> Draft:
    reply = Reply(
        to=Address("qq", "102", OPENID),
        thread_key=f"c2c:{OPENID}",
        text=text,
        reply_context={"msg_id": "m0"},
    )
    (made,) = QqSender(account(), Workbench().tools).compose(reply, ())
    return msgspec.structs.replace(made, spoken=spoken)


def calls_of(one: Workbench) -> list[HttpCall]:
    return [call for call in one.http.calls if not call.url.endswith("Token")]


async def said(one: Workbench, spoken: Spoken | None = None) -> Receipt:
    return await QqSender(account(), one.tools).send(draft(spoken), {})


async def test_the_core_says_what_is_answered() -> None:
    """Its message or event, and its number; what was composed is only what it would have been."""
    for trigger, field, other in (
        ("message", "msg_id", "event_id"),
        ("event", "event_id", "msg_id"),
    ):
        one = bench(json_answer(SAID))
        await said(one, Spoken(trigger, "m7", 3))
        body = calls_of(one)[0].json
        assert (body[field], body["msg_seq"], other in body) == ("m7", 3, False)


async def test_an_answer_never_goes_without_what_it_answers() -> None:
    """It would be an active message: nothing is called."""
    one = bench(json_answer(SAID))
    bare = msgspec.structs.replace(draft(), json={"content": "hi", "msg_type": 0})
    with pytest.raises(WindowClosed):
        await QqSender(account(), one.tools).send(bare, {})
    assert one.http.calls == []


async def test_what_a_receipt_holds() -> None:
    answer = json_answer(SAID | {"ext_info": {"ref_idx": "REFIDX_a=="}})
    receipt = await said(bench(answer))
    assert (receipt.status, receipt.external_id) == ("sent", "ROBOT1.0_x")
    assert receipt.known_ids == ("REFIDX_a==",)
    older = await said(bench(json_answer({"id": "x", "timestamp": 1767323045})))
    assert older.occurred_at == receipt.occurred_at


@pytest.mark.parametrize(
    "body",
    [
        {"code": 304023, "data": {"message_audit": {"audit_id": "a1"}}},
        {"code": 304024, "audit_id": "a1"},
    ],
)
async def test_a_review_is_no_failure(body: dict[str, Any]) -> None:
    receipt = await said(bench(json_answer(body, 202)))
    assert (receipt.status, receipt.external_id) == ("held", "audit:a1")


async def test_a_repeat_is_proof_or_somebody_elses() -> None:
    """After an earlier try it arrived; at the first one the number is another's."""
    repeated = json_answer({"code": 40054005, "err_code": 40054005}, 400)
    receipt = await said(bench(repeated), Spoken("message", "m", 1, again=True))
    assert receipt.status == "sent"
    with pytest.raises(Unreachable):
        await said(bench(repeated), Spoken("message", "m", 1))


async def test_either_code_counts() -> None:
    """And the platform's own words, code and trace are kept."""
    body = {"message": "过期", "code": 11255, "err_code": 40034026, "trace_id": "t1"}
    with pytest.raises(WindowClosed) as refused:
        await said(bench(json_answer(body, 400, x_tps_trace_id="t0")))
    error = refused.value
    assert (error.external_code, error.detail, error.trace_id) == ("40034026", "过期", "t0")


async def test_an_expired_token_costs_one_more() -> None:
    """By its code, or by a bare 401; not where our address is refused."""
    for expired in (json_answer({"code": 11244}, 401), HttpAnswer(401, {}, b"")):
        one = bench(expired, json_answer(SAID))
        assert (await said(one)).status == "sent"
        assert one.tokens.fetches == 2
    one = bench(json_answer({"code": 11298, "message": "接口访问源IP不在白名单"}, 401))
    with pytest.raises(BadCredentials, match="IP白名单"):
        await said(one)
    assert (one.tokens.fetches, len(calls_of(one))) == (1, 1)


@pytest.mark.parametrize("left", ["7200", 7200, 59, "5"])
async def test_the_token_says_what_is_left(left: Any) -> None:
    """As a number or a text; it changes 45 seconds before its end, not earlier."""
    one = bench(token={"access_token": "T", "expires_in": left})
    token = await QqApi(account(), one.tools).fetch_token()
    assert (token.value, token.expires_in, token.margin_s) == ("T", float(left), 45.0)
    asked = one.http.calls[0].json
    assert asked == {"appId": "102", "clientSecret": "conformanceSecret"}


@pytest.mark.parametrize(
    "answer, kind",
    [
        ({"code": 100016, "message": "invalid appid or secret"}, BadCredentials),
        ({"code": 100007, "message": "appid invalid"}, BadCredentials),
        ({"code": 10004, "message": "no such bot"}, BadCredentials),
        ({"code": 100001, "message": "too many"}, RateLimited),
        ({"expires_in": 7200}, Unreachable),
        ({"access_token": "", "expires_in": 7200}, Unreachable),
        ({"access_token": "T", "expires_in": "soon"}, Unreachable),
        ([], Unreachable),
    ],
)
async def test_a_token_refused_inside_200(answer: Any, kind: type[Exception]) -> None:
    """The body counts, not the status."""
    with pytest.raises(kind):
        await QqApi(account(), bench(token=answer).tools).fetch_token()


async def test_hosts_are_settings() -> None:
    one = bench(json_answer(SAID))
    made = account(
        api_base="https://sandbox.api.sgroup.qq.com/", token_api_base="https://bots.qq.com"
    )
    await QqSender(made, one.tools).send(draft(), {})
    assert one.http.calls[0].url == "https://bots.qq.com/app/getAppAccessToken"
    assert one.http.calls[1].headers["Authorization"] == "QQBot TOKEN"


PLAN = {
    "upload_id": "u1",
    "block_size": "4",
    "parts": [
        {"index": 2, "presigned_url": "https://cos.example/2", "block_size": "2"},
        {"index": 1, "presigned_url": "https://cos.example/1"},
    ],
}


async def test_a_file_goes_in_parts() -> None:
    """In the order in which they lie in the file, each told with its sum, then put together."""
    parts: list[bytes | None] = []

    def script(call: HttpCall) -> HttpAnswer:
        if call.method == "PUT":
            assert "Authorization" not in call.headers
            parts.append(call.data)
            return HttpAnswer(200, {}, b"")
        if call.url.endswith("Token"):
            return json_answer(TOKEN)
        if call.url.endswith("upload_prepare"):
            assert call.json["file_size"] == "6"
            return json_answer(PLAN)
        return json_answer({"file_info": "INFO"} if call.url.endswith("/files") else {})

    one = Workbench(script)
    file = ReplyAttachment(kind="file", filename="a.txt", id="att_1", size_bytes=6)
    reply = Reply(to=Address("qq", "102", OPENID), attachments=(file,))
    sender = QqSender(account(), one.tools)
    prepare, say = sender.compose(
        msgspec.structs.replace(reply, reply_context={"msg_id": "m0"}), ()
    )
    one.media.files["att_1"] = b"abcdef"
    receipt = await sender.send(prepare, {})
    assert (parts, receipt.results) == ([b"abcd", b"ef"], {"file_info": "INFO"})
    merged = one.http.calls[-1].json
    assert (merged["upload_id"], merged["srv_send_msg"]) == ("u1", False)
    await sender.send(say, receipt.results)
    assert one.http.calls[-1].json["media"] == {"file_info": "INFO"}


@pytest.mark.parametrize(
    "plan",
    [
        {},
        {"upload_id": "u"},
        {"upload_id": "u", "parts": [{"index": 1, "presigned_url": "https://x", "block_size": 1}]},
        {"upload_id": "u", "parts": [{"index": "?", "presigned_url": "https://x"}]},
        {"upload_id": "u", "parts": "none"},
    ],
)
async def test_a_plan_that_is_none_is_tried_again(plan: dict[str, Any]) -> None:
    """Nothing was said yet, so nothing is lost."""
    api = QqApi(account(), bench(json_answer(plan)).tools)
    with pytest.raises(Unreachable):
        await api.upload("https://x/files", {"file_type": 1, "file_name": "a"}, b"abc")


async def test_no_answer_to_an_upload_is_no_doubt() -> None:
    """Only what speaks may have spoken."""
    api = QqApi(account(), bench(Ambiguous("timeout")).tools)
    with pytest.raises(Unreachable):
        await api.upload("https://x/files", {"file_type": 1, "file_name": "a"}, b"abc")


async def test_a_voice_message_is_fetched_as_wav() -> None:
    one = bench(HttpAnswer(200, {}, b"RIFF"))
    source = {"url": "https://a/v.silk", "voice_wav_url": "https://a/v.wav"}
    pieces = [
        piece
        async for piece in QqMedia(account(), one.tools).open(
            Attachment(kind="voice", source=source)
        )
    ]
    assert (pieces, one.http.calls[0].url) == ([b"RIFF"], "https://a/v.wav")


async def checked(
    one: Workbench, public_url: str | None, **settings: Any
) -> list[tuple[str, bool]]:
    checker = QqChecker(account(**settings), one.tools)
    return [(found.name, found.ok) async for found in checker.check(public_url)]


async def test_what_hub_check_says() -> None:
    """The URL to paste, credentials, the bot; for the gateway what is left of its sessions."""
    bot = json_answer({"id": "1", "username": "小铺"})
    found = await checked(bench(bot), "https://hub.example.com")
    assert found == [("callback URL", True), ("app id and secret", True), ("bot", True)]
    assert (await checked(bench(bot), "https://hub.example.com:9000"))[0] == ("callback URL", False)
    assert (await checked(bench(bot), None))[0] == ("callback URL", False)
    limit = json_answer({"url": "wss://x", "session_start_limit": {"remaining": 0}})
    found = await checked(bench(bot, limit), None, intake="gateway")
    assert found[-1] == ("gateway", False)
    refused = await checked(bench(bot, token={"code": 100016}), "https://hub.example.com")
    assert refused == [("callback URL", True), ("app id and secret", False)]

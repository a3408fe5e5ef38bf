"""Calls of the platforms' APIs: what ours look like, and what we make of the answers."""

import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest

from adapters._kefu_listener import KefuListener
from hub.channel import Bell, HttpAnswer
from hub.errors import RecipientGone, Rejected
from hub.model import Address, InboundEvent, MiniProgram, Reply, Template
from hub.testing import HttpCall, Workbench, json_answer
from normalizers.wechat_kefu import normalize as normalize_kefu
from outbound._wecom_api import CORP_ERRORS, CorpApi
from outbound._wecom_api import judge as judge_corp
from outbound.wechat import WeChatChecker, WeChatSender
from outbound.wechat.api import Api
from outbound.wechat.errors import judge
from outbound.wechat_kefu import KefuSender, desks_of
from outbound.wecom import WeComSender
from tests.vectors.accounts import APP_ID, CORP_ID, NOW, kefu, wechat, wecom
from tests.vectors.inbound import kefu_meaning
from tests.vectors.material import Vector, checks
from tests.vectors.outbound import (
    CONTENT,
    KEFU_CONTENT,
    by_customer_service,
    by_official_account,
)

OURS = "made alike"
NOT_OURS = "not a call of the hub: only read"
TOKEN = {"errcode": 0, "access_token": "T", "expires_in": 7200}

By = Callable[[Any], Awaitable[None] | None]


def _name(vector: Vector) -> str:
    return vector.id.rsplit("-", 1)[-1].removesuffix("request").removesuffix("response")


def script(**answers: Any) -> Workbench:
    """A platform that says ok to everything, or what is given for a path's end."""

    def answer(call: HttpCall) -> HttpAnswer:
        for ending, value in answers.items():
            if call.url.split("?")[0].endswith(ending):
                return json_answer(value)
        return json_answer({"errcode": 0, "errmsg": "ok", "msgid": 1, **TOKEN})

    return Workbench(answer)


def made(bench: Workbench, path: str) -> Any:
    """The body of the call of *path* that was made."""
    return next(one.json for one in bench.http.calls if path in one.url)


# --- ours -------------------------------------------------------------------------------------------


def _custom_send(published: Any) -> None:
    for kind in CONTENT:
        ours = by_official_account(**CONTENT[kind])
        assert set(ours) == {"touser", "msgtype", kind}
        assert ours["msgtype"] == kind
        assert set(ours[kind]) <= set(published[kind]), kind


async def _typing(published: Any) -> None:
    bench = script()
    to = Address("wechat", APP_ID, published["touser"])
    assert await WeChatSender(wechat(), bench.tools).typing(to, on=True)
    assert made(bench, "message/custom/typing") == published


def _template_body(published: Any, **settings: Any) -> Any:
    opens = published.get("miniprogram")
    template = Template(
        published["template_id"],
        {name: one["value"] for name, one in published["data"].items()},
        published.get("url") or published.get("page"),
        MiniProgram(opens["appid"], opens["pagepath"]) if opens else None,
    )
    to = Address("wechat", APP_ID, published["touser"])
    sender = WeChatSender(wechat(**settings), script().tools)
    (draft,) = sender.compose(Reply(to=to, template=template), ())
    return draft.json


def _template(published: Any) -> None:
    for one in published["data"].values():
        one.pop("color", None)  # the platform drops colours
    assert _template_body(published) == published


def _subscribe(published: Any) -> None:
    for name in ("miniprogram_state", "lang"):  # of mini programs only
        published.pop(name)
    ours = _template_body(published, subscribe_templates=[published["template_id"]])
    assert ours == published


async def _callback_check(published: Any) -> None:
    bench = script()
    async for _ in WeChatChecker(wechat(), bench.tools).check("https://hub.example.com"):
        pass
    assert made(bench, "callback/check") == published


def _kefu_send(published: Any) -> None:
    for kind in KEFU_CONTENT:
        ours = by_customer_service(kind)
        assert (ours["touser"], ours["open_kfid"]) == (published["touser"], published["open_kfid"])
        assert set(ours) == {"touser", "open_kfid", "msgid", "msgtype", kind}
        assert set(ours[kind]) == set(published[kind]), kind


def _kefu_on_event(published: Any) -> None:
    """The welcome, which the normalizer of customer service makes."""
    account = kefu()
    greeting = msgspec.structs.replace(account.settings, welcome_text="欢迎咨询")
    event = {"event_type": "enter_session", "open_kfid": "k", "external_userid": "e"}
    item = {
        "msgid": "1",
        "send_time": int(NOW.timestamp()),
        "origin": 4,
        "msgtype": "event",
        "event": {**event, "welcome_code": "CODE"},
    }
    body = msgspec.json.encode(item)
    inbound = InboundEvent(dedupe_key="1", order_key="", body=body, received_at=NOW)
    (notice,) = normalize_kefu(inbound, msgspec.structs.replace(account, settings=greeting))
    ours = notice.drafts[0].json  # type: ignore[union-attr]
    assert set(ours) <= set(published)
    assert (ours["code"], ours["text"]) == (published["code"], published["text"])


class _Stop(Exception):
    pass


async def _pulled(published: Any, path: str) -> Any:
    """The body of a call that the listener makes: one item of one customer, then nothing more."""
    item = {"msgid": "1", "external_userid": "zhangsan", "origin": 3, "msgtype": "text"}
    bench = script(
        sync_msg={"errcode": 0, "has_more": 0, "next_cursor": "c", "msg_list": [item]},
        list={"errcode": 0, "account_list": [{"open_kfid": published.get("open_kfid", "k")}]},
    )
    listener = KefuListener(kefu(), bench.tools)

    class Emit:
        async def __call__(self, *_: Any) -> None:
            return

        async def checkpoint(self, _key: str) -> Mapping[str, Any]:
            return {"cursor": published.get("cursor", "")}

    class Wake:
        def __init__(self) -> None:
            self.rung = False

        async def wait(self, _timeout: float) -> Any:
            if self.rung:
                raise _Stop
            self.rung = True
            return Bell(published.get("open_kfid", "k"), {"token": published.get("token", "")})

    with contextlib.suppress(_Stop):
        await listener.listen(Emit(), Wake())
    return [one.json for one in bench.http.calls if path in one.url]


async def _sync(published: Any) -> None:
    bodies = await _pulled(published, "kf/sync_msg")
    assert bodies
    assert set(bodies[0]) <= set(published)
    assert bodies[0]["cursor"] == published["cursor"]
    assert bodies[0]["limit"] == published["limit"]


async def _profiles(published: Any) -> None:
    (body, *_) = await _pulled(published, "customer/batchget")
    assert set(body) == set(published)
    assert body["external_userid_list"] == ["zhangsan"]


def _session(path: str) -> By:
    def check(published: Any) -> None:
        to = Address("wechat_kefu", CORP_ID, published["external_userid"])
        key = f"{published['open_kfid']}:{published['external_userid']}"
        reply = Reply(to=to, thread_key=key, text="hello")
        drafts = KefuSender(kefu(), script().tools).compose(reply, ())
        ours = next(one.json for one in drafts if f"/{path}?" in one.url)
        assert set(ours) <= set(published)
        for name in ("open_kfid", "external_userid"):
            assert ours[name] == published[name]

    return check


async def _desks(published: Any) -> None:
    bench = script(list={"errcode": 0, "account_list": []})
    await desks_of(CorpApi(kefu(), bench.tools, CORP_ERRORS))
    assert made(bench, "kf/account/list") == published


def _wecom_send(published: Any) -> None:
    for kind in ("text", "image", "voice", "video", "news"):
        to = Address("wecom", CORP_ID, "UserID1")
        sender = WeComSender(wecom(), script().tools)
        drafts = sender.compose(Reply(to=to, **CONTENT[kind]), ())
        ours = next(one.json for one in drafts if one.role == "say")
        assert set(ours) <= {*published, kind}
        assert set(ours[kind]) <= set(published[kind]) | {"articles"}, kind


REQUESTS: Mapping[str, By] = {
    "cgibincallbackcheck": _callback_check,
    "cgibinmessagecustomsend": _custom_send,
    "cgibinmessagecustomtyping": _typing,
    "cgibinmessagesubscribesend": _subscribe,
    "cgibinmessagetemplatesend": _template,
    "cgibinkfsendmessage": _kefu_send,
    "cgibinkfsendmessageonevent": _kefu_on_event,
    "cgibinkfsyncmessage": _sync,
    "cgibinkfcustomerbatchget": _profiles,
    "cgibinkfservicestateget": _session("kf/service_state/get"),
    "cgibinkfservicestatetransfer": _session("kf/service_state/trans"),
    "cgibinkfaccountlist": _desks,
    "cgibinmessagesend": _wecom_send,
}


@checks("api_request.mp", "api_request.wecom")
async def request(vector: Vector) -> str:
    """A call that the hub makes has the published fields under the published names."""
    published = vector.json
    check = REQUESTS.get(_name(vector))
    if check is None:
        assert isinstance(published, dict)
        return NOT_OURS
    waiting = check(published)
    if waiting is not None:
        await waiting
    return OURS


# --- what comes back --------------------------------------------------------------------------------


@checks("api_response.mp")
async def official_account(vector: Vector) -> str:
    """A success, whatever it lacks; tokens, media and message ids are taken from it."""
    answer = HttpAnswer(
        200, {"content-type": "text/plain"}, vector.raw.removeprefix(b"\xef\xbb\xbf")
    )
    assert judge(answer, NOW, speaks=True) == vector.json
    name = _name(vector)
    if name == "cgibintoken":
        token = await Api(wechat(), Workbench(lambda _call: answer).tools).fetch_token()
        assert (token.value, token.expires_in) == ("ACCESS_TOKEN", 7200.0)
        return "the token is taken"
    if name == "cgibinmediaupload":
        return await _uploaded(WeChatSender(wechat(), _one_answer(answer).tools), "wechat", APP_ID)
    if name == "cgibinmessagetemplatesend":
        to = Address("wechat", APP_ID, "o")
        sender = WeChatSender(wechat(), _one_answer(answer).tools)
        (draft,) = sender.compose(Reply(to=to, template=Template("t")), ())
        assert (await sender.send(draft, {})).external_id == "200228332"
        return "the message's id is taken"
    return "a success"


def _one_answer(answer: HttpAnswer) -> Workbench:
    """A platform that gives a token, and *answer* to all else."""
    bench = Workbench(
        lambda call: json_answer(TOKEN) if "token" in call.url.split("?")[0] else answer
    )
    bench.media.files["att_1"] = b"0123456789"
    return bench


async def _uploaded(sender: Any, scheme: str, scope: str) -> str:
    to = Address(scheme, scope, "o")
    drafts = sender.compose(Reply(to=to, **CONTENT["image"]), ())
    upload = next(one for one in drafts if one.role == "prepare")
    receipt = await sender.send(upload, {})
    assert receipt.results["media_id"]
    return "the media id is taken"


@checks("api_response.wecom")
async def enterprise(vector: Vector) -> str:
    """A success by its code; tokens, ids, pages and who was not reached are taken from it."""
    answer = HttpAnswer(
        200, {"content-type": "text/plain"}, vector.raw.removeprefix(b"\xef\xbb\xbf")
    )
    facts = vector.json
    assert judge_corp(answer, CORP_ERRORS, speaks=True) == facts
    name = _name(vector)
    if name == "cgibingettoken":
        api = CorpApi(wecom(), Workbench(lambda _call: answer).tools, CORP_ERRORS)
        token = await api.fetch_token()
        assert (token.value, token.expires_in) == (facts["access_token"], 7200.0)
        return "the token is taken"
    if name == "cgibinmediaupload":
        sender = WeComSender(wecom(), _one_answer(answer).tools)
        return await _uploaded(sender, "wecom", CORP_ID)
    if name == "cgibinmessagesend":
        return await _partly_reached(answer)
    if name == "cgibinkfsyncmessage":
        for item in facts["msg_list"]:
            kefu_meaning(item, json.dumps(item).encode())
        return "every item is normalised"
    if name == "cgibinkfaccountlist":
        api = CorpApi(kefu(), _one_answer(answer).tools, CORP_ERRORS)
        assert set(await desks_of(api)) == {one["open_kfid"] for one in facts["account_list"]}
        return "the desks are taken"
    if name == "cgibinkfservicestateget":
        return await _served_by_somebody(answer)
    if name == "cgibinkfsendmessage":
        bench = _one_answer(answer)
        sender = KefuSender(kefu(), bench.tools)
        to = Address("wechat_kefu", CORP_ID, "e")
        draft = sender.compose(Reply(to=to, thread_key="k:e", text="hello"), ())[-1]
        assert (await sender.send(draft, {})).external_id == facts["msgid"]
        return "the message's id is taken"
    return "a success"


async def _partly_reached(answer: HttpAnswer) -> str:
    """errcode 0, and some get nothing: they are gone, the others are reached."""
    sender = WeComSender(wecom(), _one_answer(answer).tools)
    for user, reached in (("userid9", True), ("UserID1", False), ("userid3", False)):
        to = Address("wecom", CORP_ID, user)
        (draft,) = sender.compose(Reply(to=to, text="hello"), ())
        if reached:
            assert (await sender.send(draft, {})).external_id == "xxxx"
            continue
        with pytest.raises(RecipientGone if user == "UserID1" else Rejected):
            await sender.send(draft, {})
    return "who was not reached is told"


async def _served_by_somebody(answer: HttpAnswer) -> str:
    sender = KefuSender(kefu(), _one_answer(answer).tools)
    to = Address("wechat_kefu", CORP_ID, "e")
    draft = sender.compose(Reply(to=to, thread_key="k:e", text="hello"), ())[0]
    with pytest.raises(Rejected, match="zhangsan"):
        await sender.send(draft, {})
    return "not said: somebody serves the customer"

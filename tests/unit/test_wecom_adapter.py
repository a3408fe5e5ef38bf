"""An app's door: the encrypted echo, hostile requests, keys of repeats; wechatpy as a peer."""

from typing import Any
from urllib.parse import parse_qs

import pytest
from msgspec.structs import replace
from wechatpy.enterprise.crypto import WeChatCrypto

from adapters.wecom import WeComAdapter, WeComSettings
from hub.channel import Account
from hub.errors import ConfigError, NotAuthentic, NotRecognised
from hub.settings import read_table
from hub.testing import Workbench
from tests.conformance import kit_wecom as kit


def adapter(**changes: Any) -> WeComAdapter:
    settings = replace(kit.KIT.settings, **changes)
    return WeComAdapter(Account("shop", "wecom", settings), Workbench().tools)


def peer() -> WeChatCrypto:
    return WeChatCrypto(kit.TOKEN, kit.AES_KEY, kit.CORP_ID)


async def test_the_echo_is_decrypted() -> None:
    """The platform wants what is inside its echostr, to the byte, and so does wechatpy."""
    request = kit.handshake("a b+c/=中".encode())
    response = (await adapter().accept(request)).response
    query = {name: values[0] for name, values in parse_qs(request.query).items()}
    theirs = peer().check_signature(
        query["msg_signature"], query["timestamp"], query["nonce"], query["echostr"]
    )
    assert response.body == "a b+c/=中".encode()
    assert theirs == "a b+c/=中"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("number", range(5))
async def test_a_plus_that_was_not_escaped(number: int) -> None:
    """Base64 has no blank: one in the echostr was a plus."""
    request = kit.handshake(b"echo" + bytes([65 + number]) * 40)
    raw = replace(request, query=request.query.replace("%2B", "+"))
    assert (await adapter().accept(raw)).response.body == (b"echo" + bytes([65 + number]) * 40)


async def test_an_echo_for_another_enterprise_is_refused() -> None:
    """Signed with our token, sealed for somebody else: nothing is echoed."""
    with pytest.raises(NotAuthentic):
        await adapter(corp_id="ww9999999999999999").accept(kit.handshake())


async def test_what_wechatpy_seals_is_taken() -> None:
    """Another implementation of the platform's encryption, opened by ours."""
    body = (
        b"<xml><FromUserName>lisi</FromUserName><MsgType>text</MsgType><Content>hi</Content></xml>"
    )
    sealed = peer().encrypt_message(body.decode(), "42", "1767323045")
    signature = sealed.split("<MsgSignature><![CDATA[")[1].split("]]")[0]
    request = replace(
        kit.sample(1),
        query=f"msg_signature={signature}&timestamp=1767323045&nonce=42",
        body=sealed.encode(),
    )
    (event,) = (await adapter().accept(request)).events
    assert event.body == body
    assert event.order_key == "lisi"


async def test_plain_pushes_are_never_taken() -> None:
    """There is no mode without encryption."""
    request = replace(kit.sample(1), body=b"<xml><MsgType>text</MsgType></xml>")
    with pytest.raises(NotAuthentic):
        await adapter().accept(request)


async def test_two_events_of_one_second_are_two() -> None:
    """Sender and second, the documented key, would make these one: both come from ``sys``."""
    event = (
        "<xml><FromUserName>sys</FromUserName><CreateTime>1</CreateTime><MsgType>event</MsgType>"
        "<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>{}</UserID></xml>"
    )
    keys = set()
    for user in ("lin", "mia"):
        sealed = kit.sealed(event.format(user).encode())
        keys |= {one.dedupe_key for one in (await adapter().accept(sealed)).events}
    assert len(keys) == 2


async def test_the_same_id_of_two_members_is_two_messages() -> None:
    """``MsgId`` counts within its sender."""
    message = "<xml><FromUserName>{}</FromUserName><MsgType>text</MsgType><MsgId>7</MsgId></xml>"
    keys = set()
    for user in ("lin", "mia"):
        sealed = kit.sealed(message.format(user).encode())
        keys |= {one.dedupe_key for one in (await adapter().accept(sealed)).events}
    assert keys == {"msg:lin:7", "msg:mia:7"}


async def test_one_notice_an_hour_for_a_member_who_opens_the_app() -> None:
    """Each opening is an event; the notices of one hour share a key."""
    opened = (
        "<xml><FromUserName>lin</FromUserName><CreateTime>{}</CreateTime><MsgType>event</MsgType>"
        "<Event>enter_agent</Event><AgentID>1</AgentID></xml>"
    )
    keys = []
    for second in (7200, 7201, 10799, 10800):
        sealed = kit.sealed(opened.format(second).encode())
        for event in (await adapter().accept(sealed)).events:
            keys += [one.dedupe_key for one in kit.CHANNEL.normalize(event, kit.KIT.account)]
    assert len(keys) == 4
    assert [keys.index(key) for key in keys] == [0, 0, 0, 3]


@pytest.mark.parametrize("size", [0, 65_537])
async def test_size(size: int) -> None:
    """Nothing, and more than 64 kB, is not recognised."""
    with pytest.raises(NotRecognised):
        await adapter().accept(replace(kit.sample(1), body=b" " * size))


def mistakes(**changes: Any) -> str:
    table = {
        "corp_id": kit.CORP_ID,
        "agent_id": "1000002",
        "secret": "s",
        "token": kit.TOKEN,
        "aes_key": kit.AES_KEY,
        **changes,
    }
    with pytest.raises(ConfigError) as caught:
        read_table(WeComSettings, table, source="hub.toml", key="accounts.shop")
    return str(caught.value)


@pytest.mark.parametrize(
    "changes,expected",
    [
        ({"corp_id": "?"}, "accounts.shop.corp_id: found '?', wants an id"),
        ({"token": "a!"}, "accounts.shop.token: wants 1 to 32 letters or digits"),
        ({"aes_key": "short"}, "accounts.shop.aes_key: wants the 43 letters"),
        ({"agent_id": "app"}, "accounts.shop.agent_id: found 'app', wants a number"),
        ({"duplicate_check_s": 99999}, "accounts.shop.duplicate_check_s: found 99999"),
        ({"api_base": "qyapi.weixin.qq.com"}, "accounts.shop.api_base: found"),
        ({"corpid": "x"}, "did you mean corp_id?"),
    ],
)
def test_each_mistake_is_one_clear_line(changes: dict[str, Any], expected: str) -> None:
    """A wrong setting is told with its key and what is wanted; a secret's value is never shown."""
    told = mistakes(**changes)
    assert expected in told
    assert "\n" not in told

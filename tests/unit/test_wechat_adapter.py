"""An official account's door: modes, hostile requests, speed."""

import time
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from adapters.wechat import WeChatAdapter, WeChatSettings
from hub.channel import Account, IntakeRequest
from hub.errors import ConfigError, NotAuthentic, NotRecognised
from hub.model import Secret
from hub.settings import read_table
from hub.testing import Workbench, post
from tests.conformance import kit_wechat as kit


def adapter(**changes: Any) -> WeChatAdapter:
    settings = replace(kit.KIT.settings, **changes)
    return WeChatAdapter(Account("shop", "wechat", settings), Workbench().tools)


def handshake(**changes: str) -> IntakeRequest:
    query = {
        "signature": kit.signature("1", "2"),
        "timestamp": "1",
        "nonce": "2",
        "echostr": "a b+c/=中",
        **changes,
    }
    return IntakeRequest("GET", "/in/wechat/shop", urlencode(query), {}, b"", kit.NOW)


async def test_the_echo_is_exact() -> None:
    """URL verification gives back the echostr to the byte, as plain text."""
    response = (await adapter().accept(handshake())).response
    assert response.body == "a b+c/=中".encode()
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


async def test_nothing_is_echoed_unsigned() -> None:
    """A wrong signature echoes nothing: otherwise the door would vouch for anybody's text."""
    with pytest.raises(NotAuthentic):
        await adapter().accept(handshake(signature="0" * 40))


async def test_order_follows_the_sender() -> None:
    """The sender orders; a push without one is ordered within the account."""
    (event,) = (await adapter().accept(kit.sample(1))).events
    assert event.order_key == kit.OPENID
    (event,) = (await adapter().accept(kit.sealed(b"<xml><MsgType>event</MsgType></xml>"))).events
    assert event.order_key == "shop"


async def test_a_retry_with_another_nonce_has_the_same_key() -> None:
    """Events have no id: the key comes of the decrypted bytes, which a retry repeats, not of the envelope."""
    body = b"<xml><FromUserName>o1</FromUserName><MsgType>event</MsgType><Event>CLICK</Event></xml>"
    (first,) = (await adapter().accept(kit.sealed(body))).events
    (second,) = (await adapter(mode="plain").accept(plain(body))).events
    assert first.dedupe_key == second.dedupe_key


async def test_two_events_of_one_second_are_two() -> None:
    """Sender and second, the documented key, would make these one."""
    event = "<xml><FromUserName>o1</FromUserName><CreateTime>1</CreateTime><MsgType>event</MsgType>{}</xml>"
    keys = set()
    for name in ("CLICK", "VIEW"):
        body = event.format(f"<Event>{name}</Event>").encode()
        keys |= {one.dedupe_key for one in (await adapter().accept(kit.sealed(body))).events}
    assert len(keys) == 2


async def test_a_forged_msg_id_in_the_text_changes_nothing() -> None:
    """A customer who writes tags does not choose the key: the push is parsed, not searched."""
    body = (
        b"<xml><Content><![CDATA[<MsgId>1</MsgId><FromUserName>o2</FromUserName>]]></Content>"
        b"<FromUserName>o1</FromUserName><MsgType>text</MsgType><MsgId>7</MsgId></xml>"
    )
    (event,) = (await adapter().accept(kit.sealed(body))).events
    assert (event.dedupe_key, event.order_key) == ("msg:o1:7", "o1")


def plain(body: bytes, **changes: str) -> IntakeRequest:
    query = {"signature": kit.signature("1", "2"), "timestamp": "1", "nonce": "2", **changes}
    return post("/in/wechat/shop", urlencode(query), body)


@pytest.mark.parametrize("mode", ["safe", "compatible"])
async def test_no_downgrade(mode: str) -> None:
    """An account that wants encryption takes nothing else, however well it is signed."""
    for request in (plain(b"<xml/>"), plain(b"<xml/>", encrypt_type="raw")):
        with pytest.raises(NotAuthentic):
            await adapter(mode=mode).accept(request)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\r\n "])
async def test_a_json_envelope(mark: bytes) -> None:
    """JSON as the console may set it; a byte order mark before it does no harm."""
    request = kit.sample(1)
    encrypted = request.body.split(b"CDATA[")[1].split(b"]]")[0].decode()
    body = mark + b'{"ToUserName":"gh_1","Encrypt":"' + encrypted.encode() + b'"}'
    assert (await adapter().accept(replace(request, body=body))).events


async def test_plain_mode_takes_encrypted_pushes_while_the_console_changes() -> None:
    """An upgrade is no downgrade: with the key set, an encrypted push to a plain account is opened."""
    (event,) = (await adapter(mode="plain").accept(kit.sample(1))).events
    assert event.proof == "msg_signature"


async def test_plain_mode_without_key_keeps_what_it_cannot_open() -> None:
    """Signed, but sealed with a key that we were not given: kept, and shown as such."""
    request = kit.sample(1)
    query = f"{request.query}&signature={kit.signature(kit.TIMESTAMP, kit.NONCE)}"
    door = adapter(mode="plain", aes_key=None)
    (event,) = (await door.accept(replace(request, query=query))).events
    (message,) = kit.CHANNEL.normalize(event, kit.KIT.account)
    assert (message.kind, message.text) == (
        "unsupported",
        "[encrypted message: the account is in mode plain]",
    )


@pytest.mark.parametrize("size", [0, 65_537])
async def test_size(size: int) -> None:
    """Nothing, and more than 64 kB, is not recognised."""
    with pytest.raises(NotRecognised):
        await adapter().accept(plain(b" " * size))


def mistakes(**changes: str) -> str:
    table = {"app_id": kit.APP_ID, "token": kit.TOKEN, "aes_key": kit.AES_KEY, **changes}
    with pytest.raises(ConfigError) as caught:
        read_table(WeChatSettings, table, source="hub.toml", key="accounts.shop")
    return str(caught.value)


@pytest.mark.parametrize(
    "changes,expected",
    [
        ({"app_id": "gh_123"}, "accounts.shop.app_id: found 'gh_123', wants an AppID"),
        ({"token": "a!"}, "accounts.shop.token: wants 3 to 32 letters or digits"),
        ({"aes_key": "short"}, "accounts.shop.aes_key: wants the 43 letters"),
        ({"previous_aes_key": "short"}, "accounts.shop.previous_aes_key: wants the 43 letters"),
        ({"mode": "secure"}, "accounts.shop.mode: found 'secure'"),
        ({"api_base": "api.weixin.qq.com"}, "accounts.shop.api_base: found"),
        ({"aeskey": "x"}, "did you mean aes_key?"),
    ],
)
def test_each_mistake_is_one_clear_line(changes: dict[str, str], expected: str) -> None:
    """A wrong setting is told with its key and what is wanted; a secret's value is never shown."""
    told = mistakes(**changes)
    assert expected in told
    assert "\n" not in told


def test_safe_mode_needs_the_key() -> None:
    """Without an AES key only mode plain can work."""
    settings = WeChatSettings(app_id=kit.APP_ID, token=Secret(kit.TOKEN))
    assert [name for name, _ in settings.mistakes()] == ["aes_key"]
    assert not list(replace(settings, mode="plain").mistakes())


async def test_a_push_is_proven_and_opened_quickly() -> None:
    """Well under a millisecond for each push; measured 60 µs, the bound leaves room for a busy machine."""
    door, request = adapter(), kit.sample(1)
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(100):
            await door.accept(request)
        best = min(best, (time.perf_counter() - started) / 100)
    assert best < 0.001

"""Signatures, encryption and the handshake; wechatpy is the independent peer."""

from base64 import b64decode

from wechatpy.crypto import PrpCrypto

from adapters._wechat_crypto import Box, is_aes_key, is_signed, sign
from hub.errors import NotAuthentic
from normalizers._wechat_fields import read_fields, text_of
from tests.vectors.accounts import adapter_of, push, wechat, wecom
from tests.vectors.material import Vector, checks


@checks("crypto.signature")
def signature(vector: Vector) -> str:
    """The published parts have the published signature, in whatever order they come."""
    case = vector.json
    parts = case.get("parts") or [case["token"], case["timestamp"], case["nonce"]]
    assert sign(*parts) == case["expect"]["signature"]
    assert is_signed(case["expect"]["signature"], *reversed(parts))
    return "signed alike"


@checks("crypto.verify_plain")
async def handshake(vector: Vector) -> str:
    """The platform's worked example is answered with its echostr, and yields no event."""
    case = vector.json
    intake = await adapter_of(case).accept(push(case["query"], b"", "GET"))
    assert intake.response.body == case["expect"]["response_body"].encode()
    assert intake.events == ()
    return "answered"


@checks("crypto.echo")
async def encrypted_echo(vector: Vector) -> str:
    """The answer is what is inside."""
    case = vector.json
    intake = await adapter_of(case).accept(push(case["query"], b"", "GET"))
    assert intake.response.body == case["expect"]["plaintext"].encode()
    return "answered, decrypted"


@checks("crypto.decrypt")
async def decrypt(vector: Vector) -> str:
    """A published push opens to its plaintext, through the door, and for the peer."""
    case = vector.json
    fields = read_fields(case["body"].encode()) or {}
    sealed = text_of(fields, "Encrypt")
    expected = case["expect"]["plaintext"]
    assert Box(case["encoding_aes_key"], case["receive_id"]).open(sealed).decode() == expected
    if "query" in case:
        intake = await adapter_of(case).accept(push(case["query"], case["body"].encode()))
        assert intake.events[0].body.decode() == expected
    if case["receive_id"]:  # the peer takes no empty one
        assert _peer(case).decrypt(sealed, case["receive_id"]) == expected
    return "opened; the peer too"


@checks("crypto.encrypt")
def encrypt(vector: Vector) -> str:
    """With the published random bytes sealing gives the published ciphertext; the peer opens ours."""
    case = vector.json
    box = Box(case["encoding_aes_key"], case["receive_id"])
    plain = case["plaintext"].encode()
    assert box.seal(plain, case["random"].encode()) == case["expect"]["encrypt"]
    assert _peer(case).decrypt(box.seal(plain), case["receive_id"]) == case["plaintext"]
    return "sealed alike; opened by the peer"


@checks("crypto.negative", "crypto.negative_content")
async def refused(vector: Vector) -> str:
    """A wrong signature, padding or length: 403, nothing echoed."""
    case = vector.json
    method = "GET" if "echostr" in case["query"] else "POST"
    try:
        await adapter_of(case).accept(
            push(case["query"], case.get("body", "").encode() or b"<xml/>", method)
        )
    except NotAuthentic:
        return "refused"
    raise AssertionError("taken")


@checks("crypto.aeskey_invalid")
def key_of_wrong_form(vector: Vector) -> str:
    """A mistake in the settings, told at the start."""
    for key in vector.json["keys"]:
        assert not is_aes_key(key)
        for account in (wechat(key=key), wecom(key=key)):
            assert "aes_key" in dict(account.settings.mistakes())
    return "a mistake in the settings"


def _peer(case: dict[str, str]) -> PrpCrypto:
    return PrpCrypto(b64decode(case["encoding_aes_key"] + "="))

"""The simulator's cryptography, judged by wechatpy and by published vectors."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from wechatpy.crypto import WeChatCrypto

from sandbox.wechat import BadEnvelope, Envelope, new_aes_key, new_token, signature_of
from sandbox.wechat.wire import parse
from tests.support.shared_material import SHARED

APP_ID = "wx5823bf96d3bd56c7"


def vectors(*kinds: str) -> Iterator[Any]:
    folder = SHARED / "vectors" / "wechat"
    if not folder.is_dir():
        yield pytest.param(None, marks=pytest.mark.skip(reason="no vectors/wechat: set HUB_SHARED"))
        return
    for entry in json.loads((folder / "index.json").read_text(encoding="utf-8"))["entries"]:
        if entry["kind"] in kinds:
            vector = json.loads((folder / entry["file"]).read_text(encoding="utf-8-sig"))
            yield pytest.param(vector, id=entry["id"])


def envelope_of(vector: dict[str, Any]) -> Envelope:
    return Envelope(vector["token"], vector["encoding_aes_key"], vector["receive_id"])


def encrypted_in(vector: dict[str, Any]) -> str:
    return parse(vector["body"].encode(), vector["body_format"])["Encrypt"]


@pytest.mark.parametrize("vector", list(vectors("crypto.signature")))
def test_signs_as_published(vector: dict[str, Any]) -> None:
    """A signature equals the published one for the same parts."""
    assert signature_of(*vector["parts"]) == vector["expect"]["signature"]


@pytest.mark.parametrize("vector", list(vectors("crypto.decrypt")))
def test_opens_as_published(vector: dict[str, Any]) -> None:
    """A published envelope verifies, opens, and seals again to the very same text."""
    envelope, encrypted, query = envelope_of(vector), encrypted_in(vector), vector["query"]
    expected = vector["expect"]

    assert envelope.verify(query["msg_signature"], query["timestamp"], query["nonce"], encrypted)
    message = envelope.open(encrypted)

    if "plaintext" in expected:
        assert message.decode() == expected["plaintext"]
    if expected.get("reencrypt_identical") and len(expected["random"].encode()) == 16:
        assert envelope.seal(message, expected["random"].encode()) == encrypted


@pytest.mark.parametrize("vector", list(vectors("crypto.encrypt")))
def test_seals_as_published(vector: dict[str, Any]) -> None:
    """Sealing with the published random bytes gives the published text."""
    sealed = envelope_of(vector).seal(vector["plaintext"].encode(), vector["random"].encode())

    assert sealed == vector["expect"]["encrypt"]


@pytest.mark.parametrize("vector", list(vectors("crypto.negative_content")))
def test_refuses_as_published(vector: dict[str, Any]) -> None:
    """Damaged content is refused although its signature is right."""
    with pytest.raises(BadEnvelope):
        envelope_of(vector).open(encrypted_in(vector))


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13, 31, 32, 33, 2048])
def test_wechatpy_opens_what_the_simulator_seals(length: int) -> None:
    """wechatpy, written by others, verifies and opens every length of message."""
    token, aes_key = new_token(), new_aes_key()
    ours, theirs = Envelope(token, aes_key, APP_ID), WeChatCrypto(token, aes_key, APP_ID)
    message = b"x" * length
    encrypted = ours.seal(message)

    opened = theirs.decrypt_message(
        {"Encrypt": encrypted}, ours.sign("1", "n", encrypted), "1", "n"
    )

    assert opened == message.decode()


def test_the_simulator_opens_what_wechatpy_seals() -> None:
    """A passive reply sealed by wechatpy is readable, multi-byte text included."""
    token, aes_key = new_token(), new_aes_key()
    sealed = WeChatCrypto(token, aes_key, APP_ID).encrypt_message("<xml>你好 🙂</xml>", "n", "1")
    fields = parse(sealed.encode(), "xml")
    envelope = Envelope(token, aes_key, APP_ID)

    assert envelope.verify(fields["MsgSignature"], "1", "n", fields["Encrypt"])
    assert envelope.open(fields["Encrypt"]).decode() == "<xml>你好 🙂</xml>"


def test_an_envelope_for_another_account_does_not_open() -> None:
    """The app id inside the envelope must be the receiver's own."""
    token, aes_key = new_token(), new_aes_key()
    encrypted = Envelope(token, aes_key, "wx0000000000000000").seal(b"hello")

    with pytest.raises(BadEnvelope, match="another account"):
        Envelope(token, aes_key, APP_ID).open(encrypted)


@pytest.mark.parametrize("garbage", ["", "====", "not base64!", "QUJD", "A" * 64])
def test_garbage_does_not_open(garbage: str) -> None:
    """Whatever is not an envelope is one kind of error."""
    with pytest.raises(BadEnvelope):
        Envelope(new_token(), new_aes_key(), APP_ID).open(garbage)


def test_a_made_key_looks_like_the_platforms() -> None:
    """A made EncodingAESKey has 43 letters and digits and stands for 32 bytes."""
    keys = {new_aes_key() for _ in range(50)}

    assert len(keys) == 50
    assert all(len(key) == 43 and key.isalnum() for key in keys)
    assert all(Envelope("token", key, APP_ID) for key in keys)

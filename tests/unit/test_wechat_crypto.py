"""The WeChat family's signature and encryption; wechatpy is the judge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidSignatureException
from wechatpy.utils import check_signature

from adapters._wechat_crypto import Box, is_aes_key, is_signed, open_with, sign
from hub.errors import NotAuthentic

KEY = "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk"
OTHER = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
APP_ID = "wx0123456789abcdef"
TOKEN = "judgesToken"

# wechatpy writes what it sealed as text into XML and reads it back with its blanks stripped.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=300)
nonces = st.text("0123456789abcXYZ", min_size=1, max_size=20)


@given(message=st.binary(max_size=2000))
def test_what_is_sealed_opens(message: bytes) -> None:
    """Any bytes come back as they were."""
    assert message == Box(KEY, APP_ID).open(Box(KEY, APP_ID).seal(message))


@given(message=texts, nonce=nonces)
def test_wechatpy_opens_what_we_seal(message: str, nonce: str) -> None:
    """Their decryption of our ciphertext is the message, under our signature."""
    sealed = Box(KEY, APP_ID).seal(message.encode())
    crypto = WeChatCrypto(TOKEN, KEY, APP_ID)
    signature = sign(TOKEN, "1767323045", nonce, sealed)
    opened = crypto.decrypt_message({"Encrypt": sealed}, signature, "1767323045", nonce)
    assert message == (opened if isinstance(opened, str) else opened.decode())


@given(message=texts, nonce=nonces)
def test_we_open_what_wechatpy_seals(message: str, nonce: str) -> None:
    """Our decryption of their ciphertext is the message, under their signature."""
    crypto = WeChatCrypto(TOKEN, KEY, APP_ID)
    envelope = crypto.encrypt_message(message, nonce, "1767323045")
    sealed = envelope.split("<Encrypt><![CDATA[")[1].split("]]>")[0]
    signature = envelope.split("<MsgSignature><![CDATA[")[1].split("]]>")[0]
    assert is_signed(signature, TOKEN, "1767323045", nonce, sealed)
    assert message.encode() == Box(KEY, APP_ID).open(sealed)


@given(timestamp=nonces, nonce=nonces)
def test_wechatpy_accepts_our_signature(timestamp: str, nonce: str) -> None:
    """The three-part signature is the one that they compute."""
    check_signature(TOKEN, sign(TOKEN, timestamp, nonce), timestamp, nonce)
    with pytest.raises(InvalidSignatureException):
        check_signature(TOKEN, sign("x" + TOKEN, timestamp, nonce), timestamp, nonce)


@pytest.mark.parametrize("length", range(64))
def test_every_padding(length: int) -> None:
    """Pads of 1 to 32 bytes are all read; a 16-byte unpadder would refuse half of them."""
    message = b"x" * length
    assert message == Box(KEY, APP_ID).open(Box(KEY, APP_ID).seal(message))


@given(noise=st.binary(max_size=200))
def test_noise_never_opens(noise: bytes) -> None:
    """Bytes that nobody sealed are refused by a ValueError, whatever their length."""
    with pytest.raises(ValueError):
        Box(KEY, APP_ID).open(noise)


def test_the_receiver_counts() -> None:
    """What is sealed for another app id is refused."""
    with pytest.raises(ValueError):
        Box(KEY, "wx9999999999999999").open(Box(KEY, APP_ID).seal(b"hello"))


def test_keys_are_tried_in_turn() -> None:
    """The previous key opens what the current one does not; no key is NotAuthentic."""
    sealed = Box(OTHER, APP_ID).seal(b"hello")
    assert open_with([Box(KEY, APP_ID), Box(OTHER, APP_ID)], sealed) == b"hello"
    with pytest.raises(NotAuthentic):
        open_with([Box(KEY, APP_ID)], sealed)


@pytest.mark.parametrize(
    "signature", ["", "0" * 40, "é" * 40, "\udcff", "F464B24FC39322E44B38AA78F5EDD27BD1441696"]
)
def test_odd_signatures_are_refused(signature: str) -> None:
    """Empty, not ASCII, upper case: refused, never an exception."""
    assert not is_signed(signature, "AAAAA", "1714036504", "1514711492")


@pytest.mark.parametrize(
    "key,sound",
    [(KEY, True), (OTHER, True), (KEY[:-1], False), (KEY + "A", False), (KEY[:-1] + "$", False)],
)
def test_form_of_an_aes_key(key: str, sound: bool) -> None:
    """43 characters of base64; the spare bits of the last one may be anything."""
    assert is_aes_key(key) is sound

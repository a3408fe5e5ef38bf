"""What a file is, by its first bytes."""

import pytest

from hub.sniff import sniff, true_type

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100


@pytest.mark.parametrize(
    "head, claimed, found",
    [
        (PNG, "image/jpeg", "image/png"),
        (b"\xff\xd8\xff\xe0", None, "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", None, "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None, "audio/wav"),
        (b"\x00\x00\x00\x18ftypisom", None, "video/mp4"),
        (b"\x00\x00\x00\x18ftypqt  ", None, "video/quicktime"),
        (b"#!AMR\n", "audio/mp3", "audio/amr"),
        (b"\xff\xfb\x90\x00", None, "audio/mpeg"),
        (b"%PDF-1.7", "text/plain", "application/pdf"),
        (b"PK\x03\x04", "application/vnd.ms-excel", "application/vnd.ms-excel"),
        (b"PK\x03\x04", None, "application/zip"),
        (b"\xef\xbb\xbf \n<!DOCTYPE HTML>", "image/png", "text/html"),
        (b"<svg onload=alert(1)>", "image/png", "image/svg+xml"),
        (b"hello", "text/plain", "text/plain"),
        (b"", None, None),
    ],
)
def test_a_files_type_is_that_of_its_bytes(
    head: bytes, claimed: str | None, found: str | None
) -> None:
    """The sender's word counts only where the bytes say nothing."""
    assert true_type(head, claimed) == found


def test_any_bytes_have_a_type_or_none() -> None:
    """No beginning of a file breaks the look at it."""
    for length in range(20):
        for byte in (b"\x00", b"\xff", b"<", b"R", b"\xef"):
            sniff(byte * length)

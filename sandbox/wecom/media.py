"""Temporary media of enterprise WeChat: other kinds and limits than on official accounts.

Source: https://developer.work.weixin.qq.com/document/path/90253
"""

from pathlib import PurePosixPath

from sandbox.wechat.errors import PlatformError
from sandbox.wechat.media import MEGABYTE, SMALLEST_BYTES, Media, MediaStore

__all__ = ["CorpMediaStore"]

RULES: dict[str, tuple[int, frozenset[str] | None, int]] = {
    "image": (10 * MEGABYTE, frozenset({".jpg", ".jpeg", ".png"}), 40009),
    "voice": (2 * MEGABYTE, frozenset({".amr"}), 40010),
    "video": (10 * MEGABYTE, frozenset({".mp4"}), 40011),
    "file": (20 * MEGABYTE, None, 40006),
}


class CorpMediaStore(MediaStore):
    """The files that people sent and the enterprise uploaded."""

    def upload(self, kind: str, filename: str, content: bytes) -> Media:
        """Keep a file that the enterprise uploads.

        Raises:
            PlatformError: 40004 kind, 40005 file type, 40006 to 40011 size.
        """
        if kind not in RULES:
            raise PlatformError(40004)
        most, endings, too_large = RULES[kind]
        if len(content) <= SMALLEST_BYTES:
            raise PlatformError(40006)
        if endings is not None and PurePosixPath(filename).suffix.lower() not in endings:
            raise PlatformError(40005)
        if len(content) > most:
            raise PlatformError(too_large)
        return self.put(kind, filename, content)

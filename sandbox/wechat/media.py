"""Temporary media: upload rules, and the three days that a file is kept.

Source: https://developers.weixin.qq.com/doc/service/api/material/temporary/api_uploadtempmedia.html
"""

import mimetypes
import secrets
from dataclasses import dataclass
from pathlib import PurePosixPath

from sandbox.journal import Clock
from sandbox.wechat.errors import PlatformError

KEPT_SECONDS = 3 * 86_400
MEGABYTE = 1024 * 1024
SMALLEST_BYTES = 5


@dataclass(frozen=True, slots=True)
class _Rule:
    max_bytes: int
    extensions: frozenset[str]
    too_large: int


RULES: dict[str, _Rule] = {
    "image": _Rule(10 * MEGABYTE, frozenset({".png", ".jpeg", ".jpg", ".gif"}), 40009),
    "voice": _Rule(2 * MEGABYTE, frozenset({".amr", ".mp3"}), 40010),
    "video": _Rule(10 * MEGABYTE, frozenset({".mp4"}), 40011),
    "thumb": _Rule(64 * 1024, frozenset({".jpg", ".jpeg"}), 40012),
}

_PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")
_MIME_TYPES = {".amr": "audio/amr", ".mp3": "audio/mpeg"}


@dataclass(frozen=True, slots=True)
class Media:
    media_id: str
    kind: str
    filename: str
    content: bytes
    made_at: float

    @property
    def mime_type(self) -> str:
        extension = PurePosixPath(self.filename).suffix.lower()
        return (
            _MIME_TYPES.get(extension)
            or mimetypes.guess_type(self.filename)[0]
            or "application/octet-stream"
        )


class MediaStore:
    """The files that users sent and the account uploaded."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._media: dict[str, Media] = {}

    def put(self, kind: str, filename: str, content: bytes) -> Media:
        """Keep a file that a user sent: no rules, the phone has already looked."""
        media = Media(secrets.token_urlsafe(48), kind, filename, content, self._clock())
        self._media[media.media_id] = media
        return media

    def lose(self) -> None:
        """Forget every file, as the platform does after three days."""
        self._media.clear()

    def upload(self, kind: str, filename: str, content: bytes) -> Media:
        """Keep a file that the account uploads.

        Raises:
            PlatformError: 40004 kind, 40005 file type, 40006 empty,
                40009–40012 too large.
        """
        rule = RULES.get(kind)
        if rule is None:
            raise PlatformError(40004)
        if len(content) < SMALLEST_BYTES:
            raise PlatformError(40006)
        if PurePosixPath(filename).suffix.lower() not in rule.extensions:
            raise PlatformError(40005)
        if kind in ("image", "thumb") and not content.startswith(_PICTURE_STARTS):
            raise PlatformError(40005)
        if len(content) > rule.max_bytes:
            raise PlatformError(rule.too_large)
        return self.put(kind, filename, content)

    def get(self, media_id: object, *kinds: str) -> Media:
        """The file, if it is known, of one of *kinds* (any, when none is given), and not too old.

        Raises:
            PlatformError: 40007.
        """
        media = self._media.get(media_id) if isinstance(media_id, str) else None
        if media is None or (kinds and media.kind not in kinds):
            raise PlatformError(40007)
        if media.made_at + KEPT_SECONDS < self._clock():
            raise PlatformError(40007)
        return media

"""Files that the bot uploads, in parts, and those that people send.

Source: https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/rich-media.html
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

from sandbox.files import File
from sandbox.qq.errors import Refused

__all__ = ["Files", "Upload"]

KINDS = {1: "image", 2: "video", 3: "voice", 4: "file"}
PART_BYTES = 1 << 20


@dataclass(slots=True)
class Upload:
    """A file on its way in: its parts, by their numbers."""

    place: str
    size: int
    md5: str
    parts: dict[int, bytes] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that is there: what a message may name."""

    number: str
    place: str
    kind: str
    name: str
    content: bytes


class Files:
    """Keeps them in memory. *part_bytes* is how large the parts of an upload are."""

    def __init__(self) -> None:
        self.part_bytes = PART_BYTES
        self._uploads: dict[str, Upload] = {}
        self._sent: dict[str, Sent] = {}
        self._received: dict[str, File] = {}

    def receive(self, file: File) -> str:
        """Keep what a person sends; its number in ``/_files/{number}``."""
        number = secrets.token_hex(8)
        self._received[number] = file
        return number

    def get(self, number: str) -> File:
        """The file of that number; raises KeyError."""
        if number in self._received:
            return self._received[number]
        sent = next((one for one in self._sent.values() if one.number == number), None)
        if sent is None:
            raise KeyError(number)
        types = {"image": "image/png", "video": "video/mp4", "voice": "audio/wav"}
        return File(sent.name, types.get(sent.kind, "application/octet-stream"), sent.content)

    def prepare(self, place: str, asked: dict[str, Any], base: str) -> dict[str, Any]:
        """Where the parts of a file go."""
        try:
            size, md5 = int(asked["file_size"]), str(asked["md5"])
            named = asked["file_name"], asked["sha1"], asked["md5_10m"], KINDS[asked["file_type"]]
        except (KeyError, TypeError, ValueError):
            raise Refused(40011000) from None
        if size <= 0 or not all(named):
            raise Refused(40011000)
        own = secrets.token_hex(8)
        self._uploads[own] = Upload(place, size, md5)
        count = -(-size // self.part_bytes)
        parts = [
            {
                "index": index,
                "presigned_url": f"{base}/_parts/{own}/{index}?q-signature={secrets.token_hex(8)}",
                "block_size": str(min(self.part_bytes, size - (index - 1) * self.part_bytes)),
            }
            for index in range(1, count + 1)
        ]
        return {"upload_id": own, "block_size": str(self.part_bytes), "parts": parts}

    def put(self, own: str, index: int, content: bytes) -> None:
        """One part has come; raises KeyError."""
        self._uploads[own].parts[index] = content

    def finish_part(self, place: str, asked: dict[str, Any]) -> dict[str, Any]:
        """A part is said to be there: it has to be, and whole."""
        upload = self._uploads.get(str(asked.get("upload_id")))
        index = asked.get("part_index")
        content = upload.parts.get(index) if upload and isinstance(index, int) else None
        if upload is None or content is None or upload.place != place:
            raise Refused(40011000)
        if str(len(content)) != asked.get("block_size") or _md5(content) != asked.get("md5"):
            raise Refused(40011000)
        upload.finished.add(int(str(index)))
        return {}

    def merge(self, place: str, asked: dict[str, Any]) -> dict[str, Any]:
        """All parts together are the file; ``srv_send_msg`` would say it at once."""
        upload = self._uploads.pop(str(asked.get("upload_id")), None)
        kind = KINDS.get(asked.get("file_type", 0))
        if upload is None or kind is None or upload.place != place or asked.get("srv_send_msg"):
            raise Refused(40011000)
        content = b"".join(upload.parts[index] for index in sorted(upload.finished))
        if len(content) != upload.size or _md5(content) != upload.md5:
            raise Refused(40011000)
        info = secrets.token_urlsafe(32)
        number, name = secrets.token_hex(8), str(asked.get("file_name") or kind)
        self._sent[info] = Sent(number, place, kind, name, content)
        return {"file_uuid": secrets.token_hex(8), "file_info": info, "ttl": 86400}

    def named(self, place: str, info: Any) -> Sent:
        """The file that a message in *place* names: one of people is none of groups'."""
        sent = self._sent.get(info) if isinstance(info, str) else None
        if sent is None or sent.place.partition(":")[0] != place.partition(":")[0]:
            raise Refused(304080)
        return sent


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
